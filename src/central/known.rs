//! What is known about a free span's memory, and how that changes when spans are split and coalesced.
//!
//! ```text
//!  |<- front ->|<------------ middle ------------->|<- end ->|
//!  +-----------+-----------------------------------+---------+
//!  | zero      | `dirty` of these pages may hold   | zero    |      a span that is zero throughout is all `end`
//!  |           | kernel memory, the others hold none          |
//!  +-----------+-----------------------------------+---------+
//! ```
//!
//! Nearly always the whole middle is dirty. It is not after a returned span was coalesced with dirty ones on both
//! sides: then the count of dirty pages is still right, but their positions are no longer known.

use crate::ground::header::{PAGE, Slab, Span};
use crate::ground::units::UNIT;
use crate::kernel::parts::RETURNS;

/// Units of a page.
const PAGE_UNITS: usize = PAGE / UNIT;
/// A bit for the first unit of each page.
const FIRST_UNITS: u64 = u64::MAX / ((1 << PAGE_UNITS) - 1);

const _: () = assert!(64 % PAGE_UNITS == 0 && FIRST_UNITS.count_ones() as usize == 64 / PAGE_UNITS);

/// The pages of a free span by what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    /// All pages.
    pub(crate) pages: usize,
    /// How many at the span's start read as zero and hold no kernel memory.
    pub(crate) front: usize,
    /// How many of the middle may hold kernel memory.
    pub(crate) dirty: usize,
    /// How many at the span's end read as zero and hold no kernel memory.
    pub(crate) end: usize,
}

impl Known {
    /// A span that was in use until now: all of it is dirty.
    pub(crate) fn used(pages: usize) -> Self {
        Self { pages, front: 0, dirty: pages, end: 0 }
    }

    /// A slab in which no slot is live: a page reads as zero if each of its units does.
    pub(crate) fn of_slab(slab: Slab) -> Self {
        Self::of_units(slab.span().page_count(), slab.zero_units())
    }

    /// What is known of `pages` pages, of whose units those in `zero` read as zero. Without a loop, which was 700 bytes long at
    /// each of six places.
    pub(crate) fn of_units(pages: usize, zero: u32) -> Self {
        if !RETURNS {
            return Self::used(pages);
        }
        let units = u64::from(!zero) & ((1 << (pages * PAGE_UNITS)) - 1);
        // The first bit of each page in which some unit is not zero.
        let dirty = (0..PAGE_UNITS).fold(0, |pages, unit| pages | units >> unit) & FIRST_UNITS;
        if dirty == 0 {
            return Self { pages, front: 0, dirty: 0, end: pages };
        }
        let front = dirty.trailing_zeros() as usize / PAGE_UNITS;
        let last = dirty.ilog2() as usize / PAGE_UNITS;
        Self { pages, front, dirty: dirty.count_ones() as usize, end: pages - 1 - last }
    }

    pub(crate) fn of(free: Span) -> Self {
        let (front, dirty) = (free.zero_front(), free.dirty_pages());
        Self { pages: free.page_count(), front, dirty, end: free.zero_end() }
    }

    /// Writes it to the header of a free span of `pages` pages.
    pub(crate) fn note(self, free: Span) {
        debug_assert!(self.is_sound(), "{self:?}");
        free.set_known(self.front, self.dirty, self.end);
    }

    /// Whether the numbers are consistent (I14).
    pub(crate) fn is_sound(self) -> bool {
        let zero = self.front.checked_add(self.end).filter(|&zero| zero <= self.pages);
        zero.is_some_and(|zero| self.dirty <= self.pages - zero) && (self.end < self.pages || self.front == 0)
    }

    /// Whether each page may hold kernel memory, as in most free spans.
    pub(crate) fn is_dirty(self) -> bool {
        self.dirty == self.pages
    }

    /// Pages between the two ends.
    pub(crate) fn middle(self) -> usize {
        self.pages.saturating_sub(self.front + self.end)
    }

    /// Whether the first `pages` pages need kernel memory. Where the positions of dirty pages are not known, most of them say
    /// so: after a program has freed its large blocks, the first to the last, a few dirty pages lie somewhere in one span that
    /// was returned.
    #[inline(never)]
    pub(crate) fn needs_memory(self, pages: usize) -> bool {
        self.first(pages.min(self.pages)).dirty < pages || self.dirty < self.middle() / 2
    }

    /// The one form for a span that is zero throughout: all of it is `end`.
    fn normalised(mut self) -> Self {
        if self.middle() == 0 {
            (self.front, self.end) = (0, self.pages);
        }
        self.dirty = self.dirty.min(self.middle());
        self
    }

    /// Both spans as one, `next` after this one.
    pub(crate) fn and(self, next: Self) -> Self {
        if !RETURNS || self.is_dirty() && next.is_dirty() {
            return Self::used(self.pages + next.pages);
        }
        let front = if self.end == self.pages { self.pages + next.front } else { self.front };
        let end = if next.end == next.pages { self.end + next.end } else { next.end };
        let pages = self.pages + next.pages;
        let front = if end == pages { 0 } else { front.min(pages - end) };
        Self { pages, front, dirty: self.dirty + next.dirty, end }
    }

    /// The first `pages` pages, when the rest is gone. Where the positions of dirty pages are not known, all of these
    /// may be dirty.
    pub(crate) fn first(self, pages: usize) -> Self {
        if !RETURNS {
            return Self::used(pages);
        }
        let end = (self.end + pages).saturating_sub(self.pages);
        Self { pages, front: self.front.min(pages - end), dirty: self.dirty, end }.normalised()
    }

    /// The pages before `at`, and those from it on. Where the positions of dirty pages are not known, each part counts
    /// as many as it can hold. So a dirty page is never missed; one that is counted twice stays so until it is
    /// returned.
    pub(crate) fn split(self, at: usize) -> (Self, Self) {
        if !RETURNS || self.is_dirty() {
            return (Self::used(at), Self::used(self.pages - at));
        }
        let rest = self.pages - at;
        let end = self.end.min(rest);
        let front = self.front.saturating_sub(at).min(rest - end);
        (self.first(at), Self { pages: rest, front, dirty: self.dirty, end }.normalised())
    }

    /// The span after its pages number `from` to `to` were returned.
    pub(crate) fn without(self, from: usize, to: usize) -> Self {
        let (first, last) = (from.max(self.front), to.min(self.pages - self.end));
        if first >= last {
            return self;
        }
        let mut left = self;
        // All dirty pages may be among the others.
        left.dirty = self.dirty.min(self.middle() - (last - first));
        if last == self.pages - self.end {
            left.end = self.pages - first;
        } else if first == self.front {
            left.front = last;
        }
        left.normalised()
    }
}

impl Span {
    /// Which whole kernel pages of a free span to discard, so that about `most` dirty pages are returned. If that is
    /// not all, they are taken from the end: those at the start are used again first.
    pub(crate) fn to_discard(self, most: usize, kernel_page: usize) -> core::ops::Range<usize> {
        let known = Known::of(self);
        let pages = known.middle() - known.dirty.saturating_sub(most);
        let to = self.end() - known.end * PAGE;
        let from = to - pages * PAGE;
        // To discard a page known to be zero does no harm, so a whole middle is rounded outwards, within the span.
        let whole = pages == known.middle();
        let start = if whole { from & !(kernel_page - 1) } else { from.next_multiple_of(kernel_page) };
        let start = start.max(self.start().next_multiple_of(kernel_page));
        start..to.next_multiple_of(kernel_page).min(self.end() & !(kernel_page - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer spans show nothing new; an interpreter has time for shorter ones only.
    const PAGES: u32 = if cfg!(miri) { 4 } else { 7 };

    const ZERO: u8 = 0;
    /// 1 stands for a page that is clean, too, but is not known to be where it lies in the middle.
    const DIRTY: u8 = 2;

    /// What can be known about these pages.
    fn known(pages: &[u8]) -> Known {
        let front = pages.iter().take_while(|&&page| page == ZERO).count();
        let end = pages.iter().rev().take_while(|&&page| page == ZERO).count();
        let dirty = pages.iter().filter(|&&page| page == DIRTY).count();
        let front = if end == pages.len() { 0 } else { front };
        Known { pages: pages.len(), front, dirty, end }
    }

    /// All spans of `length` pages.
    fn all(length: u32) -> impl Iterator<Item = Vec<u8>> {
        (0..3_u32.pow(length)).map(move |number| (0..length).map(|at| (number / 3_u32.pow(at) % 3) as u8).collect())
    }

    extern crate std;
    use std::vec::Vec;

    /// Every combination of units, against a look at each page.
    #[test]
    fn a_slab_is_known_by_its_units() {
        for pages in 1..=if cfg!(miri) { 3 } else { 8 } {
            for pattern in 0..1_u32 << (2 * pages) {
                // Two bits for each page: none, one, the other, or all of its units are zero.
                let units = |page: usize| [0b0000, 0b0111, 0b1110, 0b1111][(pattern >> (2 * page) & 3) as usize];
                let zero = (0..pages).fold(0, |zero, page| zero | units(page) << (page * PAGE_UNITS));
                let is_zero = |page: &usize| units(*page) == 0b1111;
                let end = (0..pages).rev().take_while(is_zero).count();
                let front = if end == pages { 0 } else { (0..pages).take_while(is_zero).count() };
                let dirty = (0..pages).filter(|page| !is_zero(page)).count();
                assert_eq!(Known::of_units(pages, zero), Known { pages, front, dirty, end });
            }
        }
    }

    #[test]
    fn memory_is_needed_where_pages_are_clean_or_most_may_be() {
        let needs = |front, dirty, end, pages| Known { pages: 100, front, dirty, end }.needs_memory(pages);
        assert!(!needs(0, 100, 0, 100) && !needs(0, 50, 50, 50), "all of it is dirty");
        assert!(needs(0, 50, 50, 51) && needs(50, 50, 0, 1) && needs(0, 0, 100, 1));
        // Somewhere in the middle.
        assert!(needs(0, 10, 0, 4) && !needs(0, 60, 0, 4));
    }

    #[test]
    fn coalesced_spans_keep_every_zero_page_at_their_ends_and_the_count() {
        for first in (1..PAGES / 2 + 1).flat_map(all) {
            for second in (1..PAGES / 2 + 1).flat_map(all) {
                let both = known(&first).and(known(&second));
                assert_eq!(both, known(&[first.as_slice(), &second].concat()), "{first:?} {second:?}");
                assert!(both.is_sound());
            }
        }
    }

    #[test]
    fn a_split_loses_no_dirty_page_and_nothing_that_is_known() {
        for pages in (2..PAGES).flat_map(all) {
            for at in 1..pages.len() {
                let (first, second) = known(&pages).split(at);
                assert!(first.is_sound() && second.is_sound(), "{pages:?} at {at}: {first:?} {second:?}");
                let (before, from) = (known(&pages[..at]), known(&pages[at..]));
                assert!(first.dirty >= before.dirty && second.dirty >= from.dirty, "{pages:?} at {at}");
                let exact = known(&pages).dirty == known(&pages).middle();
                assert!(!exact || (first, second) == (before, from), "{pages:?} at {at}");
                assert!(known(&pages).first(at).dirty >= known(&pages[..at]).dirty);
            }
        }
    }

    #[test]
    fn what_is_returned_is_counted_once() {
        for pages in (1..PAGES).flat_map(all) {
            for from in 0..pages.len() {
                for to in from..=pages.len() {
                    let left = known(&pages).without(from, to);
                    assert!(left.is_sound() && left.dirty <= known(&pages).dirty, "{pages:?} {from} {to}: {left:?}");
                    let mut after = pages.clone();
                    after[from..to].fill(ZERO);
                    let exact = known(&pages).dirty == known(&pages).middle();
                    assert!(!exact || left.dirty == known(&after).dirty, "{pages:?} {from} {to}: {left:?}");
                    assert_eq!(left.without(from, to).dirty, left.dirty, "{pages:?} {from} {to}");
                }
            }
            assert_eq!(known(&pages).without(0, pages.len()).end, pages.len());
        }
    }
}
