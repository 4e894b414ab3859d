//! Exercise 8: choose the orderings. The page is `learn/book/src/exercise-8.md`.
//!
//! Another thread frees a slot by setting a bit in a word. The owner takes such bits when it needs slots: it clears their live
//! bits, and then the whole word, in which the generation goes up by one. The code is right; its six orderings are yours.
//! Put `Choice::Relaxed`, `Acquire`, `Release`, `AcqRel` or `SeqCst` in the place of each blank: as weak as can be.
//!
//! `cargo run -p learn -- grade 8`

use crate::{Choice, NotLive, Word, freed_of, next_generation};

/// Another thread looks at the word.
pub const FREE_LOAD: Choice = Choice::Blank;
/// Its bit goes into the word.
pub const FREE_SWAP: Choice = Choice::Blank;
/// The word had changed: this is another look at it.
pub const FREE_AGAIN: Choice = Choice::Blank;
/// The owner looks at the word.
pub const TAKE_LOAD: Choice = Choice::Blank;
/// The next generation, without bits, goes into the word.
pub const TAKE_SWAP: Choice = Choice::Blank;
/// The word had changed: this is another look at it.
pub const TAKE_AGAIN: Choice = Choice::Blank;

/// Frees the slot of `bit`, for a thread that is not the owner. `is_live` looks at the slot's live bit.
pub fn free(word: &Word, bit: u32, is_live: impl Fn() -> bool) -> Result<(), NotLive> {
    let mut seen = word.load(FREE_LOAD.at(0));
    loop {
        if !is_live() || freed_of(seen) & bit != 0 {
            return Err(NotLive);
        }
        match word.swap_if(seen, seen | u64::from(bit), FREE_SWAP.at(1), FREE_AGAIN.at(2)) {
            Ok(()) => return Ok(()),
            Err(now) => seen = now,
        }
    }
}

/// Takes what others have freed, for the owner. `clear` clears live bits. Returns the slots that are free now.
pub fn take(word: &Word, clear: impl Fn(u32) -> u32) -> u32 {
    let mut taken = 0;
    let mut seen = word.load(TAKE_LOAD.at(3));
    loop {
        let more = freed_of(seen) & !taken;
        taken |= if more == 0 { 0 } else { clear(more) };
        match word.swap_if(seen, next_generation(seen), TAKE_SWAP.at(4), TAKE_AGAIN.at(5)) {
            Ok(()) => return taken,
            Err(now) => seen = now,
        }
    }
}
