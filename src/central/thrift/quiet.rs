//! Whether a free can be followed by a return to the kernel, mostly without the sums: how many pages may be freed until it is
//! possible is worked out once, and counted down.
//!
//! The sums, and the limit that follows from them, took 70 of 930 instructions of a large block that comes and goes.

use super::{BASE, LIVE_FRACTION, LOOK, SHIFT_MAX, Thrift};
use crate::central::plan::Sums;
use crate::kernel::parts::RETURNS;

impl Thrift {
    /// Notes that the sums have changed otherwise than by spans freed and taken: the next free looks at them.
    #[inline]
    pub(crate) fn note_changed(&mut self) {
        if RETURNS {
            self.quiet = 0;
        }
    }

    /// Whether it cannot be time to [plan](Self::plan) after a span was freed, for which the sums need not be known.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet > 0 && self.since(self.looked_at) < LOOK
    }

    /// Whether it is time to [plan](Self::plan), after a span was freed.
    pub(crate) fn is_due(&mut self, sums: Sums) -> bool {
        self.stuck = self.stuck.min(sums.dirty);
        self.quiet = 0;
        if sums.dirty <= BASE / 4 {
            return false;
        }
        let (movable, limit) = (sums.dirty - self.stuck, self.limit(sums));
        let due = self.draining || movable > limit || self.since(self.looked_at) >= LOOK;
        if !due && self.stuck == 0 {
            self.quiet = self.quiet_for(limit - movable);
        }
        due
    }

    /// How many pages can be freed while `gap` more may become dirty. Each page that is freed is one more that is dirty, and
    /// one less that is live: the limit falls by that fraction of it, doubled by mistakes, and by one step for what is
    /// rounded. To take spans, to lower the break and to discard only widens the gap.
    fn quiet_for(&self, gap: usize) -> usize {
        const { assert!(1 << SHIFT_MAX <= 3 * LIVE_FRACTION && 1 << (SHIFT_MAX - 1) <= LIVE_FRACTION) };
        let narrowed = if self.mistakes < SHIFT_MAX { 2 } else { 4 };
        gap.saturating_sub(1 << SHIFT_MAX) / narrowed
    }
}
