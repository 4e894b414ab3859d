//! After the break was raised: making spans of the new pages.

use super::plan::Raise;
use super::seal;
use crate::central::spans::Spans;
use crate::ground::header::{Kind, PAGE, Span};
use crate::ground::page_map::Growth;
use crate::kernel::brk::Brk;
use crate::kernel::parts::MAPPINGS;

impl<B: Brk> Spans<B> {
    /// Makes spans of the new pages, once the break has been raised.
    pub(super) fn apply_raise(&mut self, raise: &Raise) {
        let end = if self.map.base().is_some() { self.map.end() } else { raise.start };
        let (kernel_page, pages) = (self.brk.page_size(), (raise.to - raise.base) / PAGE);
        // SAFETY: a guard is part of the metadata pages, which are new, and the leaf around it does not use it.
        let seal_guard = |guard| unsafe { seal(&mut self.brk, guard) };
        // The kernel page in which the break was holds bytes of its user.
        let zero_from = raise.from.next_multiple_of(kernel_page);
        let (base, storage, aside_from) = (raise.base, raise.start, raise.aside_from);
        let growth = Growth { base, pages, storage, zero_from, aside_from };
        // SAFETY: the break has just been raised over all of it; the metadata comes first, as planned, and metadata
        // aside was mapped before.
        unsafe { self.map.grow(&growth, kernel_page, seal_guard) };
        if MAPPINGS && raise.start > end {
            self.append(Kind::Foreign, end, (raise.start - end) / PAGE, 0).set_foreign_end(raise.from);
            self.counters.foreign_pages += (raise.start - end) / PAGE;
        }
        if raise.metadata > 0 {
            self.append(Kind::Metadata, raise.start, raise.metadata, 0);
        }
        self.lengthen_top(raise, zero_from);
        self.thrift.note_needed();
        self.note_peak();
    }

    /// Makes the new free pages, which are zero from `zero_from` on, part of the top.
    fn lengthen_top(&mut self, raise: &Raise, zero_from: usize) {
        let start = raise.start + raise.metadata * PAGE;
        let zero = (raise.to - zero_from.clamp(start, raise.to)) / PAGE;
        match self.top {
            Some(top) => {
                let known = if zero == raise.free { top.zero_end() } else { 0 };
                top.set_zero_end(known + zero);
                top.set_page_count(top.page_count() + raise.free);
            }
            None => self.top = Some(self.append(Kind::Free, start, raise.free, zero)),
        }
    }

    /// Appends a new last span.
    fn append(&mut self, kind: Kind, start: usize, pages: usize, zero: usize) -> Span {
        if let Some(top) = self.top.take() {
            self.index_free(top);
        }
        let span = self.map.record(start);
        span.init(kind, start, pages, zero);
        let prev = self.last.or_else(|| if MAPPINGS { self.span_before(start) } else { None });
        self.link_after(prev, span);
        self.last = Some(span);
        self.map.mark(span);
        span
    }
}
