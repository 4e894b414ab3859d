//! What is done with tiers around forks.

use super::World;
use crate::kernel::around::{self, Around, Side};
use crate::kernel::seat::Seat;
use crate::kernel::{backtrace, barrier, fork, seat};
use crate::threads::OwnTier;

impl World {
    /// Stops all owners around a fork, at which the caller's own operation may be interrupted.
    fn stop_for_fork(world: *const ()) -> bool {
        // SAFETY: given to `call_around`; worlds stay.
        let world = unsafe { &*world.cast::<Self>() };
        // Whoever is parked is waiting for the locks that the caller has: and nothing is done here but to let all go on.
        world.stop_until(seat::thread_pointer(), barrier::pass_all, OwnTier::is_parked)
    }

    /// Notes for each interrupted operation of the caller that it does not go on before the caller has the lock; or that it
    /// does again.
    fn park_for_fork(world: *const (), parked: bool) {
        // SAFETY: as above.
        let world = unsafe { &*world.cast::<Self>() };
        world.park_all(seat::thread_pointer(), parked);
    }

    pub(super) fn park_all(&self, thread: usize, parked: bool) {
        self.interrupted(thread).for_each(|tier| tier.park(parked));
    }

    /// Whether the caller has interrupted an operation of its own thread.
    fn is_caller_inside(world: *const ()) -> bool {
        // SAFETY: as above.
        let world = unsafe { &*world.cast::<Self>() };
        world.is_interrupted(seat::this_thread())
    }

    /// Whether a thread is parked, so that it cannot be stopped before the caller leaves the lock.
    pub(crate) fn has_parked(&self) -> bool {
        self.tiers().any(OwnTier::is_parked)
    }

    /// Lets them go on.
    fn go_on_after_fork(world: *const (), side: Side) {
        // SAFETY: as above.
        let world = unsafe { &*world.cast::<Self>() };
        world.go_on(side, seat::thread_pointer(), fork::forker());
    }

    /// Ends a stop around a fork: in the child those that are no more leave their tiers to others. `thread` is the caller's
    /// thread pointer, `task` the thread id of the task that forked.
    pub(crate) fn go_on(&self, side: Side, thread: usize, task: u32) {
        if side == Side::Child {
            self.handlers.go_on_in_child();
            backtrace::forget_others();
            let mine = |tier: &&OwnTier| tier.is_of(thread, task);
            self.tiers().filter(|tier| !mine(tier)).for_each(|tier| self.bury(tier));
            self.tiers().filter(mine).for_each(OwnTier::renew_task);
        }
        self.restore();
    }

    /// Takes a tier from its owner, who was stopped in the parent and is not in the child. If it was parked, what it did is not
    /// complete: only [gathering](super::gather) makes use of such a tier. If one is busy otherwise, it was about to see that
    /// it is stopped.
    fn bury(&self, tier: &OwnTier) {
        if tier.lease.is_busy() && (tier.is_parked() || tier.is_put_aside()) {
            return self.put_aside(tier);
        }
        tier.lease.reset();
        self.vacate(tier);
    }

    /// Has all owners stopped around forks, for the heap with this seat.
    pub(crate) fn watch_forks(&self, seat: &Seat) -> bool {
        const AROUND: Around = Around {
            stop: World::stop_for_fork,
            go_on: World::go_on_after_fork,
            park: World::park_for_fork,
            is_inside: World::is_caller_inside,
        };
        around::call_around(seat, &AROUND, core::ptr::from_ref(self).cast())
    }

    /// Ends what [`watch_forks`](Self::watch_forks) began.
    pub(crate) fn forget_forks(&self, seat: &Seat) {
        around::end_around(seat, core::ptr::from_ref(self).cast());
    }
}
