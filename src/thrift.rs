//! When to return memory to the kernel unasked. Decisions only; [`give`](crate::give) carries them out.
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

use crate::header::PAGE;

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
/// A mistake wears off in this time, and a heap is idle that is hardly used in this time.
const SECOND: u64 = 1000;
/// The clock is asked once in so many span operations, but for beginnings.
const LOOK: u32 = 128;
/// A heap that is used less often than this in a second is idle.
const BUSY: u64 = 4 * LOOK as u64;
/// So many mistakes in a row, each within so many milliseconds of the one before, are a loop. It may keep what it needs in
/// each round, although nothing is live in between, for a second; then it has to prove itself again. Bursts that become
/// larger are no loop, nor are eight in a row.
const LOOP: u8 = 7;
const ROUND: u64 = SOON;
/// But no more than this, in pages.
const LOOP_MAX: usize = (32 << 20) / PAGE;

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

/// What a heap consists of, in pages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sums {
    pub(crate) heap: usize,
    pub(crate) free: usize,
    /// Free ones that may hold memory.
    pub(crate) dirty: usize,
    /// The most that `heap` has been.
    pub(crate) peak: usize,
}

/// What is to be returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How many pages, at most.
    pub(crate) most: usize,
    /// How many in one system call, at least, and if that lowers the break: the top is one span, and can wait for more.
    pub(crate) piece: usize,
    pub(crate) lowered: usize,
    /// How many spans to look at.
    pub(crate) steps: usize,
    /// The clock, where it was asked.
    pub(crate) now: Option<u64>,
}

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
    /// Quick mistakes in a row, up to [`LOOP`], and the most that was returned in one of them.
    rounds: u8,
    in_loop: usize,
    /// When the heap was known to drain last, and when it was judged last that it should not have, if the clock said so.
    drained: Option<u64>,
    judged: Option<u64>,
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
            rounds: 0,
            in_loop: 0,
            drained: None,
            judged: None,
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
    pub(crate) fn need(&mut self) {
        if self.draining {
            (self.draining, self.needed) = (false, self.returned > 0);
            self.looked_at = self.operations.wrapping_sub(LOOK);
        }
    }

    /// The most dirty pages that a heap keeps unless it drains.
    fn limit(&self, sums: Sums) -> usize {
        self.high(sums) + if self.rounds == LOOP { self.in_loop } else { 0 }
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
        self.draining.then(|| self.high(sums) / LOW_FRACTION)
    }

    /// What to return now, if anything. `clock` is asked if draining would begin, and every now and then.
    pub(crate) fn plan(&mut self, sums: Sums, clock: impl FnOnce() -> Option<u64>) -> Option<Plan> {
        let begins = !self.draining && sums.dirty - self.stuck > self.limit(sums);
        let (mut now, mut idle) = (None, false);
        if begins || self.since(self.looked_at) >= LOOK {
            now = clock();
            idle = self.look(now);
        }
        if core::mem::replace(&mut self.needed, false) {
            self.judge(now);
        }
        let (high, movable) = (self.high(sums), sums.dirty - self.stuck);
        let low = if idle { high / IDLE_FRACTION } else { high / LOW_FRACTION };
        if (idle && movable > low) || (!self.draining && movable > self.limit(sums)) {
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
        let (lowered, steps) = match () {
            () if idle => (PIECE_HIGH, STEPS_IDLE),
            // What is left in pieces grows with what is freed beside them, and is seen then.
            () => (PIECE / 2, if sums.dirty < scattered + PIECE { 0 } else { STEPS }),
        };
        Some(Plan { most: most.min(sums.dirty.saturating_sub(low)), piece, lowered, steps, now })
    }

    /// Draining begins.
    fn begin(&mut self, now: Option<u64>) {
        (self.draining, self.returned, self.drained) = (true, 0, now);
    }

    /// Looks at the clock. True if the heap was idle: hardly used since it was asked last, and that is long ago.
    fn look(&mut self, now: Option<u64>) -> bool {
        let operations = self.since(self.looked_at);
        self.looked_at = self.operations;
        let (Some(now), Some(then)) = (now, core::mem::replace(&mut self.looked, now)) else {
            self.worn = now.unwrap_or(0);
            return false;
        };
        let seconds = now.saturating_sub(self.worn) / SECOND;
        self.worn += seconds * SECOND;
        if seconds > 0 {
            self.mistakes = self.mistakes.saturating_sub(seconds.min(SHIFT_MAX as u64) as u8);
            if self.rounds == LOOP {
                (self.rounds, self.judged) = (LOOP - 1, Some(now));
            }
        }
        if self.draining {
            self.drained = Some(now);
        }
        if self.lowering.is_over(now) || self.discarding.is_over(now) {
            self.stuck = 0;
        }
        let passed = now.saturating_sub(then);
        passed >= SECOND && operations as u64 * SECOND < BUSY * passed
    }

    /// Says whether it was a mistake to return memory that is needed now. Where there is no clock no time passes.
    fn judge(&mut self, now: Option<u64>) {
        let since = |then: Option<u64>| now.zip(then).map(|(now, then)| now.saturating_sub(then));
        let soon = since(self.drained).is_none_or(|passed| passed <= SOON);
        self.mistakes = if soon { (self.mistakes + 1).min(SHIFT_MAX) } else { self.mistakes.saturating_sub(1) };
        let round = since(core::mem::replace(&mut self.judged, now));
        if soon && round.is_some_and(|passed| passed <= ROUND) && self.returned <= LOOP_MAX {
            if self.rounds == LOOP {
                // What it was allowed to keep was not all that it needs.
                self.in_loop = (self.in_loop + self.returned).min(LOOP_MAX);
            } else {
                let grows = self.returned > self.in_loop + self.in_loop / 8 + PIECE;
                self.rounds = if grows { 0 } else { self.rounds + 1 };
                self.in_loop = self.in_loop.max(self.returned);
            }
        } else {
            (self.rounds, self.in_loop) = (0, 0);
        }
    }

    /// Whether it is time to see if discarding is of any use: with the first return since draining began, or since it was
    /// of none.
    pub(crate) fn doubts_discarding(&self) -> bool {
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

/// A kind of call that is not tried again at once after it failed.
#[derive(Debug)]
pub(crate) struct Backoff {
    /// Dirty pages when it failed last.
    failed_with: usize,
    /// When it may be tried again, and how long it was to be left alone.
    until: u64,
    wait: u64,
}

impl Backoff {
    /// The longest time for which a call is not tried, in milliseconds.
    const WAIT_MAX: u64 = 64 * SECOND;

    const fn new() -> Self {
        Self { failed_with: 0, until: 0, wait: 0 }
    }

    /// Whether the call may be tried: it did not fail, or there is twice as much now, or its time is over.
    pub(crate) fn may_try(&self, dirty: usize, now: Option<u64>) -> bool {
        self.failed_with == 0 || dirty >= 2 * self.failed_with || now.is_some_and(|now| self.is_over(now))
    }

    fn is_over(&self, now: u64) -> bool {
        self.failed_with > 0 && self.until > 0 && now >= self.until
    }

    /// Whether it failed when it was tried last.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed_with > 0
    }

    /// The call failed, or was of no use.
    pub(crate) fn fail(&mut self, dirty: usize, now: Option<u64>) {
        self.failed_with = dirty.max(1);
        self.wait = (self.wait * 2).clamp(SECOND, Self::WAIT_MAX);
        self.until = now.map_or(0, |now| now + self.wait);
    }

    pub(crate) fn succeed(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = (1 << 20) / PAGE;

    /// A heap in which so much lives and so much is free and dirty, and which has once been as large as it is.
    fn sums(live: usize, dirty: usize) -> Sums {
        let heap = (live + dirty + IDLE_SLABS) * METADATA_FRACTION / (METADATA_FRACTION - 1);
        Sums { heap, free: dirty, dirty, peak: heap }
    }

    /// Frees a MiB that makes it so.
    fn release(thrift: &mut Thrift, sums: Sums, clock: Option<u64>) -> Option<Plan> {
        thrift.tick_release(MIB);
        thrift.is_due(sums).then(|| thrift.plan(sums, || clock)).flatten()
    }

    /// All of it is returned, if any is, and needed at once.
    fn round(thrift: &mut Thrift, sums: Sums, clock: Option<u64>) -> bool {
        let returned = release(thrift, sums, clock).is_some();
        if returned {
            thrift.note_returned(sums.dirty);
        }
        thrift.need();
        returned
    }

    #[test]
    fn a_calm_heap_keeps_a_mib_and_fractions_of_what_lives_and_was() {
        for (live, kept) in [(0, MIB), (1000 * MIB, 1000 * MIB / 16)] {
            let mut thrift = Thrift::new();
            let most =
                (0..2000 * MIB).step_by(16).find(|&dirty| release(&mut thrift, sums(live, dirty), None).is_some());
            let most = most.expect("something is returned");
            assert!((kept..=kept * 5 / 4 + MIB).contains(&most), "{} MiB with {} live", most / MIB, live / MIB);
        }
    }

    #[test]
    fn draining_goes_on_until_memory_is_needed() {
        let mut thrift = Thrift::new();
        assert!(release(&mut thrift, sums(16 * MIB, 8 * MIB), None).is_some());
        assert!(release(&mut thrift, sums(16 * MIB, 2 * MIB), None).is_some(), "to the lower mark");
        assert!(release(&mut thrift, sums(16 * MIB, MIB / 2), None).is_none(), "below it");
        assert!(release(&mut thrift, sums(16 * MIB, 2 * MIB), None).is_some(), "and again");
        thrift.need();
        assert!(release(&mut thrift, sums(16 * MIB, 2 * MIB), None).is_none(), "calm");
    }

    #[test]
    fn no_free_returns_much_more_than_it_frees() {
        let mut thrift = Thrift::new();
        for dirty in [20 * MIB, 200 * MIB] {
            let plan = release(&mut thrift, sums(MIB, dirty), None).expect("a plan");
            assert_eq!(plan.most, MULTIPLE * MIB + PIECE);
        }
    }

    #[test]
    fn mistakes_let_a_heap_keep_twice_what_lives_and_no_more() {
        for clock in [None, Some(5000)] {
            let mut thrift = Thrift::new();
            let returns = (0..50).filter(|_| round(&mut thrift, sums(100 * MIB, 190 * MIB), clock)).count();
            assert_eq!(returns, SHIFT_MAX as usize, "with the clock at {clock:?}");
            assert!(release(&mut thrift, sums(100 * MIB, 220 * MIB), clock).is_some(), "that would be hoarding");
        }
    }

    #[test]
    fn mistakes_have_no_weight_where_nothing_lives() {
        let mut thrift = Thrift::new();
        assert!((0..1000).all(|_| round(&mut thrift, sums(0, 40 * MIB), None)), "without a clock");
        let mut slow = Thrift::new();
        assert!((0..1000).all(|time| round(&mut slow, sums(0, 40 * MIB), Some(time * 200))), "rounds of 200 ms");
        let mut large = Thrift::new();
        let dirty = LOOP_MAX + MIB;
        assert!((0..1000).all(|time| round(&mut large, sums(0, dirty), Some(time))), "more than a loop may keep");
    }

    #[test]
    fn mistakes_wear_off_with_time_and_with_success() {
        let heap = sums(100 * MIB, 50 * MIB);
        for later in [1000 * SHIFT_MAX as u64, 3_600_000] {
            let mut thrift = Thrift::new();
            (0..50).for_each(|_| _ = round(&mut thrift, heap, Some(5000)));
            assert!(!round(&mut thrift, heap, Some(5000)), "it has learned");
            (0..LOOK).for_each(|_| thrift.tick());
            assert!(release(&mut thrift, heap, Some(5000 + later)).is_some(), "and forgotten");
        }
        let mut thrift = Thrift::new();
        (0..50).for_each(|_| _ = round(&mut thrift, heap, Some(5000)));
        // Each time more than it may keep is returned, and needed again, but not so soon.
        let rare =
            (1..=SHIFT_MAX as u64).map(|time| round(&mut thrift, sums(100 * MIB, 250 * MIB), Some(5000 + time * 150)));
        assert!(rare.into_iter().all(|returned| returned));
        thrift.need();
        assert!(release(&mut thrift, heap, Some(5000 + 990)).is_some(), "mistakes that were none");
    }

    #[test]
    fn a_fast_loop_is_left_alone_for_a_second() {
        let (mut thrift, heap) = (Thrift::new(), sums(0, 20 * MIB));
        let mut returned = 0;
        for step in 0..3000 {
            // Two rounds in a millisecond, and the clock is asked every now and then.
            returned += usize::from(round(&mut thrift, heap, Some(5000 + step / 2)));
            (0..LOOK / 8).for_each(|_| thrift.tick());
        }
        let learned = LOOP as usize + 1;
        assert!((learned..=learned + 6).contains(&returned), "{returned} times in 3000 rounds");
        (0..LOOK).for_each(|_| thrift.tick());
        assert!(release(&mut thrift, heap, Some(20_000)).is_some(), "and no longer");
    }

    #[test]
    fn an_idle_heap_returns_nine_tenths_of_what_it_keeps() {
        let mut thrift = Thrift::new();
        let kept = sums(1000 * MIB, 50 * MIB);
        (0..LOOK).for_each(|_| thrift.tick());
        assert!(release(&mut thrift, kept, Some(5000)).is_none());
        (0..LOOK).for_each(|_| thrift.tick());
        assert!(release(&mut thrift, kept, Some(5999)).is_none(), "not yet");
        (0..LOOK).for_each(|_| thrift.tick());
        let plan = release(&mut thrift, kept, Some(7000)).expect("a plan");
        assert!(plan.most >= 40 * MIB && plan.steps == STEPS_IDLE, "{plan:?}");
    }

    #[test]
    fn what_is_refused_is_tried_again_when_there_is_twice_as_much_or_later() {
        let mut backoff = Backoff::new();
        assert!(backoff.may_try(10, None));
        let mut times = std::vec::Vec::new();
        for time in (0..300_000).step_by(500) {
            if backoff.may_try(10, Some(time)) {
                backoff.fail(10, Some(time));
                times.push(time / 1000);
            }
        }
        assert_eq!(times, [0, 1, 3, 7, 15, 31, 63, 127, 191, 255]);
        assert!(
            !backoff.may_try(19, Some(256_000)) && backoff.may_try(20, Some(256_000)) && !backoff.may_try(19, None)
        );
        backoff.succeed();
        assert!(backoff.may_try(1, None));
    }
}
