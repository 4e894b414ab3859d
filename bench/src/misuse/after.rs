//! Whether a heap is still sound after a mistake that it did not notice: its blocks are filled and read back.

use crate::allocators::block::Block;
use crate::allocators::candidate::Entry;
use crate::base::random::{SEED, Sizes};
use std::hint::black_box;

/// Blocks that are live when the mistake is made.
const BEFORE: usize = 200;
/// Blocks that are allocated afterwards, and how often.
const AFTER: usize = 2_000;
const ROUNDS: usize = 4;

/// Live blocks, each filled with a number of its own.
pub(super) struct Blocks {
    blocks: Vec<Block>,
}

impl Blocks {
    /// Blocks of the size that is freed wrongly.
    pub(super) fn new(entry: &Entry, size: usize) -> Self {
        let blocks = (0..BEFORE).map(|_| entry.block(size)).collect();
        let blocks = Self { blocks };
        blocks.fill(0);
        blocks
    }

    /// One that lies among others.
    pub(super) fn any(&self) -> *mut u8 {
        self.blocks[BEFORE / 2].payload
    }

    /// The same, which is from here on another's to free.
    pub(super) fn give_away(&mut self) -> *mut u8 {
        let given = self.blocks.remove(BEFORE / 2).payload;
        self.fill(0);
        given
    }

    fn fill(&self, first: u64) {
        for (number, block) in (first..).zip(&self.blocks) {
            // SAFETY: the words are those of a live block.
            words(*block).for_each(|word| unsafe { word.write_unaligned(number) });
        }
    }

    /// Whether all still hold what [`fill`](Self::fill) wrote.
    fn are_whole(&self, first: u64) -> bool {
        (first..).zip(&self.blocks).all(|(number, block)| {
            // SAFETY: as above, and all were written.
            let same = |word: *mut u64| unsafe { black_box(word).read_unaligned() } == number;
            words(*block).all(same)
        })
    }
}

/// Uses the heap as a program would go on to, and says whether all blocks kept what was written to them, so that no two
/// live ones share a byte.
pub(super) fn is_sound(entry: &Entry, before: &Blocks) -> bool {
    let mut random = SEED;
    (1..=ROUNDS).all(|round| {
        let sizes = [Sizes::LogUniform(8, 1024), Sizes::Uniform(64, 64)][round % 2];
        let after = Blocks { blocks: (0..AFTER).map(|_| entry.block(sizes.next(&mut random))).collect() };
        let first = (round as u64) << 32;
        after.fill(first);
        let whole = before.are_whole(0) && after.are_whole(first);
        after.blocks.iter().for_each(|block| entry.free_block(*block));
        whole && before.are_whole(0)
    })
}

/// All whole words of a block.
fn words(block: Block) -> impl Iterator<Item = *mut u64> {
    (0..block.size / 8).map(move |index| block.payload.cast::<u64>().wrapping_add(index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocators;

    /// The C library's entry, to be broken in one place.
    fn system() -> Entry {
        Entry { ..*allocators::find("system").unwrap() }
    }

    #[test]
    fn a_heap_that_works_is_sound() {
        assert!(is_sound(&system(), &Blocks::new(&system(), 64)));
    }

    #[test]
    fn a_heap_that_gives_a_block_twice_is_not() {
        static mut BLOCK: [u64; 512] = [0; 512];
        let broken = Entry { allocate: |_| (&raw mut BLOCK).cast(), free: |_, _| (), ..system() };
        assert!(!is_sound(&broken, &Blocks::new(&system(), 64)));
    }
}
