//! Waiting for a lock, waking a thread that waits, and how to know that a wait would never end.
//!
//! Some kinds of waiting never end, and each is recognized on the slow path only:
//!
//! - **No other thread is there.** If no other task shares this memory, then the lock is held by the waiter itself (a
//!   signal handler that interrupted it), or by a thread of the process that this one was copied from.
//!   `unshare(CLONE_VM)` says whether that is so, and changes nothing.
//! - **The waiter lent it out** and comes back for it: the lender's thread id is written down.
//! - **The waiter interrupted itself** while other threads live: the holder's thread pointer is the waiter's. As
//!   threads made by a bare `clone` may share one, it is believed only if the holder makes no progress in half a second
//!   of sleep.
//! - **The waiter interrupted something else**, and the holder may be waiting for the end of that, as one that forks does. Who
//!   can do without the lock gives up after 20 ms ([`take_unless`](Seat::take_unless)); who forks says that it waits, so that
//!   others need not (`kernel/fork.rs`).
//! - **The holder was left behind** by a fork, which did not wait for it.

use super::{HELD, Seat, held_by_caller};
use crate::kernel::tasks::Awake;
use crate::kernel::{sys, tasks};
use core::sync::atomic::Ordering::Relaxed;

/// How often a waiter looks before it sleeps. The lock is held for some tens of nanoseconds; sleeping takes
/// microseconds.
const SPINS: u32 = 100;
/// How long a waiter sleeps at a time, in milliseconds. The thread that leaves the lock wakes it sooner.
const SLEEP: usize = 10;
/// Sleeps in vain after which a holder with the waiter's thread pointer is taken for the waiter itself.
const PATIENCE: u32 = 50;
/// The same for a thread that only wants to know whether it may fork.
pub(crate) const FORK_PATIENCE: u32 = 10;
/// The same for a caller with something else to do than to wait.
const SHORT_PATIENCE: u32 = 2;
/// How often a waiter is woken in vain before others stand back for it. The lock is otherwise not fair: a thread that
/// is awake gets it at once, which is best for all of them together.
const OVERTAKEN_MAX: u32 = 50;
/// So many interruptions, as by a fast timer's signals, count as one sleep in vain.
const INTERRUPTED_MAX: u32 = 200;
/// Sleeps in vain between two looks for other threads.
const LOOK_EVERY: u32 = 100;
/// Sleeps in vain before the first look where a filter may kill a thread for it: so many that nothing is lost then.
const FILTERED_PATIENCE: u32 = 500;

/// Why waiting for a lock would never end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endless {
    /// No other task shares this memory.
    Alone,
    /// The waiter has lent out what the lock protects.
    Lent,
    /// The waiter interrupted itself.
    Interrupted,
    /// The waiter has interrupted something, if not the holder, and whoever holds the lock may be waiting for that.
    Inside,
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
            Self::Interrupted | Self::Inside => {
                "hmalloc: waiting for the heap would never end: a signal handler interrupted a call to it in its own \
                 thread\n"
            }
        })
    }
}

impl Seat {
    /// Takes the lock, however long that takes, or says why the wait would never end.
    #[cold]
    pub(crate) fn take(&self) -> Result<(), Endless> {
        self.take_within(PATIENCE, &|| false)
    }

    /// As [`take`](Self::take), but gives up for [`Endless::Inside`] if `inside` says so, after two sleeps in vain.
    #[cold]
    pub(crate) fn take_unless(&self, inside: &dyn Fn() -> bool) -> Result<(), Endless> {
        self.take_within(PATIENCE, inside)
    }

    /// The same, with the number of sleeps after which the waiter concludes that it waits for itself.
    // Not generic: it would stand in a program three times.
    #[cold]
    pub(crate) fn take_within(&self, patience: u32, inside: &dyn Fn() -> bool) -> Result<(), Endless> {
        if self.try_take_spinning() {
            return Ok(());
        }
        let lender = self.lender.load(Relaxed);
        if lender != 0 && lender == tasks::thread_id() {
            return Err(Endless::Lent);
        }
        self.sleep_until(|in_vain| {
            if in_vain >= SHORT_PATIENCE && inside() { Err(Endless::Inside) } else { self.doubt(in_vain, patience) }
        })
    }

    /// Takes the lock if it is free within some tens of nanoseconds.
    #[cold]
    pub(crate) fn try_take_spinning(&self) -> bool {
        (0..SPINS).any(|_| {
            core::hint::spin_loop();
            self.word.is_free() && self.try_take()
        })
    }

    /// Takes the lock, or gives up after so many sleeps in which no thread left it. For a caller that holds other
    /// locks, which the holder of this one may want.
    #[cold]
    pub(crate) fn take_briefly(&self, sleeps: u32) -> bool {
        self.sleep_until(|in_vain| if in_vain < sleeps { Ok(()) } else { Err(()) }).is_ok()
    }

    /// Takes the lock, or gives up for the reason that `doubt` has after so many sleeps in vain.
    fn sleep_until<E>(&self, doubt: impl Fn(u32) -> Result<(), E>) -> Result<(), E> {
        let (mut in_vain, mut overtaken, mut interrupted) = (0, 0, 0);
        let answer = loop {
            let Some(to) = self.word.take_or_mark(held_by_caller()) else { break Ok(()) };
            match tasks::futex_wait(self.word.state(), to, SLEEP) {
                Awake::Called => (in_vain, overtaken) = (0, overtaken + 1),
                Awake::Interrupted if interrupted < INTERRUPTED_MAX => interrupted += 1,
                Awake::Late | Awake::Interrupted => {
                    (in_vain, interrupted) = (in_vain + 1, 0);
                    if let Err(reason) = doubt(in_vain) {
                        break Err(reason);
                    }
                }
            }
            if overtaken >= OVERTAKEN_MAX {
                self.starving.store(1, Relaxed);
            }
        };
        if overtaken >= OVERTAKEN_MAX {
            self.end_starving();
        }
        answer
    }

    /// Tells a thread that stands back for the caller that it need not any more.
    fn end_starving(&self) {
        self.starving.store(0, Relaxed);
        tasks::futex_wake_one(&self.starving);
    }

    /// What a waiter has reason to believe after so many sleeps in which no thread left the lock.
    fn doubt(&self, in_vain: u32, patience: u32) -> Result<(), Endless> {
        if in_vain > SHORT_PATIENCE && self.is_lost() {
            return Err(Endless::Alone);
        }
        let look = in_vain % LOOK_EVERY == 1 && (in_vain > FILTERED_PATIENCE || !tasks::is_filtered());
        // The word is read after that: a thread that was there until now may have left the lock, or a fork has, in the
        // child of which the waiter goes on.
        if look && tasks::is_alone() && !self.word.is_free() {
            return Err(Endless::Alone);
        }
        // A lender is known by its thread id: it is not the waiter, and may take as long as it likes.
        let mine = held_by_caller();
        if in_vain >= patience && mine != HELD && !self.is_lent() && self.word.is_still_marked(mine) {
            return Err(Endless::Interrupted);
        }
        Ok(())
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

    /// Wakes one sleeper. If a thread starves, the caller stands back for a moment, or until that one has the lock.
    #[cold]
    pub(crate) fn wake(&self) {
        tasks::futex_wake_one(self.word.state());
        if self.starving.load(Relaxed) != 0 && tasks::futex_wait(&self.starving, 1, SLEEP) != Awake::Called {
            // A thread that still starves says so again; one that a fork left behind does not.
            self.starving.store(0, Relaxed);
        }
    }
}
