//! Freeing spans, coalescing them with free neighbours, and making used spans longer and shorter.

use crate::central::known::Known;
use crate::central::spans::Spans;
use crate::ground::corrupt::corrupt;
use crate::ground::header::{Kind, Span};
use crate::kernel::parts::{RETURNS, SPEED};

impl<B> Spans<B> {
    /// Frees a used span and coalesces it with free neighbours (I3). Returns the resulting free span.
    pub(crate) fn free_span(&mut self, span: Span) -> Span {
        if !SPEED {
            return self.free_span_slow(span);
        }
        let common = self.map.page_of(span.start()).and_then(|page| self.free_common(span, page));
        common.unwrap_or_else(|| self.free_span_slow(span))
    }

    /// The same in the general way.
    #[inline(never)]
    pub(crate) fn free_span_slow(&mut self, span: Span) -> Span {
        self.verify(span);
        self.coalesce_known(span, Known::used(span.page_count()))
    }

    /// [`free_span`](Self::free_span) for a span whose content has been moved away: no kernel memory is left in it.
    pub(crate) fn free_untouched(&mut self, span: Span) -> Span {
        if !RETURNS {
            return self.free_span(span);
        }
        let pages = span.page_count();
        self.verify(span);
        self.coalesce_known(span, Known { pages, front: 0, dirty: 0, end: pages })
    }

    /// Makes a used span free, about which `known` is known, and coalesces it with its free neighbours.
    #[inline(never)]
    pub(crate) fn coalesce_known(&mut self, span: Span, known: Known) -> Span {
        let mut known = if RETURNS { known } else { Known::used(span.page_count()) };
        self.thrift.tick_free(known.pages);
        span.change_kind(Kind::Large, Kind::Free);
        let mut free = span;
        // Both headers are asked for before either answer is branched on: each is rarely in the cache.
        let prev = span.prev().filter(|prev| prev.is(Kind::Free));
        let next = self.free_next(span);
        if let Some(next) = next {
            self.verify_linked(next);
            let beyond = Known::of(next);
            self.remove_known(next, beyond);
            known = known.and(beyond);
            self.swallow_next(span, next);
        }
        if let Some(prev) = prev {
            self.verify_linked(prev);
            let before = Known::of(prev);
            self.remove_known(prev, before);
            known = before.and(known);
            self.swallow_next(prev, span);
            free = prev;
        }
        free.set_page_count(known.pages);
        known.note(free);
        self.insert_known(free, known);
        free
    }

    /// Ends a span whose pages the one before it takes, which says so by its link.
    fn swallow_next(&mut self, span: Span, next: Span) {
        let after = next.next();
        if next.prev() != Some(span)
            || span.next() != Some(next)
            || after.is_some_and(|after| after.prev() != Some(next))
        {
            corrupt(1, next.address());
        }
        self.map.set(next.start(), None);
        span.set_next(after);
        if let Some(after) = after {
            after.set_prev(Some(span));
        }
        if self.last == Some(next) {
            self.last = Some(span);
        }
    }

    /// Shortens a used span to `pages` pages and frees the rest. Returns the free span that contains the rest.
    pub(crate) fn shorten(&mut self, span: Span, pages: usize) -> Span {
        self.verify(span);
        let rest = self.split(span, pages);
        self.free_span(rest)
    }

    /// Lengthens a used span to `pages` pages with pages of the free span after it, if there are enough.
    pub(crate) fn lengthen(&mut self, span: Span, pages: usize) -> bool {
        let Some(next) = self.free_next(span).filter(|next| span.page_count() + next.page_count() >= pages) else {
            return false;
        };
        self.verify(span);
        self.verify_linked(next);
        self.remove_known(next, Known::of(next));
        let more = pages - span.page_count();
        self.note_taken(next, more);
        if next.page_count() > more {
            let remainder = self.split(next, more);
            self.insert_free(remainder);
        }
        self.absorb_next(span);
        self.map.mark(span);
        true
    }

    /// Adds the pages of the next span, which must not be in the index, to this one.
    pub(crate) fn absorb_next(&mut self, span: Span) {
        let Some(next) = span.next() else { corrupt(1, span.address()) };
        debug_assert!(span.end() == next.start());
        let both = span.is(Kind::Free).then(|| Known::of(span).and(Known::of(next)));
        self.swallow_next(span, next);
        span.set_page_count(span.page_count() + next.page_count());
        if let Some(both) = both {
            both.note(span);
        }
    }
}
