//! What thrift learns from the clock: whether the heap was idle, whether returning memory was a mistake, and whether
//! the program is in a loop.

use super::{BUSY, LOOK, LOOP_MAX, ROUND, SHIFT_MAX, SOON, Thrift};
use crate::central::backoff::SECOND;
use crate::central::plan::Sums;

impl Thrift {
    /// Reads the clock if draining would begin or [`LOOK`] operations have passed, and learns from the answer. Returns
    /// the time, and whether the heap was idle.
    pub(super) fn look_if_due(&mut self, sums: Sums, clock: impl FnOnce() -> Option<u64>) -> (Option<u64>, bool) {
        let begins = !self.draining && sums.dirty - self.stuck > self.limit(sums);
        let (mut now, mut idle) = (None, false);
        if begins || self.since(self.looked_at) >= LOOK {
            now = clock();
            idle = self.look(now);
        }
        if core::mem::replace(&mut self.needed, false) {
            self.judge(now);
        }
        if begins {
            self.notice_loop(now, sums.peak);
        }
        (now, idle)
    }

    /// Takes note of the time. True if the heap was idle: at least a second has passed since the last time, with hardly
    /// any operation.
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
            self.in_loop = 0;
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

    /// Judges whether it was a mistake to return memory that is needed now. Without a clock no time passes.
    fn judge(&mut self, now: Option<u64>) {
        let since = |then: Option<u64>| now.zip(then).map(|(now, then)| now.saturating_sub(then));
        let soon = since(self.drained).is_none_or(|passed| passed <= SOON);
        self.mistakes = if soon { (self.mistakes + 1).min(SHIFT_MAX) } else { self.mistakes.saturating_sub(1) };
    }

    /// Detects a loop when draining would begin, in a heap that never had more than `peak` pages.
    fn notice_loop(&mut self, now: Option<u64>, peak: usize) {
        let passed = now.zip(self.drained).map(|(now, then)| now.saturating_sub(then));
        // What it kept so far was not enough: what was returned is needed, too.
        // Pages whose positions are not known count more than once where they are returned.
        let needs = (self.in_loop + self.returned).min(peak);
        self.in_loop = if passed.is_some_and(|passed| passed <= ROUND) && needs <= LOOP_MAX { needs } else { 0 };
    }
}
