//! Blocks of a heap whose contents are known.

use hmalloc::brk::Linux;
use hmalloc::{Heap, OutOfMemory, Stats};
use std::alloc::Layout;
use std::ptr::NonNull;
use support::pattern;
use support::random::Random;

/// A block and what was written into it.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) payload: NonNull<u8>,
    pub(crate) layout: Layout,
    seed: usize,
}

impl Entry {
    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the block is live, at least as long as its layout says, written to its end, and used through its
        // entry only.
        unsafe { std::slice::from_raw_parts_mut(self.payload.as_ptr(), self.layout.size()) }
    }

    fn fill(&mut self) {
        let seed = self.seed;
        pattern::fill(self.bytes(), seed);
    }

    #[track_caller]
    fn verify(mut self) {
        let seed = self.seed;
        let wrong = pattern::first_difference(self.bytes(), seed);
        assert_eq!(wrong, None, "in the block of {:?} at {:p}", self.layout, self.payload);
    }
}

/// Live blocks of one heap. It allocates only when it is made.
pub(crate) struct Ledger {
    pub(crate) live: Vec<Entry>,
    seed: usize,
}

impl Ledger {
    /// Room for `capacity` blocks.
    pub(crate) fn new(capacity: usize) -> Self {
        // The pattern's table is made on first use.
        pattern::fill(&mut [0], 0);
        Self { live: Vec::with_capacity(capacity), seed: 0 }
    }

    /// Takes a block and fills it.
    pub(crate) fn allocate(&mut self, heap: &mut Heap<Linux>, layout: Layout) -> Result<(), OutOfMemory> {
        assert!(self.live.len() < self.live.capacity());
        let payload = heap.allocate(layout)?;
        assert!(payload.addr().get().is_multiple_of(layout.align()), "{layout:?} at {payload:p}");
        // SAFETY: the block is fresh and `layout.size()` bytes long; a slice needs its bytes written.
        unsafe { payload.write_bytes(0, layout.size()) };
        self.enter(payload, layout);
        Ok(())
    }

    /// Takes a block of zeroed memory, looks at its zeros, and fills it.
    pub(crate) fn allocate_zeroed(&mut self, heap: &mut Heap<Linux>, layout: Layout) -> Result<(), OutOfMemory> {
        assert!(self.live.len() < self.live.capacity());
        let payload = heap.allocate_zeroed(layout)?;
        // SAFETY: the heap wrote, or knows to be zero, this many bytes.
        let bytes = unsafe { std::slice::from_raw_parts(payload.as_ptr(), layout.size()) };
        assert_eq!(pattern::first_other_than(bytes, 0), None, "zeroed {layout:?} at {payload:p}");
        self.enter(payload, layout);
        Ok(())
    }

    fn enter(&mut self, payload: NonNull<u8>, layout: Layout) {
        self.seed += 1;
        let mut entry = Entry { payload, layout, seed: self.seed };
        entry.fill();
        self.live.push(entry);
    }

    /// Verifies a block and frees it.
    pub(crate) fn free(&mut self, heap: &mut Heap<Linux>, index: usize) {
        let entry = self.live.swap_remove(index);
        entry.verify();
        // SAFETY: the entry was the only one to use the block.
        assert_eq!(unsafe { heap.free(entry.payload.as_ptr()) }, Ok(()));
    }

    /// Resizes a block, verifies what it kept, and fills it anew.
    pub(crate) fn resize(&mut self, heap: &mut Heap<Linux>, index: usize, size: usize) {
        let mut entry = self.live[index];
        entry.verify();
        let new = Layout::from_size_align(size, entry.layout.align()).expect("a layout");
        let kept = entry.layout.size().min(size);
        // SAFETY: the entry is the only one to use the block, and forgets where it was.
        entry.payload = unsafe { heap.resize(entry.payload.as_ptr(), new) }.expect("memory for the new size");
        let seed = entry.seed;
        entry.layout = Layout::from_size_align(kept, entry.layout.align()).expect("a layout");
        assert_eq!(pattern::first_difference(entry.bytes(), seed), None, "kept by resizing to {size}");
        // SAFETY: the block is `size` bytes long; a slice needs its bytes written.
        unsafe { entry.payload.add(kept).write_bytes(0, size - kept) };
        entry.layout = new;
        entry.fill();
        self.live[index] = entry;
    }

    /// Verifies all blocks.
    #[track_caller]
    pub(crate) fn verify(&self) {
        self.live.iter().for_each(|entry| entry.verify());
    }

    /// Verifies and frees all blocks.
    pub(crate) fn free_all(&mut self, heap: &mut Heap<Linux>) {
        while !self.live.is_empty() {
            self.free(heap, self.live.len() - 1);
        }
    }
}

/// Everything about a heap that a caller can tell, but for how often the kernel was asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    stats: Stats,
    blocks: u64,
    current_break: usize,
}

impl Picture {
    /// Takes a picture without allocating.
    pub(crate) fn of(heap: &Heap<Linux>) -> Self {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for block in heap.blocks() {
            for word in [block.address, block.size, block.state as usize] {
                hash = (hash ^ word as u64).wrapping_mul(0x0100_0000_01b3);
            }
        }
        let stats = Stats { brk_calls: 0, map_calls: 0, ..heap.stats() };
        Self { stats, blocks: hash, current_break: super::system::current_break() }
    }
}

/// Sizes of all orders of magnitude up to 2^`bits`, 0 among them; now and then with a large alignment.
pub(crate) fn some_layout(random: &mut Random, bits: usize) -> Layout {
    let bits = random.below(bits + 1);
    let size = random.below((1 << bits) + 1);
    let align = if random.below(8) == 0 { 1 << random.below(17) } else { 1 << random.below(5) };
    support::calls::layout(size, align)
}

/// A layout of `size` bytes at multiples of 8.
pub(crate) fn layout(size: usize) -> Layout {
    support::calls::layout(size, 8)
}
