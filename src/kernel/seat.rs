//! A lock that knows when waiting would never end.
//!
//! A futex lock in one word, after Drepper, "Futexes Are Tricky" (2011), section 5:
//!
//! ```text
//! 0            vacant: not in use as a lock, nobody gets it
//! 1            free
//! holder + 2   held, nobody sleeps
//! holder + 3   held, somebody may sleep
//!
//! take   1 -> holder + 2; otherwise set the lowest bit and sleep while the word stays, until it is 1
//! leave  set 1; if the lowest bit was set, wake one sleeper
//! ```
//!
//! The holder is some bits of its thread pointer. It is in the same word, so that it is never another one's: not even
//! for the instant between two instructions, in which a thread may be interrupted, and kept from running for long.
//!
//! A thread that slept takes the lock with the lowest bit set, for others may still sleep: at worst one wake too many.
//! Nothing here needs thread-local storage, so it works in threads made by a bare `clone`.
//!
//! Three kinds of waiting never end, and each is recognized on the slow path only:
//!
//! - **Nobody else is there.** If no other task shares this memory, then the lock is held by the waiter itself (a
//!   signal handler that interrupted it), or by a thread of the process that this one was copied from.
//!   `unshare(CLONE_VM)` says whether that is so, and changes nothing.
//! - **The waiter lent it out** and comes back for it: the lender's thread id is written down.
//! - **The waiter interrupted itself** while other threads live: the holder's thread pointer is the waiter's. As
//!   threads made by a bare `clone` may share one, it is believed only if the holder makes no progress in half a second
//!   of sleep.

use crate::kernel::libc;
use crate::kernel::tasks::Awake;
use crate::kernel::{sys, tasks};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU32};

const VACANT: u32 = 0;
const FREE: u32 = 1;
const HELD: u32 = 2;
/// Added to a held word.
const CONTENDED: u32 = 1;

/// How often a waiter looks before it sleeps. The lock is held for some tens of nanoseconds; sleeping takes
/// microseconds.
const SPINS: u32 = 100;
/// How long a waiter sleeps at a time, in milliseconds. Whoever leaves the lock wakes it sooner.
const SLEEP: usize = 10;
/// Sleeps in vain after which a holder with the waiter's thread pointer is taken for the waiter itself.
const PATIENCE: u32 = 50;
/// The same for a thread that only wants to know whether it may fork.
pub(crate) const FORK_PATIENCE: u32 = 10;
/// How often a waiter is woken for nothing before others stand back for it. The lock is otherwise not fair: who is
/// awake gets it at once, which serves all of them best.
const OUTRUN_MAX: u32 = 50;
/// So many disturbances, as by a fast timer's signals, count as one sleep in vain.
const DISTURBED_MAX: u32 = 200;
/// Sleeps in vain between two looks at who else is there.
const LOOK_EVERY: u32 = 100;
/// Sleeps in vain before the first look where a filter may kill who looks: so many that nothing is lost by it.
const FILTERED_PATIENCE: u32 = 500;

/// Whether thread pointers tell threads apart here, see [`use_thread_pointers`].
static THREAD_POINTERS: AtomicBool = AtomicBool::new(false);

/// Why waiting for a lock would never end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endless {
    /// No other task shares this memory.
    Alone,
    /// The waiter has lent out what the lock protects.
    Lent,
    /// The waiter interrupted itself.
    Interrupted,
}

impl Endless {
    /// Says in one line what the waiter did, and ends the process.
    #[cold]
    pub(crate) fn die(self) -> ! {
        sys::die(match self {
            Self::Alone => {
                "hmalloc: waiting for the heap would never end: a signal handler interrupted a call to it, or this \
                 process was made by a bare system call while another thread was in it\n"
            }
            Self::Lent => {
                "hmalloc: the heap is used in another way inside of `with` or `inspect`, or in a signal handler that \
                 interrupted a long call to it: waiting for it would never end (`snapshot` shows blocks without holding \
                 it)\n"
            }
            Self::Interrupted => {
                "hmalloc: waiting for the heap would never end: a signal handler interrupted a call to it in its own \
                 thread\n"
            }
        })
    }
}

/// The lock. All zeros is vacant.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Seat {
    word: AtomicU32,
    /// Thread id of the task that lends out what the lock protects, or 0.
    lender: AtomicU32,
    /// 1 if a waiter was outrun again and again by those who leave the lock and take it again at once.
    starving: AtomicU32,
    /// How many locks share this seat.
    users: AtomicU32,
}

/// Says that from now on every thread has a thread pointer of its own: the program has a libc.
pub(crate) fn use_thread_pointers() {
    if libc::is_linked() {
        THREAD_POINTERS.store(true, Relaxed);
    }
}

/// The calling thread's pointer, or 0 where that tells nothing.
#[inline(always)]
pub(crate) fn this_thread() -> usize {
    if !THREAD_POINTERS.load(Relaxed) {
        return 0;
    }
    // SAFETY: set only if there is a libc.
    unsafe { libc::thread_pointer() }
}

/// The word of a lock that the caller holds. Only [`HELD`] where thread pointers tell nothing.
#[inline(always)]
fn held_by_caller() -> u32 {
    // Thread pointers are multiples of 16, and of these the next 30 bits differ: threads have room for their stacks.
    HELD | (this_thread() >> 4 << 2) as u32
}

impl Seat {
    pub(crate) const fn new() -> Self {
        Self {
            word: AtomicU32::new(VACANT),
            lender: AtomicU32::new(0),
            starving: AtomicU32::new(0),
            users: AtomicU32::new(0),
        }
    }

    /// Whether it was never made a lock.
    pub(crate) fn is_vacant(&self) -> bool {
        self.word.load(Relaxed) == VACANT
    }

    /// Makes a vacant seat a free lock.
    pub(crate) fn open(&self) {
        let _ = self.word.compare_exchange(VACANT, FREE, Release, Relaxed);
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

    /// Notes that a heap which had this lock is gone. After the last one the lock is free, whoever holds it: the next
    /// heap here is not to wait for a `before_fork` without an `after_fork`.
    pub(crate) fn part(&self) {
        if self.users.load(Relaxed) == 1 {
            self.word.store(FREE, Release);
        }
        self.users.fetch_sub(1, Relaxed);
    }

    /// Takes the lock if it is free.
    #[inline(always)]
    pub(crate) fn try_take(&self) -> bool {
        self.word.compare_exchange(FREE, held_by_caller(), Acquire, Relaxed).is_ok()
    }

    /// Takes the lock, however long that takes, or says why the wait would never end.
    #[cold]
    pub(crate) fn take(&self) -> Result<(), Endless> {
        self.take_within(PATIENCE)
    }

    /// As [`take`](Self::take), with the number of sleeps after which the waiter believes that it waits for itself.
    #[cold]
    pub(crate) fn take_within(&self, patience: u32) -> Result<(), Endless> {
        for _ in 0..SPINS {
            if self.word.load(Relaxed) == FREE && self.try_take() {
                return Ok(());
            }
            core::hint::spin_loop();
        }
        let lender = self.lender.load(Relaxed);
        if lender != 0 && lender == tasks::thread_id() {
            return Err(Endless::Lent);
        }
        self.sleep_until(|in_vain| self.doubt(in_vain, patience))
    }

    /// Takes the lock unless nobody leaves it for so many sleeps. For a caller who holds others that the holder may
    /// want.
    #[cold]
    pub(crate) fn take_briefly(&self, sleeps: u32) -> bool {
        self.sleep_until(|in_vain| if in_vain < sleeps { Ok(()) } else { Err(()) }).is_ok()
    }

    /// Takes the lock, or gives up for the reason that `doubt` has after so many sleeps in vain.
    fn sleep_until<E>(&self, doubt: impl Fn(u32) -> Result<(), E>) -> Result<(), E> {
        let (mut in_vain, mut outrun, mut disturbed) = (0, 0, 0);
        let answer = loop {
            let seen = self.word.load(Relaxed);
            let to = if seen == FREE { held_by_caller() | CONTENDED } else { seen | CONTENDED };
            if seen != to && self.word.compare_exchange(seen, to, Acquire, Relaxed).is_err() {
                continue;
            }
            if seen == FREE {
                break Ok(());
            }
            match tasks::futex_wait(&self.word, to, SLEEP) {
                Awake::Called => (in_vain, outrun) = (0, outrun + 1),
                Awake::Disturbed if disturbed < DISTURBED_MAX => disturbed += 1,
                Awake::Late | Awake::Disturbed => {
                    (in_vain, disturbed) = (in_vain + 1, 0);
                    if let Err(reason) = doubt(in_vain) {
                        break Err(reason);
                    }
                }
            }
            if outrun >= OUTRUN_MAX {
                self.starving.store(1, Relaxed);
            }
        };
        if outrun >= OUTRUN_MAX {
            self.starving.store(0, Relaxed);
            tasks::futex_wake_one(&self.starving);
        }
        answer
    }

    /// What a waiter has reason to believe after so many sleeps in which nobody left the lock.
    fn doubt(&self, in_vain: u32, patience: u32) -> Result<(), Endless> {
        let look = in_vain % LOOK_EVERY == 1 && (in_vain > FILTERED_PATIENCE || !tasks::is_filtered());
        // Looked at when nobody else is there any more: who was may have left it, or a fork has, in the child of which
        // the waiter goes on.
        if look && tasks::is_alone() && self.word.load(Relaxed) != FREE {
            return Err(Endless::Alone);
        }
        // Who lends is known by name. It is not the waiter, and takes as long as it likes.
        let mine = held_by_caller();
        if in_vain >= patience && mine != HELD && !self.is_lent() && self.word.load(Relaxed) == mine | CONTENDED {
            return Err(Endless::Interrupted);
        }
        Ok(())
    }

    /// Leaves the lock. True if somebody may sleep, whom [`wake`](Self::wake) is for then.
    ///
    /// # Safety
    ///
    /// The caller holds the lock.
    #[inline(always)]
    pub(crate) unsafe fn leave(&self) -> bool {
        self.word.swap(FREE, Release) & CONTENDED != 0
    }

    /// Leaves the lock, and wakes one sleeper if there may be one.
    ///
    /// # Safety
    ///
    /// The caller holds the lock.
    pub(crate) unsafe fn leave_and_wake(&self) {
        // SAFETY: the caller's promise.
        if unsafe { self.leave() } {
            self.wake();
        }
    }

    /// Wakes one sleeper. If somebody starves, the caller stands back for a moment, or until that one is served.
    #[cold]
    pub(crate) fn wake(&self) {
        tasks::futex_wake_one(&self.word);
        if self.starving.load(Relaxed) != 0 && tasks::futex_wait(&self.starving, 1, SLEEP) != Awake::Called {
            // Who starves says so again; who was lost by a fork does not.
            self.starving.store(0, Relaxed);
        }
    }

    /// Whether what the lock protects is lent out.
    pub(crate) fn is_lent(&self) -> bool {
        self.lender.load(Relaxed) != 0
    }

    /// Notes that the caller, who holds the lock, lends out what it protects; or does so no more.
    pub(crate) fn set_lender(&self, thread: u32) {
        self.lender.store(thread, Relaxed);
    }

    /// Renews the lender's thread id in the child of a fork, if the heap is lent out: its one thread has a new id.
    pub(crate) fn renew_lender(&self) {
        if self.is_lent() {
            self.set_lender(tasks::thread_id());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vacant_seat_is_nobodys_and_an_open_one_has_one_holder() {
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
