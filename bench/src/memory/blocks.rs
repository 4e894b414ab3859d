//! The blocks of an allocator under measurement, in a table that it knows nothing of.

use crate::allocators::Entry;
use crate::base::kernel;
use crate::measure::child::OUT_OF_MEMORY;
use crate::workloads::{below, next};

/// Where the pseudo-random sequences begin: all allocators see the same sizes and victims.
pub(super) const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

#[derive(Clone, Copy)]
pub(super) struct Block {
    pub(super) payload: *mut u8,
    pub(super) size: usize,
}

const NONE: Block = Block { payload: std::ptr::null_mut(), size: 0 };

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
        let slots = kernel::table(capacity, |_| NONE);
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
        // SAFETY: no size here is 0.
        let payload = unsafe { (self.entry.allocate)(size) };
        self.slots[self.count] = fill(payload, 0, size);
        self.count += 1;
        self.count_live(size);
    }

    /// Resizes a block and writes what is new.
    pub(super) fn resize(&mut self, index: usize, size: usize) {
        let old = self.slots[index];
        // SAFETY: the block is live and has this size.
        let payload = unsafe { (self.entry.resize)(old.payload, old.size, size) };
        self.slots[index] = fill(payload, old.size.min(size), size);
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
        for index in (1..self.count).rev() {
            self.slots.swap(index, below(next(random), index + 1));
        }
    }

    fn free(&mut self, block: Block) {
        self.live -= block.size;
        // SAFETY: the block is live, has this size, and its slot is given up by the callers.
        unsafe { (self.entry.free)(block.payload, block.size) }
    }

    /// Gives free memory back, if the allocator can be asked for that.
    pub(super) fn trim(&self) -> bool {
        self.entry.trim.map(|trim| trim()).is_some()
    }
}

/// A null pointer ends the process.
fn fill(payload: *mut u8, from: usize, size: usize) -> Block {
    if payload.is_null() {
        std::process::exit(OUT_OF_MEMORY);
    }
    // SAFETY: the block is live and has `size` bytes, and `from` is no more.
    unsafe { payload.add(from).write_bytes(1, size - from) };
    Block { payload, size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocators;

    fn blocks(capacity: usize) -> Blocks {
        let entry = allocators::ALL.iter().find(|entry| entry.name == "system").unwrap();
        Blocks::new(entry, capacity)
    }

    #[test]
    fn live_bytes_are_those_of_the_blocks() {
        let mut blocks = blocks(100);
        (1..=100).for_each(|size| blocks.add(size));
        blocks.resize(0, 1001);
        let sum = |blocks: &Blocks| blocks.all().iter().map(|block| block.size).sum::<usize>();
        assert_eq!((blocks.live(), sum(&blocks)), (6050, 6050));
        blocks.shuffle(&mut SEED.clone());
        blocks.remove(7);
        blocks.retain(50, |index, _| index % 2 == 0);
        assert_eq!((blocks.all().len(), blocks.live()), (75, sum(&blocks)));
        blocks.retain(0, |_, _| false);
        assert_eq!((blocks.all().len(), blocks.live(), blocks.peak_live()), (0, 0, 6050));
    }

    #[test]
    fn shuffling_loses_nothing() {
        let mut blocks = blocks(50);
        (1..=50).for_each(|size| blocks.add(size));
        blocks.shuffle(&mut SEED.clone());
        let mut sizes: Vec<usize> = blocks.all().iter().map(|block| block.size).collect();
        assert_ne!(sizes, (1..=50).collect::<Vec<_>>());
        sizes.sort_unstable();
        assert_eq!(sizes, (1..=50).collect::<Vec<_>>());
        blocks.retain(0, |_, _| false);
    }
}
