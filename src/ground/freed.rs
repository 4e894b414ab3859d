//! What other threads have freed in a slab: one word for each 32 of its slots (16 where addresses have 32 bits).
//!
//! ```text
//! 63            32 31             0        a slab's live bits, which only its owner writes
//! +---------------+---------------+        +--------------------------------+
//! | generation    | freed         |        | ... 1 1 0 1 1 1 0 1            |
//! +---------------+---------------+        +--------------------------------+
//! ```
//!
//! A slot is **live** while a caller holds it, as the owner sees it. Another thread that frees it sets its bit here, and
//! leaves the live bit to the owner. The owner **takes** freed bits when it needs slots: it clears their live bits, then
//! the whole word in one step, in which the generation goes up by one.
//!
//! | step | who | what, in this order |
//! |---|---|---|
//! | free | another thread | load the word; the address must still give this slot, the live bit be set and the freed bit clear, else this is a misuse; swap the bit in, if the word is still the one that was loaded |
//! | take | the owner | load the word; clear the live bit of each freed bit (one that is not set was freed twice); swap in the next generation without freed bits |
//!
//! # Why it is exact
//!
//! Two other threads: their swaps go through one word, so the second sees the first's bit, or a new generation and then no
//! live bit. A late free of a slot that was taken and handed out again meanwhile: its swap fails, because the generation
//! has gone up before that. The generation also goes up when the slab is retired, so a swap that comes after its pages were
//! cut anew fails, too. The live bits are cleared before, so whoever sees the new generation sees no old live bit. If
//! the owner frees a slot in the same instant as another thread, both return, and the owner finds a freed bit without its
//! live bit when it next takes the word, which it does before it hands out any slot of it.
//!
//! | ordering | its partner | what breaks without it |
//! |---|---|---|
//! | free: load, Acquire | take: swap, Release | a stale live bit is seen under the new generation |
//! | free: swap, Release | take: load, Acquire | the owner hands out a block to which its last holder still writes |
//! | take: swap, Release | free: load, Acquire | as the first |

use super::atomic::{Acquire, AtomicFreed, Relaxed, Release};

/// Half of a word: freed bits, or a generation.
#[cfg(target_pointer_width = "64")]
pub(crate) type Half = u32;
#[cfg(not(target_pointer_width = "64"))]
pub(crate) type Half = u16;

#[cfg(target_pointer_width = "64")]
type Word = u64;
#[cfg(not(target_pointer_width = "64"))]
type Word = u32;

/// Slots of a word.
pub(crate) const SLOTS: usize = Half::BITS as usize;

/// Slots whose words lie in one cache line.
pub(crate) const SLOTS_OF_LINE: usize = 64 / size_of::<Word>() * SLOTS;

/// The slot is not live, or another thread has freed it already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotLive;

/// What the owner has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Taken {
    /// The slots that others had freed. They are free now.
    pub(crate) freed: Half,
    /// Those that had been freed a second time, by the owner.
    pub(crate) twice: Half,
}

/// The word. Zero at first: nothing is freed.
#[repr(transparent)]
pub(crate) struct Freed(AtomicFreed);

fn freed_of(word: Word) -> Half {
    word as Half
}

impl Freed {
    /// Frees a slot of another owner's: the one of `bit`. `is_live` says whether it is live and still the slot that the caller
    /// means, which it looks up anew: the slab may have been retired meanwhile.
    #[inline(always)]
    pub(crate) fn free(&self, bit: Half, is_live: impl Fn() -> bool) -> Result<(), NotLive> {
        let mut seen = self.0.load(Acquire);
        loop {
            if !is_live() || freed_of(seen) & bit != 0 {
                return Err(NotLive);
            }
            match self.0.compare_exchange_weak(seen, seen | Word::from(bit), Release, Acquire) {
                Ok(_) => return Ok(()),
                Err(now) => seen = now,
            }
        }
    }

    /// Takes what others have freed, and begins the next generation. For the owner. `clear` clears the live bits of some
    /// slots and returns which of them were set.
    pub(crate) fn take(&self, clear: impl Fn(Half) -> Half) -> Taken {
        let mut taken = Taken::default();
        let mut seen = self.0.load(Acquire);
        loop {
            let more = freed_of(seen) & !(taken.freed | taken.twice);
            let live = if more == 0 { 0 } else { clear(more) };
            taken.freed |= live;
            taken.twice |= more & !live;
            let next = (seen >> Half::BITS).wrapping_add(1) << Half::BITS;
            match self.0.compare_exchange_weak(seen, next, Release, Acquire) {
                Ok(_) => return taken,
                Err(now) => seen = now,
            }
        }
    }

    /// Which slots others have freed.
    pub(crate) fn freed(&self) -> Half {
        freed_of(self.0.load(Relaxed))
    }
}
