//! The blocks of an allocator under measurement, in a table that it knows nothing of.

use crate::allocators::block::Block;
use crate::allocators::candidate::Entry;
use crate::base::kernel;
use crate::base::random;

/// Blocks, each of whose bytes were written, and what was resident before the first of them.
pub(super) struct Blocks {
    entry: &'static Entry,
    slots: &'static mut [Block],
    count: usize,
    base: usize,
    live: usize,
    peak_live: usize,
}

impl Blocks {
    /// Holds at most `capacity` blocks. The table is resident before anything is counted.
    pub(super) fn new(entry: &'static Entry, capacity: usize) -> Self {
        let slots = kernel::table(capacity, |_| Block::NONE);
        (entry.prepare)();
        Self { entry, slots, count: 0, base: kernel::resident(), live: 0, peak_live: 0 }
    }

    pub(super) fn all(&self) -> &[Block] {
        &self.slots[..self.count]
    }

    /// Bytes that were asked for and not freed.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    pub(super) fn peak_live(&self) -> usize {
        self.peak_live
    }

    /// What is resident now, without what was before the first block.
    pub(super) fn resident(&self) -> usize {
        kernel::resident().saturating_sub(self.base)
    }

    pub(super) fn peak_resident(&self) -> usize {
        kernel::peak_resident().saturating_sub(self.base)
    }

    /// Allocates a block and writes all of it.
    pub(super) fn add(&mut self, size: usize) {
        let block = self.entry.block(size);
        block.fill(0);
        self.slots[self.count] = block;
        self.count += 1;
        self.count_live(size);
    }

    /// Resizes a block to a larger size and writes what is new.
    pub(super) fn grow(&mut self, index: usize, size: usize) {
        let old = self.slots[index];
        self.slots[index] = self.entry.resized(old, size);
        self.slots[index].fill(old.size);
        self.live -= old.size;
        self.count_live(size);
    }

    fn count_live(&mut self, more: usize) {
        self.live += more;
        self.peak_live = self.peak_live.max(self.live);
    }

    /// Frees a block; the last one takes its place in the table.
    pub(super) fn remove(&mut self, index: usize) {
        self.free(self.slots[index]);
        self.count -= 1;
        self.slots[index] = self.slots[self.count];
    }

    /// Frees those from `start` on that are not to be kept, in the order of the table. `keep` is told how far from
    /// `start` a block is.
    pub(super) fn retain(&mut self, start: usize, keep: impl Fn(usize, Block) -> bool) {
        let mut kept = start;
        for index in start..self.count {
            let block = self.slots[index];
            if keep(index - start, block) {
                self.slots[kept] = block;
                kept += 1;
            } else {
                self.free(block);
            }
        }
        self.count = kept;
    }

    pub(super) fn shuffle(&mut self, random: &mut u64) {
        random::shuffle(&mut self.slots[..self.count], random);
    }

    fn free(&mut self, block: Block) {
        self.live -= block.size;
        self.entry.free_block(block);
    }

    /// Has the allocator return free memory, if it can be asked for that.
    pub(super) fn trim(&self) -> bool {
        self.entry.trim.map(|trim| trim()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocators;

    #[test]
    fn live_bytes_are_those_of_the_blocks() {
        let mut blocks = Blocks::new(allocators::find("system").unwrap(), 100);
        (1..=100).for_each(|size| blocks.add(size));
        blocks.grow(0, 1001);
        let sum = |blocks: &Blocks| blocks.all().iter().map(|block| block.size).sum::<usize>();
        assert_eq!((blocks.live(), sum(&blocks)), (6050, 6050));
        blocks.shuffle(&mut random::SEED.clone());
        blocks.remove(7);
        blocks.retain(50, |index, _| index % 2 == 0);
        assert_eq!((blocks.all().len(), blocks.live()), (75, sum(&blocks)));
        blocks.retain(0, |_, _| false);
        assert_eq!((blocks.all().len(), blocks.live(), blocks.peak_live()), (0, 0, 6050));
    }
}
