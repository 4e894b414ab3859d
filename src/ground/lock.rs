//! How threads take turns in a heap.
//!
//! A lock is an offset into the table of [`SEATS`]. It begins as the offset of the vacant seat, which can never be
//! taken, so that the lock's first use goes to the slow path, where it gets a seat of its own.

use crate::kernel::fork;
use crate::kernel::seat::{Endless, Seat};
use crate::kernel::seats::{self, SEATS};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// How the caller got its turn in a heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// By taking the lock, which has to be unlocked.
    Taken,
    /// The caller's thread is about to fork and holds every lock already, so there is nothing to unlock. The lock
    /// counts as [lent](Lock::lend) until the turn ends, so that the thread cannot get a second turn inside it.
    Forking,
}

/// A way to make threads take turns in a heap.
///
/// # Safety
///
/// After `try_lock` returned true, or `wait` returned, and until `unlock`, no other caller gets the same value's turn.
pub unsafe trait Lock {
    /// Takes the lock if it is free.
    fn try_lock(&self) -> bool;
    /// Waits for a turn. If the wait would never end, the process dies with a line that says why.
    fn wait(&self) -> Turn;
    /// Ends the turn. True if a thread may be sleeping; then [`wake`](Lock::wake) has to be called.
    ///
    /// # Safety
    ///
    /// The caller has the lock by `try_lock` or [`Turn::Taken`].
    unsafe fn unlock(&self) -> bool;
    /// Wakes one sleeping thread.
    fn wake(&self);
    /// Notes that what the lock protects is lent out to the program's own code, or no longer is.
    fn lend(&self, lent: bool);
}

/// The futex lock: safe from any number of threads, across `fork`, and from one heap inside another.
#[derive(Debug)]
pub struct Futex {
    /// Bytes from the table's start to this lock's seat.
    seat: AtomicUsize,
}

impl Futex {
    pub(crate) const fn new() -> Self {
        Self { seat: AtomicUsize::new(0) }
    }

    #[inline(always)]
    fn seat(&self) -> &'static Seat {
        let offset = self.seat.load(Relaxed);
        // SAFETY: an offset is 0 or what `find_seat` has written: a seat of the table.
        unsafe { &*SEATS.as_ptr().byte_add(offset) }
    }

    /// This lock's own seat, which is claimed now if it has none yet.
    #[cold]
    fn find_seat(&self) -> &'static Seat {
        fork::prepare();
        if self.seat.load(Acquire) == 0 {
            fork::while_none_forks(|| self.claim_seat());
        }
        self.seat()
    }

    fn claim_seat(&self) {
        if self.seat.load(Relaxed) == 0 {
            let offset = core::ptr::from_ref(seats::claim()).addr() - SEATS.as_ptr().addr();
            self.seat.store(offset, Release);
        }
    }

    /// Takes the lock before a fork, unless the caller holds it already.
    pub(crate) fn take_for_fork(&self) {
        if !self.try_lock() {
            fork::take_for_fork(self.find_seat());
        }
    }

    /// Unlocks after a fork.
    ///
    /// # Safety
    ///
    /// The caller, or the thread of which it is a copy, has called [`take_for_fork`](Self::take_for_fork), and has not
    /// unlocked since.
    pub(crate) unsafe fn leave_after_fork(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.seat().leave_and_wake() };
    }
}

impl Drop for Futex {
    fn drop(&mut self) {
        if self.seat.load(Relaxed) != 0 {
            self.seat().part();
        }
    }
}

// SAFETY: `try_lock` and `wait` return only after they have taken the seat, which has one holder; or, in a thread that
// forks, while that thread holds all seats.
unsafe impl Lock for Futex {
    #[inline(always)]
    fn try_lock(&self) -> bool {
        self.seat().try_take()
    }

    #[cold]
    #[inline(never)]
    fn wait(&self) -> Turn {
        let seat = self.find_seat();
        if fork::forks_with(seat) {
            // This thread holds the lock, so only this thread can have borrowed the heap.
            if seat.is_lent() {
                Endless::Lent.die()
            }
            self.lend(true);
            return Turn::Forking;
        }
        match seat.take() {
            Ok(()) => Turn::Taken,
            Err(endless) => endless.die(),
        }
    }

    #[inline(always)]
    unsafe fn unlock(&self) -> bool {
        // SAFETY: the caller has the lock.
        unsafe { self.seat().leave() }
    }

    #[cold]
    #[inline(never)]
    fn wake(&self) {
        self.seat().wake();
    }

    fn lend(&self, lent: bool) {
        self.seat().set_lender(if lent { crate::kernel::tasks::thread_id() } else { 0 });
    }
}

/// No lock at all, for programs with one thread.
#[derive(Debug)]
pub struct SingleThreaded(());

impl SingleThreaded {
    /// # Safety
    ///
    /// Only one thread ever uses what this protects, and never from a signal handler that interrupts a use.
    pub(crate) const unsafe fn new() -> Self {
        Self(())
    }
}

// SAFETY: the promise of `new` is that there is only one caller.
unsafe impl Lock for SingleThreaded {
    #[inline(always)]
    fn try_lock(&self) -> bool {
        true
    }

    fn wait(&self) -> Turn {
        Turn::Taken
    }

    #[inline(always)]
    unsafe fn unlock(&self) -> bool {
        false
    }

    fn wake(&self) {}

    fn lend(&self, _: bool) {}
}
