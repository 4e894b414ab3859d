//! The word of freed bits, with the checker's atomics.
//!
//! ```text
//! 63            32 31             0
//! +---------------+---------------+
//! | generation    | freed         |
//! +---------------+---------------+
//! ```

use crate::history::note;
use loom::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::atomic::Ordering::{self, Relaxed};

/// The slot is not live, or another thread has freed it already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotLive;

/// The freed bits.
pub(crate) fn freed_of(word: u64) -> u32 {
    word as u32
}

/// The word after a take.
pub(crate) fn next_generation(word: u64) -> u64 {
    ((word >> 32) + 1) << 32
}

fn shown(word: u64) -> String {
    format!("generation {}, freed {:02b}", word >> 32, freed_of(word))
}

/// A word as one thread sees it. What it does is noted.
pub(crate) struct Word<'w> {
    pub(crate) word: &'w AtomicU64,
    pub(crate) thread: usize,
}

impl Word<'_> {
    pub(crate) fn load(&self, ordering: Ordering) -> u64 {
        let seen = self.word.load(ordering);
        note(self.thread, format!("looks: {}", shown(seen)));
        seen
    }

    pub(crate) fn swap_if(&self, old: u64, new: u64, success: Ordering, failure: Ordering) -> Result<(), u64> {
        match self.word.compare_exchange(old, new, success, failure) {
            Ok(_) => {
                note(self.thread, format!("swaps in: {}", shown(new)));
                Ok(())
            }
            Err(now) => {
                note(self.thread, format!("too late: {}", shown(now)));
                Err(now)
            }
        }
    }
}

/// Live bits, which only the owner writes.
pub(crate) struct Live(pub(crate) AtomicU32);

impl Live {
    pub(crate) fn has(&self, thread: usize, bit: u32) -> bool {
        let live = self.0.load(Relaxed);
        note(thread, format!("sees live bits {live:02b}"));
        live & bit != 0
    }

    /// Clears bits, and returns which were set.
    pub(crate) fn clear(&self, bits: u32) -> u32 {
        let live = self.0.load(Relaxed);
        self.0.store(live & !bits, Relaxed);
        note(0, format!("clears live bits {bits:02b}"));
        live & bits
    }

    pub(crate) fn hand_out(&self, bit: u32) {
        let live = self.0.load(Relaxed);
        self.0.store(live | bit, Relaxed);
        note(0, format!("hands out slot {bit:02b}"));
    }
}
