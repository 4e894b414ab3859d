//! How far a raise goes: the pages that are needed, a step beyond, and the metadata that has to come before them.

use super::pace::FAST_FROM;
use crate::central::spans::Spans;
use crate::ground::header::{PAGE, Span};
use crate::kernel::brk::Brk;
use crate::kernel::parts::RETURNS;

/// Bytes of a huge page on most architectures. Where huge pages differ, this is just another step.
pub(crate) const HUGE: usize = 2 << 20;
/// From this size on, in pages, a heap of slabs grows by whole huge pages: one page fault instead of 512, and fewer
/// misses in address translation. In a smaller heap the unused part of the last huge page, up to 2 MiB, would be too much, unless it
/// [grows fast](super::pace), so that its page faults count: then from 8 MiB on. That brings 100,000 blocks of all sizes, 21 MB, to 0.83 of
/// their time, for no more memory. Heaps that stop in between pay for it: of sizes from 6 to 16 MB the mean had 4 % more at its peak,
/// and took 0.92 of the time. From 6 MiB on it would be 8 %, and 0.82; from 4 MiB on a compiler and a heap of zeroed blocks, of
/// 5.6 MB, would have 8 % more. To give memory to new pages in advance (`MADV_POPULATE_WRITE`) saved a heap of 6 to 12 MiB 7 % of the
/// time for 7 % more memory, and was left out.
pub(super) const HUGE_FROM: usize = (12 << 20) / PAGE;

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
        let is_large = heap_pages >= HUGE_FROM || (heap_pages >= FAST_FROM && self.pace.is_fast());
        let by_slabs = is_large && self.counters.slab_pages > heap_pages / 2 && pages < HUGE / PAGE;
        RETURNS && (by_slabs || self.thrift.again.covers(heap_pages + pages))
    }
}
