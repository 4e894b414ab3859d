//! Tiers of threads that are dead: which of them may be another thread's.
//!
//! A lease is stopped and given back to its owner at any time. It may be given to another thread only when none can be on its
//! way to it: one that has found the tier in the table, and not entered yet, writes to the lease before it sees that it is not
//! the holder any more, and takes back a mark that would be the new owner's. No barrier tells where such a thread is, if it is
//! not running.
//!
//! - A handle's owner is one task. When that is gone, nobody is on its way.
//! - A thread is found by its thread pointer. That the task which became the owner is gone is a hint: a libc gives its stack
//!   and its thread pointer to a new thread, which then goes on with the tier. But a thread pointer leads to the libc's own
//!   record of the thread, which stands as long as the thread lives. So first the tier is taken out of the table, then all
//!   threads pass a barrier, and if that memory is unmapped by then, or on x86 another's, no thread has the thread pointer, and
//!   one that gets it later does not find the tier. Nor does it find it without the table: calls look at the only tier at once, but
//!   no longer once there was a second one ([`World::only_tier`]), and dead owners are looked for later than that.
//! - What a libc keeps of dead threads, to give it to new ones, stays theirs, and so does the tier.

use super::World;
use crate::kernel::barrier;
use crate::threads::OwnTier;
use crate::tier::directory::TIERS_MAX;

/// From so many owned tiers on, it is looked for dead owners before another one is made.
const MANY: usize = 4;

impl World {
    /// A tier whose owner is gone and was not in the middle of an operation, if it is time to look for one. The owner is
    /// stopped first.
    pub(super) fn abandoned(&self) -> Option<&OwnTier> {
        let owned = self.count.get();
        if owned < MANY.max(2 * self.living.get()).min(TIERS_MAX) {
            return None;
        }
        let gone = |tier: &&OwnTier| !tier.lease.is_busy() && tier.is_owner_gone();
        let mut found = 0;
        for tier in self.tiers().filter(gone) {
            tier.lease.revoke();
            if self.is_in_table(tier) {
                self.remove(tier);
            }
            found += 1;
        }
        if found > 0 {
            self.stops.set(self.stops.get() + 1);
            barrier::pass_all();
            // Whatever is in the table was not found above.
            for tier in self.tiers().filter(|tier| tier.lease.is_revoked() && !self.is_in_table(tier)) {
                if gone(&tier) {
                    self.vacate(tier);
                } else if tier.is_found_by_pointer() {
                    // Its own place is free.
                    self.table.enter(tier.thread(), tier);
                }
            }
            self.restore();
        }
        self.living.set(self.tiers().filter(|tier| tier.thread() != 0).count());
        self.tiers().find(|tier| tier.thread() == 0)
    }
}
