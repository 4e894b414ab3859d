//! A lock that knows when waiting would never end.
//!
//! A futex lock in one word, after Drepper, "Futexes Are Tricky" (2011), section 5; [`word`] says what it holds. The holder is
//! some bits of its thread pointer. They stand in the same word as the lock's state, so that they are right at every
//! instant: a thread may be interrupted between any two instructions, and not run again for long.
//!
//! A thread that slept takes the lock with the lowest bit set, for others may still sleep: at worst it wakes one in
//! vain. Nothing here needs thread-local storage, so it works in threads made by a bare `clone`.

mod waiting;
mod word;

use crate::kernel::parts::LIBC;
use crate::kernel::{atomic, libc, tasks};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU32};
pub(crate) use waiting::{Endless, FORK_PATIENCE};
use word::{HELD, Word};

/// Whether thread pointers tell threads apart here, see [`use_thread_pointers`].
static THREAD_POINTERS: AtomicBool = AtomicBool::new(false);

/// The lock. All zeros is vacant.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Seat {
    word: Word,
    /// Thread id of the task that lends out what the lock protects, or 0.
    lender: AtomicU32,
    /// 1 if threads that leave the lock and take it again at once have got ahead of a waiter again and again.
    starving: AtomicU32,
    /// How many locks share this seat.
    users: AtomicU32,
    /// [`STUCK`] or [`LOST`], or 0.
    missing: AtomicU32,
}

/// The lock's holder waits for a fork, and does not go on before.
const STUCK: u32 = 1;
/// The lock's holder was left behind by a fork: it was stuck in the parent.
const LOST: u32 = 2;

/// Notes that every thread has a thread pointer of its own, if the program has a libc.
pub(crate) fn use_thread_pointers() {
    if libc::is_linked() {
        THREAD_POINTERS.store(true, Relaxed);
    }
}

/// Whether thread pointers tell threads apart.
#[inline(always)]
pub(crate) fn tells_threads() -> bool {
    LIBC && THREAD_POINTERS.load(Relaxed)
}

/// The calling thread's pointer, for callers who know that [it tells threads apart](tells_threads).
#[inline(always)]
pub(crate) fn thread_pointer() -> usize {
    // SAFETY: known only where there is a libc, or where the program has promised it.
    unsafe { libc::thread_pointer() }
}

/// The calling thread's pointer, or 0 where pointers do not tell threads apart.
#[inline(always)]
pub(crate) fn this_thread() -> usize {
    if !tells_threads() {
        return 0;
    }
    // SAFETY: set only if there is a libc.
    unsafe { libc::thread_pointer() }
}

/// The word of a lock that the caller holds. Only [`HELD`] where pointers do not tell threads apart.
#[inline(always)]
fn held_by_caller() -> u32 {
    // Thread pointers are multiples of 16, and of these the next 30 bits differ: threads have room for their stacks.
    HELD | (this_thread() >> 4 << 2) as u32
}

impl Seat {
    pub(crate) const fn new() -> Self {
        let [lender, starving, users, missing] = [const { AtomicU32::new(0) }; 4];
        Self { word: Word::new(), lender, starving, users, missing }
    }

    /// Whether it was never made a lock.
    pub(crate) fn is_vacant(&self) -> bool {
        self.word.is_vacant()
    }

    /// Makes a vacant seat a free lock.
    pub(crate) fn open(&self) {
        self.word.open();
    }

    /// Whether it is some heap's lock.
    pub(crate) fn is_used(&self) -> bool {
        self.users.load(Relaxed) > 0
    }

    /// Makes it the lock of one more heap.
    pub(crate) fn join(&self) {
        self.users.fetch_add(1, Relaxed);
        self.open();
    }

    /// Notes that a heap which had this lock is gone. After the last one the lock is free, even if it was held: the
    /// next heap that gets it must not wait for a `before_fork` that no `after_fork` followed.
    pub(crate) fn part(&self) {
        if self.users.load(Relaxed) == 1 {
            self.missing.store(0, Relaxed);
            self.word.release();
        }
        self.users.fetch_sub(1, Relaxed);
    }

    /// Takes the lock if it is free.
    #[inline(always)]
    pub(crate) fn try_take(&self) -> bool {
        self.word.try_take(held_by_caller())
    }

    /// Leaves the lock. True if a thread may sleep, which [`wake`](Self::wake) then has to wake.
    ///
    /// # Safety
    ///
    /// The caller holds the lock.
    #[inline(always)]
    pub(crate) unsafe fn leave(&self) -> bool {
        self.word.leave()
    }

    /// Whether the caller cannot get the lock because it is a signal handler and its own thread holds it, as far as thread
    /// pointers tell, and has not lent out what it protects; or because the holder is [lost](Self::is_lost).
    pub(crate) fn is_interrupted(&self) -> bool {
        self.is_held_by_caller() && !self.is_lent() || self.is_lost()
    }

    /// Whether the caller's thread holds the lock, as far as thread pointers tell; if it has lent out what that protects, as its
    /// thread id tells.
    pub(crate) fn is_held_by_caller(&self) -> bool {
        let (mine, lender) = (held_by_caller(), self.lender.load(Relaxed));
        let held = mine != HELD && self.word.is_held_as(mine) && !self.is_lost();
        held && (lender == 0 || lender == tasks::thread_id())
    }

    /// Whether the holder waits for a fork, or is lost.
    pub(crate) fn is_stuck(&self) -> bool {
        self.missing.load(Acquire) != 0
    }

    /// Notes that the holder, who is the caller, waits for a fork, or no longer does.
    pub(crate) fn set_stuck(&self, stuck: bool) {
        self.missing.store(if stuck { STUCK } else { 0 }, Release);
    }

    /// Whether the holder is none of this process.
    pub(crate) fn is_lost(&self) -> bool {
        self.missing.load(Relaxed) == LOST
    }

    /// Whether what the lock protects is lent out.
    pub(crate) fn is_lent(&self) -> bool {
        self.lender.load(Relaxed) != 0
    }

    /// Notes that the caller, who holds the lock, lends out what it protects; or does so no more.
    pub(crate) fn set_lender(&self, thread: u32) {
        self.lender.store(thread, Relaxed);
    }

    /// Brings up to date, in the child of a fork, who holds and who lends: its one thread has a new id, and others are lost.
    pub(crate) fn renew_after_fork(&self) {
        if self.is_stuck() {
            self.missing.store(LOST, Relaxed);
            self.set_lender(0);
        } else if self.is_lent() {
            self.set_lender(tasks::thread_id());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vacant_seat_has_no_holder_and_an_open_one_has_one() {
        let seat = Seat::new();
        assert!(!seat.try_take());
        seat.open();
        assert!(seat.try_take() && !seat.try_take());
        // SAFETY: taken above.
        assert!(!unsafe { seat.leave() });
        assert!(seat.try_take());
    }

    #[test]
    fn seats_are_a_cache_line_each() {
        assert_eq!((size_of::<Seat>(), align_of::<Seat>()), (64, 64));
    }
}
