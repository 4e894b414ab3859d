//! Taking and freeing spans in the common case, in half the instructions of the general one.
//!
//! Most free spans lie below the break, hold kernel memory in all of their pages, and are not the top. Of such a span nothing
//! need be [known](crate::central::known::Known) but its length, taking a part of it needs no kernel memory, and the number of its
//! first page leads to all that is written for it. Any other goes the general way, before anything has changed. Both ways verify
//! the same.
//!
//! ```text
//!  take           | free, n pages           |         free          | prev, free | span, used | next, free |
//!                 | used        | remainder |                       | free                                 |
//!  handles        ^ page        ^ page + wanted                     ^ its page   ^ null       ^ null
//! ```

use crate::central::fit::is_listed;
use crate::central::spans::Spans;
use crate::ground::corrupt::corrupt;
use crate::ground::header::{Kind, PAGE, Span};
use crate::ground::prefetch::prefetch;

/// A free neighbour that is about to be coalesced.
#[derive(Clone, Copy)]
struct Neighbour {
    span: Span,
    pages: usize,
    /// The number of its first page, which is one of the heap: it has an owner.
    page: usize,
}

impl<B> Spans<B> {
    /// Takes `wanted` pages from the best free span. `None` if the general way has to.
    #[inline(always)]
    pub(crate) fn take_common(&mut self, wanted: usize) -> Option<Span> {
        let span = self.fit.best(wanted)?;
        let start = span.start();
        // The caller writes there next. Page-aligned blocks share a few sets of the cache, so it is rarely there.
        prefetch(start);
        let (pages, page) = (span.page_count(), self.map.page_of(start)?);
        // SAFETY: `page_of` says that it is a page of the heap.
        if span.dirty_pages() != pages || unsafe { self.map.owner_at(page) } != Some(span) {
            return None;
        }
        if pages == wanted {
            self.fit.unlink_best(span, pages);
        } else {
            let rest = pages.checked_sub(wanted)?;
            let remainder = self.map.record_of(page + wanted)?;
            let next = span.next().filter(|next| next.prev() == Some(span))?;
            self.fit.unlink_best(span, pages);
            remainder.init_dirty(start + wanted * PAGE, rest);
            span.set_page_count(wanted);
            link_between(span, remainder, next);
            // SAFETY: a page of the heap, as it has a record.
            unsafe { self.map.set_at(page + wanted, Some(remainder)) };
            self.link_dirty(remainder, rest);
        }
        self.fit.add_dirty(wanted.wrapping_neg());
        span.change_kind(Kind::Free, Kind::Large);
        self.note_handed_out(span, start, wanted);
        self.thrift.tick();
        Some(span)
    }

    /// Frees a used span whose first page has number `page`, and coalesces it with its free neighbours (I3). `None` if the
    /// general way has to.
    #[inline(always)]
    pub(crate) fn free_common(&mut self, span: Span, page: usize) -> Option<Span> {
        let pages = span.page_count();
        // The last one becomes the top, also where a region comes after it.
        if self.map.record_of(page) != Some(span) || self.last == Some(span) {
            return None;
        }
        let (prev, next) = (span.prev()?, span.next()?);
        let before = if prev.is(Kind::Free) { Some(self.neighbour(prev, |its| page.wrapping_sub(its))?) } else { None };
        let after = if next.is(Kind::Free) { Some(self.neighbour(next, |_| page + pages)?) } else { None };
        self.thrift.tick_free(pages);
        span.change_kind(Kind::Large, Kind::Free);
        let (mut free, mut all, mut beyond) = (span, pages, Some(next));
        if let Some(after) = after {
            self.fit.unlink(after.span, after.pages);
            beyond = after.span.next();
            // SAFETY: a neighbour's page is one of the heap.
            unsafe { self.swallow_at(after.page, span, after.span, beyond, after.span.prev() == Some(span)) };
            all += after.pages;
        }
        if let Some(before) = before {
            self.fit.unlink(before.span, before.pages);
            // SAFETY: a page of the heap, as it has a record.
            unsafe { self.swallow_at(page, before.span, span, beyond, before.span.next() == Some(span)) };
            (free, all) = (before.span, all + before.pages);
        }
        free.set_page_count(all);
        free.set_known(0, all, 0);
        self.link_dirty(free, all);
        self.fit.add_dirty(pages);
        Some(free)
    }

    /// Links a free span that is dirty throughout into the index. The sums are the caller's.
    #[inline(always)]
    fn link_dirty(&mut self, span: Span, pages: usize) {
        // What is in a list is too short for a mark.
        if !is_listed(pages) {
            self.map.mark_pages(span, pages);
        }
        self.fit.link(span, pages);
    }

    /// A free neighbour that can be coalesced here. From its length `page_of` makes the number of its first page. `None` if not
    /// all of it is dirty, if it is the top, or if that page's handle does not lead back to it.
    #[inline(always)]
    fn neighbour(&self, span: Span, page_of: impl FnOnce(usize) -> usize) -> Option<Neighbour> {
        let pages = span.page_count();
        let page = page_of(pages);
        let common = span.dirty_pages() == pages && self.top != Some(span) && self.map.owner(page) == Some(span);
        common.then_some(Neighbour { span, pages, page })
    }

    /// Ends the span `gone`, whose first page has number `page`. `span`, which lies before it, takes its pages. `beyond` lies after
    /// it: neither of the two is the last span. The caller has found one of them by a link of the other, and `is_linked` says whether
    /// the one that was found links back.
    ///
    /// # Safety
    ///
    /// `page` is one of the heap.
    #[inline(always)]
    unsafe fn swallow_at(&mut self, page: usize, span: Span, gone: Span, beyond: Option<Span>, is_linked: bool) {
        let Some(beyond) = beyond.filter(|beyond| is_linked && beyond.prev() == Some(gone)) else {
            corrupt(1, gone.address())
        };
        // SAFETY: the caller's promise.
        unsafe { self.map.set_at(page, None) };
        span.set_next(Some(beyond));
        beyond.set_prev(Some(span));
    }
}

/// Links a new span between two neighbours, which link to each other.
#[inline(always)]
fn link_between(prev: Span, new: Span, next: Span) {
    new.set_prev(Some(prev));
    new.set_next(Some(next));
    prev.set_next(Some(new));
    next.set_prev(Some(new));
}
