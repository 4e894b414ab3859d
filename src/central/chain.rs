//! The list of all spans in address order: linking, unlinking, and whom to believe.
//!
//! A header can only be reached by a handle, and handles lie in memory. So what is about to be relinked is looked at
//! first: a header is believed if it is the record of the page it says its span starts at, and a link is written
//! through only if it leads back. What fails ends the process (see [`corrupt`]).

use crate::central::spans::Spans;
use crate::ground::corrupt::corrupt;
use crate::ground::header::{Kind, Span};

impl<B> Spans<B> {
    /// Ends the process unless the page map has `span`'s header where the header says it belongs (I2).
    #[inline]
    pub(crate) fn verify(&self, span: Span) {
        if !self.map.believes(span) {
            corrupt(2, span.address());
        }
    }

    /// The span after this one, if it is free. It borders on this one: a region and the heap's first page start with
    /// metadata, so nothing free follows a gap.
    pub(crate) fn free_next(&self, span: Span) -> Option<Span> {
        span.next().filter(|next| next.is(Kind::Free))
    }

    /// Links a new span into the list after `prev`, or before all others, and enters it in the page map.
    #[inline]
    pub(crate) fn link_after(&mut self, prev: Option<Span>, span: Span) {
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
        self.map.set(span.start(), Some(span));
    }

    /// Takes a span out of the list.
    pub(crate) fn unlink(&mut self, span: Span) {
        let prev = span.prev();
        self.unlink_run(span, span);
        if self.last == Some(span) {
            self.last = prev;
        }
    }

    /// Takes the spans from `from` to `to` out of the list.
    pub(crate) fn unlink_run(&mut self, from: Span, to: Span) {
        self.ensure_linked(from, to);
        self.join(from.prev(), to.next());
    }

    /// Ends the process unless the spans around `from..=to` lead back to the two (I1).
    pub(crate) fn ensure_linked(&self, from: Span, to: Span) {
        let before = from.prev().map_or(self.first, |prev| prev.next());
        let after = to.next().map_or(Some(to), |next| next.prev());
        if before != Some(from) || after != Some(to) {
            corrupt(1, from.address());
        }
    }

    /// Makes two spans, or the list's ends, neighbours on it.
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

    /// The last span that starts below `address`, which lies in none.
    pub(crate) fn span_before(&self, address: usize) -> Option<Span> {
        let region = self.map.regions().iter().rev().find(|region| region.start < address).map(|region| region.end());
        let heap = self.map.base().filter(|&base| base < address).map(|_| self.map.end());
        self.find_around(region.max(heap)? - 1)
    }

    /// The span in which `address` lies, wherever in it. The last one may be the top, which is not marked: it changes with
    /// each block that is cut from it.
    pub(crate) fn find_around(&self, address: usize) -> Option<Span> {
        let last = self.last.filter(|last| (last.start()..last.end()).contains(&address));
        last.or_else(|| self.map.find_around(address))
    }
}
