//! Huge pages: from which size on a heap of slabs takes them, and how fast it grows while it is so small that the rest of one would be
//! much of it.

use crate::ground::header::PAGE;

/// Bytes of a huge page on most architectures. Where huge pages differ, this is just another step.
pub(crate) const HUGE: usize = 2 << 20;
/// From this size on, in pages, a heap of slabs grows by whole huge pages: one page fault instead of 512, and fewer
/// misses in address translation. In a smaller heap the unused part of the last huge page, up to 2 MiB, would be too much, unless it
/// [grows fast](Pace), so that its page faults count: then from 8 MiB on. That brings 100,000 blocks of all sizes, 21 MB, to 0.83 of
/// their time, for no more memory. Heaps that stop in between pay for it: of sizes from 6 to 16 MB the mean had 4 % more at its peak,
/// and took 0.92 of the time. From 6 MiB on it would be 8 %, and 0.82; from 4 MiB on a compiler and a heap of zeroed blocks, of
/// 5.6 MB, would have 8 % more. To give memory to new pages in advance (`MADV_POPULATE_WRITE`) saved a heap of 6 to 12 MiB 7 % of the
/// time for 7 % more memory, and was left out.
pub(crate) const HUGE_FROM: usize = (12 << 20) / PAGE;

/// From this size on, in pages, a heap of slabs that grows fast takes huge pages.
const FAST_FROM: usize = (8 << 20) / PAGE;
/// Its pace is that of the last so many pages.
const PIECE: usize = HUGE / PAGE;
/// A heap grows fast if that took at most so many milliseconds: then the page faults, which take 0.7, are about a tenth of it or more.
const FAST: u64 = 8;

/// The pace of a heap. Without a clock no heap is fast.
#[derive(Debug)]
pub(crate) struct Pace {
    /// The size at which the pace was last looked at, in pages; 0 if it was not yet. And when that was.
    pages: usize,
    at: Option<u64>,
    is_fast: bool,
}

impl Pace {
    pub(crate) const fn new() -> Self {
        Self { pages: 0, at: None, is_fast: false }
    }

    /// Notes that a heap of `pages` pages is about to grow. The clock is read once for each [`PIECE`].
    pub(crate) fn note(&mut self, pages: usize, clock: impl FnOnce() -> Option<u64>) {
        let grown = pages.checked_sub(self.pages);
        if pages < FAST_FROM - PIECE || grown.is_some_and(|grown| grown < PIECE) {
            return;
        }
        let now = clock();
        let took = now.zip(self.at).map(|(now, at)| now.saturating_sub(at));
        self.is_fast = self.pages > 0 && grown.is_some() && took.is_some_and(|took| took <= FAST);
        (self.pages, self.at) = (pages, now);
    }

    /// Whether a heap of `pages` pages, most of them slabs, takes huge pages.
    pub(crate) fn takes_huge_pages(&self, pages: usize) -> bool {
        pages >= HUGE_FROM || (pages >= FAST_FROM && self.is_fast)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_the_last_piece() {
        let mut pace = Pace::new();
        let mut grow = |pages, now| {
            pace.note(pages, || now);
            pace.is_fast
        };
        assert!(!grow(FAST_FROM - PIECE - 1, Some(100)), "too small to be looked at");
        assert!(
            !grow(FAST_FROM - PIECE, Some(100)) && !grow(FAST_FROM - 1, Some(101)),
            "what came before took how long?"
        );
        assert!(grow(FAST_FROM, Some(100 + FAST)) && grow(FAST_FROM + 1, Some(1000)));
        assert!(!grow(FAST_FROM + PIECE, Some(101 + 2 * FAST)), "it has become slow");
        assert!(
            grow(FAST_FROM + 2 * PIECE, Some(101 + 2 * FAST)) && !grow(FAST_FROM, Some(101 + 2 * FAST)),
            "shorter than it was"
        );
        assert!(!grow(FAST_FROM + PIECE, None) && !grow(FAST_FROM + 2 * PIECE, None), "without a clock");
    }
}
