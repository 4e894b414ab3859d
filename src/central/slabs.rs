//! The seam to the tiers: a slab is cut for one, and taken back from it.

use crate::central::known::Known;
use crate::central::spans::Spans;
use crate::ground::header::{PAGE, Slab, Span};
use crate::ground::size_class::SizeClass;

impl<B> Spans<B> {
    /// Makes a used span a slab, all of whose slots are free, and has the page map answer with it for each of its pages (I5).
    pub(crate) fn cut_slab(&mut self, span: Span, size_class: SizeClass) -> Slab {
        let slab = span.cut_into_slots(size_class.shape());
        self.counters.slab_pages += span.page_count();
        for page in 1..span.page_count() {
            self.map.set(span.start() + page * PAGE, Some(span));
        }
        slab
    }

    /// Takes back a slab in which nothing is live, and which is on no list. Returns the free span that it has become part
    /// of.
    pub(crate) fn retire(&mut self, slab: Slab) -> Span {
        let (span, known) = (slab.span(), Known::of_slab(slab));
        self.believe(span);
        self.counters.slab_pages -= span.page_count();
        for page in 1..span.page_count() {
            self.map.set(span.start() + page * PAGE, None);
        }
        self.coalesce(slab.retire(), known)
    }
}
