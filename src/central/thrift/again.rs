//! What thrift learns of memory that is returned and needed again at once: it comes back as huge pages.
//!
//! To keep it would cost memory, to take it back page by page 512 faults for each 2 MiB instead of one. A heap that was full a moment
//! ago, and is filled again, will most likely be full once more. So up to the size that it had when it began to return memory it
//! grows by huge pages, if the memory was in use: a few pages of all that is returned are [looked at](Brk::is_resident), because
//! huge pages would make memory of what is never written.
//!
//! [`Brk::is_resident`]: crate::kernel::brk::Brk::is_resident

use crate::central::backoff::SECOND;
use crate::ground::header::PAGE;
use crate::kernel::parts::RETURNS;

/// The least that must have been returned, in pages: below that a few faults are saved, and the end of the last huge page counts.
const LEAST: usize = (8 << 20) / PAGE;
/// Memory that is needed within this time after some was returned is needed again, in milliseconds. It may be long: at worst the heap
/// is a moment sooner what it was.
const SOON: u64 = SECOND;
/// So often the heap grows without huge pages, to see whether all is still used.
const ANEW: u64 = 4 * SECOND;
/// Of the pages looked at, all but one in so many must hold memory.
const UNUSED_FRACTION: u32 = 8;

/// Whether the heap grows by huge pages because it had the memory a moment ago.
#[derive(Debug)]
pub(crate) struct Again {
    /// Pages of the heap when it last began to return memory.
    full: usize,
    /// Pages that were looked at since, and how many of them held memory.
    seen: u32,
    held: u32,
    /// Whether memory was returned since it was last decided.
    is_open: bool,
    /// Up to so many pages the heap grows by huge pages.
    until: usize,
    /// When it was last seen without huge pages that what is returned was in use.
    known: u64,
}

impl Again {
    pub(super) const fn new() -> Self {
        Self { full: 0, seen: 0, held: 0, is_open: false, until: 0, known: 0 }
    }

    /// Begins anew: a heap of so many pages returns memory.
    pub(super) fn begin(&mut self, pages: usize) {
        (self.full, self.seen, self.held, self.is_open) = (pages, 0, 0, true);
    }

    /// Whether it is to be [decided](Self::decide) how the heap grows: for the first time since it returned memory.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether a heap that will have so many pages grows by huge pages.
    pub(crate) fn covers(&self, pages: usize) -> bool {
        pages <= self.until
    }

    /// Notes whether a page held memory that is about to be returned.
    pub(super) fn note(&mut self, held: bool) {
        (self.seen, self.held) = (self.seen.saturating_add(1), self.held.saturating_add(held.into()));
    }

    /// Decides how the heap grows after it has returned so many pages, the last of them at `drained`. [Now and then](ANEW) it grows
    /// without huge pages, so that it is seen whether all is still used: a huge page holds memory in any case.
    fn decide(&mut self, returned: usize, drained: Option<u64>, now: Option<u64>) {
        let was_huge = core::mem::take(&mut self.until) > 0;
        self.is_open = false;
        let (Some(now), Some(drained)) = (now, drained) else { return };
        let is_used = self.held > 0 && self.held >= self.seen - self.seen / UNUSED_FRACTION;
        if returned < LEAST || !is_used || now.saturating_sub(drained) > SOON {
            return;
        }
        if !was_huge {
            self.known = now;
        }
        if now.saturating_sub(self.known) < ANEW {
            self.until = self.full;
        }
    }
}

impl super::Thrift {
    /// Notes whether a page held memory that is about to be returned.
    pub(crate) fn note_resident(&mut self, held: bool) {
        self.again.note(held);
    }

    /// Whether it is to be decided how the heap grows, because it needed memory that it had returned.
    #[inline]
    pub(crate) fn has_to_decide(&self) -> bool {
        RETURNS && self.again.is_open && !self.draining
    }

    /// Decides how the heap grows, which needs memory after it has returned some. True if by huge pages.
    pub(crate) fn decide_growth(&mut self, now: Option<u64>) -> bool {
        self.again.decide(self.returned, self.drained, now);
        self.again.until > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: usize = 10 * LEAST;

    /// Returns `returned` pages at a time, of which one page in `of` is not in use, and needs them `after` milliseconds later.
    fn round(again: &mut Again, returned: usize, of: u32, at: u64, after: u64) -> bool {
        again.begin(FULL);
        (0..64).for_each(|page| again.note(page % of != 0));
        assert!(again.is_open());
        again.decide(returned, Some(at), Some(at + after));
        assert!(!again.is_open() && !again.covers(FULL + 1));
        again.covers(FULL)
    }

    #[test]
    fn what_is_needed_again_at_once_comes_as_huge_pages() {
        let mut again = Again::new();
        assert!(!again.covers(1), "what was not there yet");
        assert!(round(&mut again, LEAST, 64, 5000, 10));
        assert!(!round(&mut again, LEAST - 1, 64, 5010, 10), "a little");
        assert!(!round(&mut again, LEAST, 64, 5020, SOON + 1), "later");
        assert!(!round(&mut again, LEAST, 4, 5030, 10), "what is not used");
        again.begin(FULL);
        again.decide(LEAST, Some(5040), Some(5050));
        assert!(!again.covers(FULL), "nothing was looked at");
        assert!(round(&mut again, LEAST, 64, 5050, 10));
        again.begin(FULL);
        again.note(true);
        again.decide(LEAST, Some(5060), None);
        assert!(!again.covers(FULL), "without a clock");
    }

    #[test]
    fn now_and_then_it_is_looked_at_anew() {
        let mut again = Again::new();
        let rounds: std::vec::Vec<_> = (0..300).map(|time| round(&mut again, FULL, 64, 5000 + 40 * time, 1)).collect();
        let small = rounds.iter().filter(|&&huge| !huge).count();
        assert!((2..=3).contains(&small) && rounds[0], "{small} of 300 rounds in twelve seconds");
    }
}
