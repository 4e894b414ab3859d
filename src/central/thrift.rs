//! When to return memory to the kernel unasked. Decisions only; [`returns`](crate::central::returns) carries them out.
//!
//! What counts is a sum: the pages of all free spans that may hold memory. It has two marks.
//!
//! ```text
//!   calm                                                    draining
//!   nothing is returned while     --- above `high` --->     each free returns about what it frees and a MiB more, as
//!   the sum is below `high`       <-- memory needed ---     long as the sum is above `low`
//! ```
//!
//! Memory that is returned and needed again at once was a **mistake**, and costs page faults. Each mistake doubles the
//! part of `high` that is proportional to what is live, up to twice that. When nothing is live that part is nothing, so a
//! burst that is over goes back whatever there was before it. Mistakes wear off with time and with success.

use crate::central::backoff::Backoff;
use crate::central::plan::{Plan, Sums};
use crate::ground::header::PAGE;

/// What a heap may keep at the least, in pages.
pub(crate) const BASE: usize = (1 << 20) / PAGE;
/// It may also keep this fraction of the most it has ever had: metadata that cannot be returned is up to 1/79 besides,
const PEAK_FRACTION: usize = 256;
/// and this one of what is live, times two for each mistake up to [`SHIFT_MAX`]: twice what is live then, because a program
/// whose blocks come and go at random has a third more live at one time than at another.
const LIVE_FRACTION: usize = 16;
const SHIFT_MAX: u8 = 5;
/// Metadata is no more than this fraction of a heap, and slabs in which nothing lives are no more than so many pages:
/// neither is live.
const METADATA_FRACTION: usize = 32;
const IDLE_SLABS: usize = (5 << 20) / PAGE;
/// `low` is this fraction of `high`,
const LOW_FRACTION: usize = 8;
/// and what is left in a heap that was idle this one.
const IDLE_FRACTION: usize = 16;

/// If memory is needed so soon after some was returned, in milliseconds, that was a mistake.
const SOON: u64 = 100;
// A mistake wears off in a SECOND, and a heap is idle that is hardly used in this time.
/// The clock is asked once in so many span operations, but for beginnings.
const LOOK: u32 = 128;
/// A heap that is used less often than this in a second is idle.
const BUSY: u64 = 4 * LOOK as u64;
/// If so much is dirty again that draining would begin, within so many milliseconds of its end, that is a loop. It may keep
/// what was returned then, although nothing may be live in between, for a second; then it has to prove itself again.
const ROUND: u64 = SOON;
/// But no more than this, in pages: to touch more takes longer than its faults matter.
const LOOP_MAX: usize = (36 << 20) / PAGE;

/// The least that is worth a system call, in pages: as long as the sum is below `high`, and above.
const PIECE: usize = (1 << 20) / PAGE;
const PIECE_HIGH: usize = (64 << 10) / PAGE;
/// One free returns up to a piece more than so many times what it frees itself: when draining begins, up to twice as much
/// may be dirty as lives, and all of it must be gone with the last free.
const MULTIPLE: usize = 3;
/// Spans that are looked at for others to return, at each step of draining.
const STEPS: usize = 64;
/// The same in a heap that was idle, and how much it returns at once, in pages.
const STEPS_IDLE: usize = 4096;
const MOST_IDLE: usize = (64 << 20) / PAGE;

/// What has been found out about when to return memory.
#[derive(Debug)]
pub(crate) struct Thrift {
    /// Spans released and taken, modulo 2^32.
    operations: u32,
    /// Pages of the span released last.
    freed: usize,
    draining: bool,
    /// Whether kernel memory was needed after it, which has not been judged yet.
    needed: bool,
    /// Up to [`SHIFT_MAX`].
    mistakes: u8,
    /// Pages returned since draining began last.
    returned: usize,
    /// What a loop keeps, in pages.
    in_loop: usize,
    /// When the heap was known to drain last, if the clock said so.
    drained: Option<u64>,
    /// When the clock was asked last, and the count of operations then.
    looked: Option<u64>,
    looked_at: u32,
    /// Up to when mistakes have worn off.
    worn: u64,
    /// Dirty pages that the kernel refused to take.
    stuck: usize,
    /// Dirty pages when a whole round of the cursor found no piece worth returning, as long as the sum is below `high`, and
    /// above.
    scattered: usize,
    scattered_high: usize,
    pub(crate) lowering: Backoff,
    pub(crate) discarding: Backoff,
}

impl Thrift {
    pub(crate) const fn new() -> Self {
        Self {
            operations: 0,
            freed: 0,
            draining: false,
            needed: false,
            mistakes: 0,
            returned: 0,
            in_loop: 0,
            drained: None,
            looked: None,
            looked_at: 0,
            worn: 0,
            stuck: 0,
            scattered: 0,
            scattered_high: 0,
            lowering: Backoff::new(),
            discarding: Backoff::new(),
        }
    }

    /// Counts a span operation.
    pub(crate) fn tick(&mut self) {
        self.operations = self.operations.wrapping_add(1);
    }

    /// Counts the release of a span of so many pages.
    pub(crate) fn tick_release(&mut self, pages: usize) {
        self.tick();
        self.freed = pages;
    }

    /// The count of span operations.
    pub(crate) fn now(&self) -> u32 {
        self.operations
    }

    /// Span operations since the count was `then`.
    pub(crate) fn since(&self, then: u32) -> u32 {
        self.operations.wrapping_sub(then)
    }

    /// Whether the heap is on its way down: no mistake is to be feared then, and little is to be left behind.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining
    }

    /// Kernel memory is needed: that is the end of draining. The clock is asked when a span is released next.
    pub(crate) fn note_needed(&mut self) {
        if self.draining {
            (self.draining, self.needed) = (false, self.returned > 0);
            self.looked_at = self.operations.wrapping_sub(LOOK);
        }
    }

    /// What a loop keeps beyond the marks, with some to spare for rounds that differ.
    fn kept(&self) -> usize {
        (self.in_loop + self.in_loop / 4).min(LOOP_MAX)
    }

    /// The most dirty pages that a heap keeps unless it drains.
    fn limit(&self, sums: Sums) -> usize {
        self.high(sums) + self.kept()
    }

    /// The same, but for what a loop keeps.
    fn high(&self, sums: Sums) -> usize {
        let live = (sums.heap - sums.free).saturating_sub(sums.heap / METADATA_FRACTION + IDLE_SLABS);
        BASE + sums.peak / PEAK_FRACTION + ((live / LIVE_FRACTION) << self.mistakes)
    }

    /// Whether it is time to [plan](Self::plan), after a span was released: a few comparisons.
    #[inline]
    pub(crate) fn is_due(&mut self, sums: Sums) -> bool {
        self.stuck = self.stuck.min(sums.dirty);
        if sums.dirty <= BASE / 4 {
            return false;
        }
        self.draining || sums.dirty - self.stuck > self.limit(sums) || self.since(self.looked_at) >= LOOK
    }

    /// How much may be left in a heap that drains.
    pub(crate) fn low_if_draining(&self, sums: Sums) -> Option<usize> {
        self.draining.then(|| self.high(sums) / LOW_FRACTION + self.kept())
    }

    /// What to return now, if anything. `clock` is asked if draining would begin, and every now and then.
    pub(crate) fn plan(&mut self, sums: Sums, clock: impl FnOnce() -> Option<u64>) -> Option<Plan> {
        let (now, idle) = self.look_if_due(sums, clock);
        let (high, movable) = (self.limit(sums), sums.dirty - self.stuck);
        let low = if idle { high / IDLE_FRACTION } else { self.high(sums) / LOW_FRACTION + self.kept() };
        if (idle && movable > low) || (!self.draining && movable > high) {
            self.begin(now);
        }
        if !self.draining || !(idle || movable > high || sums.dirty >= low + PIECE) {
            return None;
        }
        self.scattered = self.scattered.min(sums.dirty);
        self.scattered_high = self.scattered_high.min(sums.dirty);
        let most = if idle { MOST_IDLE } else { MULTIPLE * self.freed + PIECE };
        let piece = if idle || movable > high { PIECE_HIGH } else { PIECE };
        let scattered = if piece == PIECE { self.scattered } else { self.scattered_high };
        let (lower_piece, steps) = match () {
            () if idle => (PIECE_HIGH, STEPS_IDLE),
            // What is left in pieces grows with what is freed beside them, and is seen then.
            () => (PIECE / 2, if sums.dirty < scattered + PIECE { 0 } else { STEPS }),
        };
        Some(Plan { most: most.min(sums.dirty.saturating_sub(low)), piece, lower_piece, steps, now })
    }

    /// Draining begins.
    fn begin(&mut self, now: Option<u64>) {
        (self.draining, self.returned, self.drained) = (true, 0, now);
    }

    /// Whether it is time to see if discarding is of any use: with the first return since draining began, or since it was
    /// of none.
    pub(crate) fn must_test_discarding(&self) -> bool {
        self.returned == 0 || self.discarding.has_failed()
    }

    /// Pages were returned.
    pub(crate) fn note_returned(&mut self, pages: usize) {
        self.returned += pages;
    }

    /// The kernel refused to take any of so many dirty pages.
    pub(crate) fn note_refused(&mut self, dirty: usize) {
        self.stuck = dirty;
    }

    /// All spans were looked at, since `dirty` pages were dirty, and none of them has `piece`.
    pub(crate) fn note_scattered(&mut self, dirty: usize, piece: usize) {
        self.scattered = dirty;
        if piece == PIECE_HIGH {
            self.scattered_high = dirty;
        }
    }
}

mod clock;
#[cfg(test)]
mod tests;
