//! How far a raise goes: the pages that are needed, a step beyond, and the metadata that has to come before them.

use crate::central::huge::HUGE;
use crate::central::spans::Spans;
use crate::ground::header::{PAGE, Span};
use crate::kernel::brk::Brk;
use crate::kernel::parts::RETURNS;

/// What a raise has to achieve.
pub(super) struct Need {
    pub(super) base: usize,
    /// Where the break is now; above the heap's end if another user moved it.
    pub(super) from: usize,
    /// The first new page, and its number.
    pub(super) start: usize,
    pub(super) first: usize,
    /// How long the top must be, in pages.
    pub(super) pages: usize,
    /// How many of these the old top does not have, or all if the new pages do not follow it.
    pub(super) missing: usize,
    /// Whether the new pages follow the heap's old ones.
    pub(super) ours: bool,
}

/// What a raise will do.
pub(super) struct Raise {
    pub(super) base: usize,
    /// Where the break is now; above the heap's end if another user moved it.
    pub(super) from: usize,
    /// The first new page.
    pub(super) start: usize,
    pub(super) metadata: usize,
    pub(super) free: usize,
    pub(super) to: usize,
    /// The first leaf of the page map that lies aside.
    pub(super) aside_from: usize,
    /// Whether the new free pages follow right after the heap's old ones.
    pub(super) borders_on_old: bool,
}

impl<B: Brk> Spans<B> {
    /// How many pages are free at the heap's end or can be added there before more metadata is needed in line.
    pub(crate) fn pages_before_metadata(&self) -> usize {
        self.top.map_or(0, Span::page_count) + self.map.served_in_line()
    }

    /// What a raise from `from` has to achieve, for a top of `pages` pages.
    pub(super) fn need(&self, from: usize, pages: usize) -> Option<Need> {
        let start = from.checked_next_multiple_of(PAGE)?;
        let base = self.map.base().unwrap_or(start);
        let ours = self.map.base().is_some() && start == self.map.end();
        let held = self.top.filter(|_| ours).map_or(0, Span::page_count);
        Some(Need {
            base,
            from,
            start,
            first: (start - base) / PAGE,
            pages,
            missing: pages.saturating_sub(held).max(1),
            ours,
        })
    }

    /// Plans a raise by `step` pages, or by the need if that is more. `None` if addresses do not suffice.
    pub(super) fn plan_raise(&self, need: &Need, step: usize, aside_from: usize) -> Option<Raise> {
        let &Need { base, from, start, first, pages, missing, ours } = need;
        let room = self.map.served_beyond(first, aside_from);
        let (mut metadata, mut free) = (0, missing.max(step).min(room));
        if missing > room {
            // Metadata separates the new top from the old one, so the new one alone has to hold all pages.
            free = pages.max(step);
            metadata = self.metadata_before(first.checked_add(free)?, aside_from)?;
        }
        let mut to = start.checked_add((metadata + free).checked_mul(PAGE)?)?;
        if metadata == 0 && step > 0 && self.grows_by_huge_pages(pages) {
            let more = (to.checked_next_multiple_of(HUGE)? - to) / PAGE;
            let more = more.min(room.saturating_sub(free));
            (free, to) = (free + more, to + more * PAGE);
        }
        Some(Raise { base, from, start, metadata, free, to, aside_from, borders_on_old: ours && metadata == 0 })
    }

    /// How many metadata pages have to come before the new free ones, which without them would end at page number
    /// `end`.
    fn metadata_before(&self, end: usize, aside_from: usize) -> Option<usize> {
        let mut metadata = 0;
        loop {
            let missing = self.map.leaf_pages_missing(end.checked_add(metadata)?, aside_from, self.brk.page_size())?;
            if missing == metadata {
                return Some(metadata);
            }
            metadata = missing;
        }
    }

    /// Whether a raise for `pages` pages asks for huge ones. Only a heap that is mostly slabs does: a large block may
    /// never be touched in most of its pages. Or one that [had as many](crate::central::thrift) pages a moment ago, in use.
    pub(super) fn grows_by_huge_pages(&self, pages: usize) -> bool {
        let heap_pages = self.heap_pages();
        let by_slabs =
            self.pace.takes_huge_pages(heap_pages) && self.counters.slab_pages > heap_pages / 2 && pages < HUGE / PAGE;
        RETURNS && (by_slabs || self.thrift.again.covers(heap_pages + pages))
    }
}
