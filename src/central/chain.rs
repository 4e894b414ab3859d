//! The list of all spans in address order: linking, unlinking, and verifying both first.
//!
//! A header is reached through a handle, and handles lie in memory that a stray write can reach. So a header is
//! verified before it is relinked: it must be the record of the page at which it says its span starts. And a link is
//! written through only if it leads back. A failure ends the process (see [`corrupt`]).

use crate::central::spans::Spans;
use crate::ground::corrupt::corrupt;
use crate::ground::header::{Kind, Span};
use crate::kernel::parts::SPEED;

impl<B> Spans<B> {
    /// Ends the process unless `span`'s header is the record of the page at which it says it starts (I2).
    // Not inlined: it stands at 22 places, 150 bytes each.
    #[inline(never)]
    pub(crate) fn verify(&self, span: Span) {
        if !self.map.is_own_record(span) {
            corrupt(2, span.address());
        }
    }

    /// The same for a span that a link leads to: its page's handle has to lead back. That takes a third of the instructions, and
    /// a handle that leads elsewhere is as telling; but from a handle to a span and back says nothing.
    #[cfg_attr(feature = "speed", inline)]
    #[cfg_attr(not(feature = "speed"), inline(never))]
    pub(crate) fn verify_linked(&self, span: Span) {
        if !SPEED {
            self.verify(span);
        } else if !self.map.lookup.is_own_record(span) {
            self.verify_linked_slow(span);
        }
    }

    /// In a region, or not a record.
    #[cold]
    #[inline(never)]
    fn verify_linked_slow(&self, span: Span) {
        if self.map.lookup.page_of(span.start()).is_some() {
            corrupt(2, span.address());
        }
        self.verify(span);
    }

    /// The span after this one, if it is free. There is no gap between them: regions and the heap start with metadata (I15),
    /// so no free span follows a gap.
    pub(crate) fn free_next(&self, span: Span) -> Option<Span> {
        span.next().filter(|next| next.is(Kind::Free))
    }

    /// Links a new span into the list after `prev`, or before all others, and enters it in the page map.
    #[inline]
    pub(crate) fn link_after(&mut self, prev: Option<Span>, span: Span) {
        self.link_at(span.start(), prev, span);
    }

    /// [`link_after`](Self::link_after) for a span that starts at `start`.
    #[cfg_attr(feature = "speed", inline)]
    #[cfg_attr(not(feature = "speed"), inline(never))]
    pub(crate) fn link_at(&mut self, start: usize, prev: Option<Span>, span: Span) {
        let next = match prev {
            Some(prev) => prev.next(),
            None => self.first,
        };
        if next.is_some_and(|next| next.prev() != prev) {
            corrupt(1, next.map_or(0, Span::address));
        }
        self.set_next(prev, Some(span));
        span.set_prev(prev);
        span.set_next(next);
        if let Some(next) = next {
            next.set_prev(Some(span));
        }
        if self.last == prev && prev.is_some() {
            self.last = Some(span);
        }
        self.map.set(start, Some(span));
    }

    /// Removes a span from the list.
    pub(crate) fn unlink(&mut self, span: Span) {
        let prev = span.prev();
        self.unlink_run(span, span);
        if self.last == Some(span) {
            self.last = prev;
        }
    }

    /// Removes the spans from `from` to `to` from the list.
    pub(crate) fn unlink_run(&mut self, from: Span, to: Span) {
        self.ensure_linked(from, to);
        self.join(from.prev(), to.next());
    }

    /// Ends the process unless the neighbours of the run `from..=to` link back to it (I1).
    #[cfg_attr(not(feature = "speed"), inline(never))]
    pub(crate) fn ensure_linked(&self, from: Span, to: Span) {
        let before = from.prev().map_or(self.first, |prev| prev.next());
        let after = to.next().map_or(Some(to), |next| next.prev());
        if before != Some(from) || after != Some(to) {
            corrupt(1, from.address());
        }
    }

    /// Links two spans, or a span and an end of the list, as neighbours.
    #[cfg_attr(not(feature = "speed"), inline(never))]
    pub(crate) fn join(&mut self, prev: Option<Span>, next: Option<Span>) {
        self.set_next(prev, next);
        if let Some(next) = next {
            next.set_prev(prev);
        }
    }

    fn set_next(&mut self, prev: Option<Span>, next: Option<Span>) {
        match prev {
            Some(prev) => prev.set_next(next),
            None => self.first = next,
        }
    }

    /// The last span that starts below `address`, which lies in no span.
    pub(crate) fn span_before(&self, address: usize) -> Option<Span> {
        let region = self.map.regions().iter().rev().find(|region| region.start < address).map(|region| region.end());
        let heap = self.map.base().filter(|&base| base < address).map(|_| self.map.end());
        self.find_around(region.max(heap)? - 1)
    }

    /// The span that contains `address`. The last span is tested first, because the top is not marked: it changes with
    /// each block that is split from it.
    #[cfg_attr(not(feature = "speed"), inline(never))]
    pub(crate) fn find_around(&self, address: usize) -> Option<Span> {
        let last = self.last.filter(|last| SPEED && (last.start()..last.end()).contains(&address));
        last.or_else(|| self.map.find_around(address))
    }
}
