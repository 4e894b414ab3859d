//! The heap's one lock.
//!
//! A futex lock in one word, after Drepper, "Futexes Are Tricky" (2011), section 5:
//!
//! ```text
//! 0  free
//! 1  held, nobody sleeps
//! 2  held, somebody may sleep
//!
//! lock    0 -> 1; otherwise set 2 and sleep while it is 2, until the swap to 2 finds 0
//! unlock  set 0; if it was 2, wake one sleeper
//! ```
//!
//! Who has slept takes the lock as 2, for others may still sleep: at worst one wake too many. No thread-local storage is
//! used, so the lock works in threads made by a bare `clone`. It is not reentrant: a signal handler that allocates while
//! its own thread holds the lock waits forever, as with any lock. After `fork` in a program with threads the child's
//! copy may be held by a thread that does not exist there, unless the thread that forks has taken it before.

use crate::sys;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

/// How often a waiter looks before it sleeps. The lock is held for some tens of nanoseconds; sleeping takes microseconds.
const SPINS: u32 = 100;

/// A way to make threads take turns in a heap.
///
/// # Safety
///
/// Between the return of `lock` and the call to `unlock`, no other caller's `lock` on the same value returns.
pub unsafe trait Lock {
    /// Waits until the heap is the caller's.
    fn lock(&self);
    /// Lets the next one in.
    ///
    /// # Safety
    ///
    /// The caller holds the lock.
    unsafe fn unlock(&self);
}

/// The futex lock: safe from any number of threads.
#[derive(Debug)]
pub struct Futex(AtomicU32);

impl Futex {
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(FREE))
    }

    #[cold]
    fn lock_contended(&self) {
        for _ in 0..SPINS {
            if self.0.load(Relaxed) == FREE && self.0.compare_exchange(FREE, HELD, Acquire, Relaxed).is_ok() {
                return;
            }
            core::hint::spin_loop();
        }
        while self.0.swap(CONTENDED, Acquire) != FREE {
            sys::futex_wait(&self.0, CONTENDED);
        }
    }
}

// SAFETY: `lock` returns only after having changed the word from FREE, and only the holder sets it to FREE.
unsafe impl Lock for Futex {
    #[inline(always)]
    fn lock(&self) {
        if self.0.compare_exchange(FREE, HELD, Acquire, Relaxed).is_err() {
            self.lock_contended();
        }
    }

    #[inline(always)]
    unsafe fn unlock(&self) {
        if self.0.swap(FREE, Release) == CONTENDED {
            sys::futex_wake_one(&self.0);
        }
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

// SAFETY: whoever made the value promised that there is only one caller.
unsafe impl Lock for SingleThreaded {
    #[inline(always)]
    fn lock(&self) {}

    #[inline(always)]
    unsafe fn unlock(&self) {}
}
