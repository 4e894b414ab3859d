//! Exercise 6: a slab, with a bit for each slot and exact validation. The page is `learn/book/src/exercise-6.md`.
//!
//! Replace each `gap!(...)` by your own code, and let it be graded: `cargo run -p learn -- grade 6`

use learn_heap::{Slab, Wrong, gap};

/// More slots than a slab of 16 KiB can have: the smallest is of 16 bytes.
const SLOTS: usize = 1024;

/// A slab. Its header lies apart from its slots, so nothing that is written to a block can reach the bits.
pub struct Slots {
    start: usize,
    bytes: usize,
    slot: usize,
    /// So many whole slots fit. What is left over is the tail.
    capacity: usize,
    /// 2^32 / slot, rounded up: with it one multiplication divides by `slot`.
    reciprocal: u32,
    /// A bit for each slot, 64 in a word, the lowest first: set while a caller holds the slot.
    live: [u64; SLOTS / 64],
}

impl Slots {
    /// The number of the slot that starts exactly `offset` bytes into the slab; `None` if none starts there. An offset in the
    /// tail gives a number past the last slot.
    fn number(&self, offset: usize) -> Option<usize> {
        // The upper half of the product is the quotient. The lower half is below the reciprocal exactly where nothing
        // remains: the page says why.
        let product: u64 = (offset as u64).wrapping_mul(self.reciprocal.into());
        gap!("exact: the quotient, if `offset` is an exact multiple of the slot's size")
    }
}

impl Slab for Slots {
    fn new(start: usize, bytes: usize, slot: usize) -> Self {
        let (capacity, reciprocal) = (bytes / slot, (1_u64 << 32).div_ceil(slot as u64) as u32);
        Self { start, bytes, slot, capacity, reciprocal, live: [0; SLOTS / 64] }
    }

    fn allocate(&mut self) -> Option<usize> {
        let word = self.live.iter().position(|&word| word != u64::MAX)?;
        let number: usize = gap!("clear: the number of the first slot of this word whose bit is clear");
        if number >= self.capacity {
            return None;
        }
        self.live[number / 64] |= 1 << (number % 64);
        Some(self.start + number * self.slot)
    }

    fn free(&mut self, address: usize) -> Result<(), Wrong> {
        // Below the start the distance wraps, and is as large as can be.
        let offset = address.wrapping_sub(self.start);
        if offset >= self.bytes {
            return Err(Wrong::Outside);
        }
        let Some(number) = self.number(offset) else { return Err(Wrong::NotASlot) };
        if gap!("tail: whether there is no such slot") {
            return Err(Wrong::NotASlot);
        }
        if gap!("live: whether its bit is clear") {
            return Err(Wrong::AlreadyFree);
        }
        gap!("flip: the bit says from now on that the slot is free");
        Ok(())
    }
}
