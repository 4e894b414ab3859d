//! The interface to the tiers. All that a tier asks of the central part is here:
//!
//! | a tier | calls |
//! |---|---|
//! | needs a slab | [`take_slab`](Spans::take_slab) |
//! | has one in which nothing is live | [`retire`](Spans::retire), or keeps it for a while unless the heap [is draining](Spans::is_draining) |
//! | is about to relink one | [`verify_slab`](Spans::verify_slab) |
//! | returns memory inside its slabs, or looks for its last free slots | [`visit_slabs`](Spans::visit_slabs), [`discard_in`](Spans::discard_in), [`kernel_page`](Spans::kernel_page), [`spans_to_look_at`](Spans::spans_to_look_at) |
//!
//! The central part asks one thing of the tiers: to retire what is idle, before the heap grows.

use crate::central::known::Known;
use crate::central::lower::LONG;
use crate::central::spans::{OutOfMemory, Spans};
use crate::ground::company::if_checked;
use crate::ground::header::{MAX_SLOTS, PAGE, Slab, Span};
use crate::ground::size_class::SizeClass;
use crate::kernel::brk::{Brk, Refused};
use crate::kernel::parts::{LIMITS, RETURNS, SPEED};

/// The slab for which a tier asks.
#[derive(Debug)]
pub(crate) struct SlabWish {
    pub(crate) size_class: SizeClass,
    /// How many pages it should have,
    pub(crate) pages: usize,
    /// and how many if the heap has to grow for it.
    pub(crate) grown: usize,
    /// The fewest pages that will do.
    pub(crate) least: usize,
    /// Whether slots of a class fill so many pages with little left over.
    pub(crate) fills: fn(SizeClass, usize) -> bool,
    /// The number of the tier.
    pub(crate) owner: u16,
}

impl<B: Brk> Spans<B> {
    /// A new slab, all of whose slots are free. `retire_idle` makes the tiers retire their slabs in which nothing is
    /// live; see [`take`](Self::take).
    ///
    /// A shorter free span is preferred to a higher break: as slabs grow longer, it would never be used again. The
    /// pages before the next in-line metadata are used before the heap grows past it.
    #[inline(never)]
    pub(crate) fn take_slab(
        &mut self,
        wish: &SlabWish,
        retire_idle: &mut dyn FnMut(&mut Self),
    ) -> Result<Slab, OutOfMemory> {
        let pages = if SPEED { self.slab_pages_at_hand(wish) } else { wish.pages };
        let span = self.take(pages, 1, retire_idle);
        let span = if LIMITS { span.or_else(|_| self.take_least(wish.least)) } else { span }?;
        if let Some(watch) = if_checked(self.watch) {
            let records = watch.0.records();
            self.serve_records(records, span);
            records.forget(span.start(), MAX_SLOTS);
        }
        Ok(self.cut_slab(span, wish.size_class, wish.owner))
    }

    /// How many pages a slab gets: those of a free span, or those that the heap can grow by.
    fn slab_pages_at_hand(&self, wish: &SlabWish) -> usize {
        let fills = |&pages: &usize| (wish.fills)(wish.size_class, pages);
        let left = self.pages_before_metadata().min(wish.grown);
        let grown = (1..=left).rev().find(fills).unwrap_or(wish.grown);
        self.longest_free(wish.pages).filter(fills).unwrap_or(grown)
    }
}

impl<B: Brk> Spans<B> {
    /// Bytes of a kernel page.
    pub(crate) fn kernel_page(&self) -> usize {
        self.brk.page_size()
    }

    /// Returns the memory of whole kernel pages inside a slab, and keeps their addresses: on success they read as zero.
    ///
    /// # Safety
    ///
    /// No slot in them is live or claimed.
    pub(crate) unsafe fn discard_in(&mut self, slab: Slab, start: usize, bytes: usize) -> Result<(), Refused> {
        debug_assert!(slab.start() <= start && start + bytes <= slab.span().end());
        // SAFETY: the slab belongs to the heap, and the caller's promise.
        unsafe { self.brk.discard(start, bytes) }
    }
}

impl<B> Spans<B> {
    /// Whether the heap is draining, so that no empty slab is kept. Where [nothing but its end](RETURNS) is returned: whether a
    /// quarter of it is free below its end, from which empty slabs may be all that separates that.
    pub(crate) fn is_draining(&self) -> bool {
        if RETURNS { self.thrift.is_draining() } else { self.fit.pages > (LONG + self.heap_pages()) / 4 }
    }

    /// Ends the process unless a slab's header is the record of its first page (I2).
    pub(crate) fn verify_slab(&self, slab: Slab) {
        self.verify(slab.span());
    }

    /// If memory is short: how many spans a tier has to look at for each new slab, to have seen all of them before the
    /// kernel can refuse a need.
    pub(crate) fn spans_to_look_at(&self) -> Option<usize> {
        // Less than twice what was granted is left to get, and each new slab takes a part of it.
        self.granted_after_refusal.filter(|_| LIMITS).map(|granted| 4 * self.heap_pages() / granted.max(1) + 1)
    }

    /// Calls `visit` for the slabs among the `most` spans after the one around address `after`, or from the first on.
    /// Returns an address in the last span that was visited, or `None` at the end of the heap. `visit` must not retire
    /// the slab.
    pub(crate) fn visit_slabs(
        &mut self,
        after: Option<usize>,
        most: usize,
        mut visit: impl FnMut(&mut Self, Slab),
    ) -> Option<usize> {
        // The span that was visited last may be gone, and its neighbours with it.
        let from = after.and_then(|address| self.find_around(address));
        let mut next = from.map_or(self.first, Span::next);
        let mut seen = after;
        for _ in 0..most {
            let span = next?;
            if let Some(slab) = span.as_slab() {
                self.verify(span);
                visit(self, slab);
            }
            (seen, next) = (Some(span.start()), span.next());
        }
        seen
    }

    /// Cuts a used span into a slab, all of whose slots are free, and enters it in the page map for each of its pages
    /// (I5).
    fn cut_slab(&mut self, span: Span, size_class: SizeClass, owner: u16) -> Slab {
        let slab = span.cut_into_slots(size_class.shape(), owner);
        self.counters.slab_pages += span.page_count();
        self.map.set_run(span.start() + PAGE, span.page_count() - 1, Some(span));
        slab
    }

    /// Retires a slab in which nothing is live and which is on no list. Returns the free span that contains its pages.
    pub(crate) fn retire(&mut self, slab: Slab) -> Span {
        let (span, known) = (slab.span(), Known::of_slab(slab));
        self.verify(span);
        if let Some(watch) = if_checked(self.watch) {
            watch.0.retiring(slab);
        }
        self.counters.slab_pages -= span.page_count();
        self.map.set_run(span.start() + PAGE, span.page_count() - 1, None);
        if known.is_dirty() { self.free_span(slab.retire()) } else { self.coalesce_known(slab.retire(), known) }
    }
}
