//! The word of a lock: taking it, leaving it, and how nobody who sleeps is forgotten.
//!
//! ```text
//! 0            vacant: not in use as a lock, no thread gets it
//! 1            free
//! holder + 2   held, no thread sleeps
//! holder + 3   held, a thread may sleep
//!
//! take   1 -> holder + 2; otherwise set the lowest bit and sleep while the word stays, until it is 1
//! leave  set 1; if the lowest bit was set, wake one sleeper
//! ```
//!
//! Taking is a compare-and-swap, leaving is a swap, which learns from the lowest bit whether a thread may sleep.
//!
//! A lock that is left by a plain store until a thread first has to sleep for it was tried: a waiter then says so in a second
//! word, and has all threads pass a barrier before it sets the bit. It saves one of the two locked instructions of a turn,
//! and 2 to 3 % of the time: 21.6 ns for 22.1 for a pair of small blocks under the lock, 49.3 for 50.9 for a large one, and
//! nothing where two threads meet. For the next compare-and-swap waits for the store as it did for the swap. So the swap stays.
//!
//! | ordering | its partner | what breaks without it |
//! |---|---|---|
//! | leave, open, release: Release | take, take or mark: Acquire | the holder misses what was done before |

use super::atomic::{Acquire, AtomicU32, Relaxed, Release};

const VACANT: u32 = 0;
const FREE: u32 = 1;
/// What each held word has.
pub(crate) const HELD: u32 = 2;
/// Added to a held word.
const CONTENDED: u32 = 1;

/// The word. Zero is vacant.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Word(AtomicU32);

impl Word {
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(VACANT))
    }

    /// What a thread that waits sleeps on.
    pub(crate) fn state(&self) -> &AtomicU32 {
        &self.0
    }

    /// Whether it was never made a lock.
    pub(crate) fn is_vacant(&self) -> bool {
        self.0.load(Relaxed) == VACANT
    }

    /// Whether it is a free lock.
    pub(crate) fn is_free(&self) -> bool {
        self.0.load(Relaxed) == FREE
    }

    /// Makes a vacant word a free lock.
    pub(crate) fn open(&self) {
        let _ = self.0.compare_exchange(VACANT, FREE, Release, Relaxed);
    }

    /// Makes it a free lock, whoever holds it.
    pub(crate) fn release(&self) {
        self.0.store(FREE, Release);
    }

    /// Takes the lock if it is free; `held` is then its word.
    #[inline(always)]
    pub(crate) fn try_take(&self, held: u32) -> bool {
        self.0.compare_exchange(FREE, held, Acquire, Relaxed).is_ok()
    }

    /// Leaves the lock. True if a thread may sleep, one of which has to be woken then. For the holder.
    #[inline(always)]
    pub(crate) fn leave(&self) -> bool {
        self.0.swap(FREE, Release) & CONTENDED != 0
    }

    /// Takes the lock if it is free, for a caller that may have slept: others may still sleep, so the lowest bit is set. If it
    /// is held, sets the bit, too, and returns the word: while it stays, the caller may sleep.
    pub(crate) fn take_or_mark(&self, held: u32) -> Option<u32> {
        loop {
            let seen = self.0.load(Relaxed);
            let to = if seen == FREE { held | CONTENDED } else { seen | CONTENDED };
            if seen == to || self.0.compare_exchange(seen, to, Acquire, Relaxed).is_ok() {
                return (seen != FREE).then_some(to);
            }
        }
    }

    /// Whether the word is this one.
    pub(crate) fn is_still(&self, word: u32) -> bool {
        self.0.load(Relaxed) == word
    }

    /// Whether a caller that has [marked](Self::take_or_mark) the holder's word `held` would find it as it left it.
    pub(crate) fn is_still_marked(&self, held: u32) -> bool {
        self.is_still(held | CONTENDED)
    }

    /// Whether the holder's word is `held`, whether or not a thread sleeps.
    pub(crate) fn is_held_as(&self, held: u32) -> bool {
        self.0.load(Relaxed) & !CONTENDED == held
    }
}
