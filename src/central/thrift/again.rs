//! What thrift learns of memory that is returned and needed again at once: it comes back as huge pages.
//!
//! To keep it would cost memory, to take it back page by page 512 faults for each 2 MiB instead of one. A heap that was full a moment
//! ago, and is filled again, will most likely be full once more. So up to the size that it had when it began to return memory it
//! grows by huge pages, if the memory was in use: a few pages of all that is returned are [looked at](Brk::is_resident). And if it is
//! in use again: the first eighth comes page by page, and is looked at, too. For huge pages would make memory of what is never
//! written, as where a program fills buffers, frees them, and then has long ones of which it writes little.
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
/// This part of the heap grows without huge pages first,
const TRIED_FRACTION: usize = 8;
/// and at least so many pages.
const TRIED_LEAST: usize = LEAST / 4;
/// Of that, so many pages are looked at.
const TRIED_LOOKS: usize = 8;

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
    /// Where what is used ended when the heap needed memory again, if it may grow by huge pages.
    from: Option<usize>,
    /// Up to so many pages the heap grows by huge pages.
    until: usize,
    /// When it was last seen without huge pages that what is returned was in use.
    known: u64,
}

impl Again {
    pub(super) const fn new() -> Self {
        Self { full: 0, seen: 0, held: 0, is_open: false, from: None, until: 0, known: 0 }
    }

    /// Begins anew: a heap of so many pages returns memory.
    pub(super) fn begin(&mut self, pages: usize) {
        (self.full, self.seen, self.held, self.is_open, self.from) = (pages, 0, 0, true, None);
    }

    /// Whether it is to be decided how the heap grows, which has returned memory.
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

    /// Whether so many pages held memory, of those that were looked at.
    fn is_used(held: u32, seen: u32) -> bool {
        held > 0 && held >= seen - seen / UNUSED_FRACTION
    }

    /// Decides whether the heap may grow by huge pages after it has returned so many pages, the last of them at `drained`; what is used
    /// ends at `end`. [Now and then](ANEW) it grows without huge pages, so that it is seen whether all is still used: a huge page
    /// holds memory in any case.
    fn decide(&mut self, returned: usize, drained: Option<u64>, now: Option<u64>, end: usize) {
        let was_huge = core::mem::take(&mut self.until) > 0;
        self.is_open = false;
        let (Some(now), Some(drained)) = (now, drained) else { return };
        if returned < LEAST || !Self::is_used(self.held, self.seen) || now.saturating_sub(drained) > SOON {
            return;
        }
        if !was_huge {
            self.known = now;
        }
        if now.saturating_sub(self.known) < ANEW {
            (self.is_open, self.from) = (true, Some(end));
        }
    }

    /// Whether the heap is on trial: it may grow by huge pages, once the first part is seen to be used again.
    pub(crate) fn is_on_trial(&self) -> bool {
        self.from.is_some()
    }

    /// Where to look whether there is memory, once the first part is used again, up to `end`.
    pub(crate) fn looks(&self, end: usize) -> Option<impl Iterator<Item = usize> + use<>> {
        let from = self.from?;
        let length = end.saturating_sub(from);
        let piece = length / TRIED_LOOKS;
        let looks = (0..TRIED_LOOKS).map(move |at| from + at * piece + piece / 2);
        (length >= (self.full / TRIED_FRACTION).max(TRIED_LEAST) * PAGE).then_some(looks)
    }

    /// Ends the trial: so many of [`TRIED_LOOKS`] pages held memory.
    fn end(&mut self, held: u32, drained: Option<u64>, now: Option<u64>) {
        let soon = now.zip(drained).is_some_and(|(now, drained)| now.saturating_sub(drained) <= SOON);
        (self.is_open, self.from) = (false, None);
        if soon && Self::is_used(held, TRIED_LOOKS as u32) {
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

    /// Decides whether the heap, which needs memory after it has returned some, may grow by huge pages; what is used ends at `end`.
    pub(crate) fn decide_growth(&mut self, now: Option<u64>, end: usize) {
        self.again.decide(self.returned, self.drained, now, end);
    }

    /// Ends the trial: so many of the [pages to look at](Again::looks) held memory. True if the heap grows by huge pages from now on.
    pub(crate) fn end_trial(&mut self, held: usize, now: Option<u64>) -> bool {
        self.again.end(held as u32, self.drained, now);
        self.again.until > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: usize = 10 * LEAST;

    /// Returns `returned` pages at a time, of which one page in `of` is not in use, and needs them `after` milliseconds later. All of
    /// the first ones are used then.
    fn round(again: &mut Again, returned: usize, of: u32, at: u64, after: u64) -> bool {
        again.begin(FULL);
        (0..64).for_each(|page| again.note(page % of != 0));
        assert!(again.is_open());
        let now = Some(at + after);
        again.decide(returned, Some(at), now, 5 * PAGE);
        assert!(!again.covers(1));
        if again.is_on_trial() {
            assert!(again.looks((4 + FULL / 8) * PAGE).is_none());
            let looks: std::vec::Vec<_> = again.looks((5 + FULL / 8) * PAGE).into_iter().flatten().collect();
            assert!(looks.len() == 8 && looks.is_sorted() && looks[0] > 5 * PAGE && looks[7] < (5 + FULL / 8) * PAGE);
            again.end(7, Some(at), now);
        }
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
        again.decide(LEAST, Some(5040), Some(5050), 0);
        assert!(!again.is_open(), "nothing was looked at");
        assert!(round(&mut again, LEAST, 64, 5050, 10));
        again.begin(FULL);
        again.note(true);
        again.decide(LEAST, Some(5060), None, 0);
        assert!(!again.is_open(), "without a clock");
        for (held, later, huge) in [(6, 10, false), (7, SOON + 1, false), (7, SOON, true)] {
            again.begin(FULL);
            again.note(true);
            again.decide(LEAST, Some(5070), Some(5080), 0);
            again.end(held, Some(5070), Some(5070 + later));
            assert_eq!(again.covers(FULL), huge, "{held} of 8 pages are used again {later} ms later");
        }
    }

    #[test]
    fn now_and_then_it_is_looked_at_anew() {
        let mut again = Again::new();
        let rounds: std::vec::Vec<_> = (0..300).map(|time| round(&mut again, FULL, 64, 5000 + 40 * time, 1)).collect();
        let small = rounds.iter().filter(|&&huge| !huge).count();
        assert!((2..=3).contains(&small) && rounds[0], "{small} of 300 rounds in twelve seconds");
    }
}
