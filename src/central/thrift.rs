//! Thrift: when to return memory to the kernel unasked. Decisions only; [`returns`](crate::central::returns) carries
//! them out.
//!
//! They depend on one sum: the dirty pages of all free spans, those that may hold kernel memory. There are two marks
//! for it.
//!
//! ```text
//!   calm                                                    draining
//!   nothing is returned while     --- above `high` --->     each free returns about what it frees and half a MiB more, as
//!   the sum is below `high`       <-- memory needed ---     long as the sum is above `low`
//! ```
//!
//! To return memory that is needed again at once is a **mistake**: it costs page faults. Each mistake doubles the part
//! of `high` that is proportional to what is live, up to twice what is live. When nothing is live that part is 0, so
//! all memory of a burst is returned after it, whatever happened before. Mistakes wear off with time and with success. What is
//! returned all the same and needed [`again`] costs fewer page faults the second time.

use crate::central::backoff::Backoff;
use crate::central::plan::{Plan, Sums};
use crate::ground::header::PAGE;
use crate::kernel::parts::{RETURNS, SPEED};
use again::Again;
use core::ops::Range;

/// Whether operations are counted: who looks again after so many of them is left out otherwise.
const COUNTS: bool = RETURNS || SPEED || cfg!(feature = "threads");

/// What any heap may keep, in pages.
pub(crate) const BASE: usize = (1 << 20) / PAGE;
/// It may also keep this fraction of its peak (metadata that cannot be returned is up to 1/79 besides),
const PEAK_FRACTION: usize = 256;
/// and this fraction of what is live, doubled by each mistake up to [`SHIFT_MAX`]: up to twice what is live, because a
/// program whose blocks come and go at random has a third more live at one time than at another.
const LIVE_FRACTION: usize = 16;
const SHIFT_MAX: u8 = 5;
/// What is assumed not to be live among used pages: metadata is at most this fraction of a heap,
const METADATA_FRACTION: usize = 32;
/// and slabs in which nothing is live have at most so many pages.
const IDLE_SLABS: usize = ((5 << 20) + (256 << 10)) / PAGE;
/// `low` is this fraction of `high`,
const LOW_FRACTION: usize = 8;
/// and what is left in a heap that was idle is this one.
const IDLE_FRACTION: usize = 16;

/// If memory is needed within this time after some was returned, in milliseconds, returning it was a mistake.
const SOON: u64 = 100;
// A mistake wears off in a SECOND, which is also how long a heap must hardly be used to be idle.
/// The clock is read once in so many span operations, and whenever draining would begin.
const LOOK: u32 = 128;
/// A heap with fewer span operations in a second than this is idle.
const BUSY: u64 = 4 * LOOK as u64;
/// If draining would begin again within so many milliseconds after it ended, the program is in a loop. For a second the
/// heap may then keep what was returned, even if nothing is live in between; after that the loop must be noticed again.
const ROUND: u64 = SOON;
/// But no more than this, in pages: beyond it, touching the memory takes so long that page faults hardly matter.
const LOOP_MAX: usize = (36 << 20) / PAGE;

/// The least that is worth a system call, in pages: while the sum is below `high`, and while it is above.
const PIECE: usize = (1 << 20) / PAGE;
const PIECE_HIGH: usize = (64 << 10) / PAGE;
/// One free returns at most so many times what it frees, and [`EXTRA`]: when draining begins, up to twice as much
/// may be dirty as is live, and all of it must be returned by the last free.
const MULTIPLE: usize = 3;
/// In pages. The kernel takes 70 to 140 microseconds for a MiB, nearly all of it for the single pages. With a whole [`PIECE`] more,
/// some frees that drained a heap of a million small blocks took 170; to call more often costs the whole drain more.
pub(crate) const EXTRA: usize = PIECE / 2;
/// Spans that are visited in search of dirty ones, at each step of draining.
const STEPS: usize = 64;
/// The same in a heap that was idle, and how much it returns at once, in pages.
const STEPS_IDLE: usize = 4096;
const MOST_IDLE: usize = (64 << 20) / PAGE;

/// What is known about when to return memory.
#[derive(Debug)]
pub(crate) struct Thrift {
    /// Spans freed and taken, modulo 2^32.
    operations: u32,
    /// Pages of the span freed last.
    freed: usize,
    /// How many more pages can be freed before it can be time to plan: what [`is_due`](Self::is_due) has found last, less what was
    /// freed since. 0 if the sums [have changed](Self::note_changed) otherwise.
    quiet: usize,
    draining: bool,
    /// Whether kernel memory was needed after draining, which has not been judged yet.
    needed: bool,
    /// Up to [`SHIFT_MAX`].
    mistakes: u8,
    /// Pages returned since draining began last.
    returned: usize,
    /// What the heap keeps because of a loop, in pages.
    in_loop: usize,
    /// The last time at which the heap was draining, if the clock could be read.
    drained: Option<u64>,
    /// When the clock was read last, and the count of operations then.
    looked: Option<u64>,
    looked_at: u32,
    /// The time up to which mistakes have worn off.
    worn: u64,
    /// Dirty pages that the kernel refused to take.
    stuck: usize,
    /// Dirty pages when a whole round of the cursor found no piece worth returning: while the sum is below `high`, and
    /// while it is above.
    scattered: usize,
    scattered_high: usize,
    pub(crate) again: Again,
    /// Pages whose metadata was returned since draining began.
    groups: Range<usize>,
    pub(crate) lowering: Backoff,
    pub(crate) discarding: Backoff,
}

/// Where the sum of dirty pages stands, for those who ask why memory stays. In pages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marks {
    /// More dirty pages than this begin draining.
    pub(crate) limit: usize,
    /// Whether the heap is draining.
    pub(crate) draining: bool,
    /// Dirty pages that the kernel refused to take.
    pub(crate) stuck: usize,
}

impl Thrift {
    pub(crate) const fn new() -> Self {
        Self {
            operations: 0,
            freed: 0,
            quiet: 0,
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
            again: Again::new(),
            groups: 0..0,
            lowering: Backoff::new(),
            discarding: Backoff::new(),
        }
    }

    /// Counts a span operation.
    #[inline]
    pub(crate) fn tick(&mut self) {
        if COUNTS {
            self.operations = self.operations.wrapping_add(1);
        }
    }

    /// Counts that a span of so many pages was freed.
    #[inline]
    pub(crate) fn tick_free(&mut self, pages: usize) {
        self.tick();
        if RETURNS {
            self.freed = pages;
            self.quiet = self.quiet.saturating_sub(pages);
        }
    }

    /// The count of span operations.
    pub(crate) fn now(&self) -> u32 {
        self.operations
    }

    /// Span operations since the count was `then`.
    pub(crate) fn since(&self, then: u32) -> u32 {
        self.operations.wrapping_sub(then)
    }

    /// Whether the heap is draining: then little is to be left over.
    pub(crate) fn is_draining(&self) -> bool {
        RETURNS && self.draining
    }

    /// Notes that kernel memory is needed, which ends draining. The clock is read when the next span is freed.
    pub(crate) fn note_needed(&mut self) {
        self.note_changed();
        if self.is_draining() {
            (self.draining, self.needed) = (false, self.returned > 0);
            self.looked_at = self.operations.wrapping_sub(LOOK);
        }
    }

    /// What the heap keeps beyond the marks because of a loop, with some to spare for rounds that differ.
    fn kept(&self) -> usize {
        (self.in_loop + self.in_loop / 4).min(LOOP_MAX)
    }

    /// More dirty pages than this begin draining.
    fn limit(&self, sums: Sums) -> usize {
        self.high(sums) + self.kept()
    }

    /// The marks at these sums.
    pub(crate) fn marks(&self, sums: Sums) -> Marks {
        Marks { limit: self.limit(sums), draining: self.draining, stuck: self.stuck }
    }

    /// The upper mark, without what is kept because of a loop.
    fn high(&self, sums: Sums) -> usize {
        let live = (sums.heap - sums.free).saturating_sub(sums.heap / METADATA_FRACTION + IDLE_SLABS);
        BASE + sums.peak / PEAK_FRACTION + ((live / LIVE_FRACTION) << self.mistakes)
    }

    /// The lower mark, if the heap is draining.
    pub(crate) fn low_if_draining(&self, sums: Sums) -> Option<usize> {
        self.draining.then(|| self.high(sums) / LOW_FRACTION + self.kept())
    }

    /// What to return now, if anything. `clock` is read if draining would begin, and every [`LOOK`] operations.
    pub(crate) fn plan(&mut self, sums: Sums, clock: impl FnOnce() -> Option<u64>) -> Option<Plan> {
        self.note_changed();
        let (now, idle) = self.look_if_due(sums, clock);
        let (high, movable) = (self.limit(sums), sums.dirty - self.stuck);
        let low = if idle { high / IDLE_FRACTION } else { self.high(sums) / LOW_FRACTION + self.kept() };
        if (idle && movable > low) || (!self.draining && movable > high) {
            self.begin(now, sums.heap);
        }
        if !self.draining || !(idle || movable > high || sums.dirty >= low + PIECE) {
            return None;
        }
        self.scattered = self.scattered.min(sums.dirty);
        self.scattered_high = self.scattered_high.min(sums.dirty);
        let most = if idle { MOST_IDLE } else { MULTIPLE * self.freed + EXTRA };
        let calm = !idle && movable <= high;
        let piece = if calm { PIECE.min(most) } else { PIECE_HIGH };
        let scattered = if calm { self.scattered } else { self.scattered_high };
        let (lower_piece, steps) = match () {
            () if idle => (PIECE_HIGH, STEPS_IDLE),
            // Small pieces coalesce with what is freed beside them, and are returned with it then.
            () => ((PIECE / 2).min(most), if sums.dirty < scattered + PIECE { 0 } else { STEPS }),
        };
        Some(Plan { most: most.min(sums.dirty.saturating_sub(low)), piece, lower_piece, steps, now })
    }

    /// Begins draining, in a heap of so many pages.
    fn begin(&mut self, now: Option<u64>, pages: usize) {
        self.again.begin(pages);
        self.forget_groups();
        (self.draining, self.returned, self.drained) = (true, 0, now);
    }

    /// Whether the next discard must be tested for having an effect: if it is the first since draining began, or the
    /// last had none.
    pub(crate) fn must_test_discarding(&self) -> bool {
        self.returned == 0 || self.discarding.has_failed()
    }

    /// Notes that pages were returned.
    pub(crate) fn note_returned(&mut self, pages: usize) {
        self.returned += pages;
    }

    /// Notes that the kernel refused to take any of so many dirty pages.
    pub(crate) fn note_refused(&mut self, dirty: usize) {
        self.stuck = dirty;
    }

    /// Notes that all spans were visited since `dirty` pages were dirty, and none has `piece` dirty pages.
    pub(crate) fn note_scattered(&mut self, dirty: usize, piece: usize) {
        self.scattered = dirty;
        if piece == PIECE_HIGH {
            self.scattered_high = dirty;
        }
    }
}

mod again;
mod clock;
mod groups;
mod quiet;
#[cfg(test)]
mod tests;
