//! Blocks that any thread checks, resizes and frees, in every way that there is.

use hmalloc::Hmalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;
use support::pattern;
use support::random::Random;

pub(crate) const SMALLEST: usize = 16;
pub(crate) const LARGEST: usize = 300 << 10;

/// A block of a heap, full of a pattern.
#[derive(Debug)]
pub(crate) struct Block {
    heap: &'static Hmalloc,
    pub(crate) payload: *mut u8,
    layout: Layout,
    seed: usize,
}

// SAFETY: a `Block` is the only one to use its block.
unsafe impl Send for Block {}

impl Block {
    /// A new block, allocated in one of the ways.
    pub(crate) fn new(heap: &'static Hmalloc, layout: Layout, seed: usize) -> Self {
        assert!(layout.size() >= SMALLEST);
        let payload = match seed % 4 {
            // SAFETY: the size is not 0.
            0 => unsafe { heap.alloc(layout) },
            // SAFETY: as above.
            1 => unsafe { heap.alloc_zeroed(layout) },
            2 => heap.allocate_zeroed(layout).expect("memory").as_ptr(),
            _ => heap.allocate(layout).expect("memory").as_ptr(),
        };
        assert!(!payload.is_null() && payload.addr().is_multiple_of(layout.align()));
        let mut block = Self { heap, payload, layout, seed };
        if matches!(seed % 4, 1 | 2) {
            assert_eq!(pattern::first_other_than(block.bytes(), 0), None, "zeroed: {layout:?}");
        }
        block.fill();
        block
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the block is live, this long, written or of plain memory, and this value's alone.
        unsafe { std::slice::from_raw_parts_mut(self.payload, self.layout.size()) }
    }

    fn fill(&mut self) {
        // SAFETY: the block is live and this long. A slice needs its bytes written.
        unsafe { self.payload.write_bytes(0, self.layout.size()) };
        let seed = self.seed;
        pattern::fill(self.bytes(), seed);
    }

    /// Fails unless the heap knows the block, and its content is as it was left.
    pub(crate) fn verify(&mut self) {
        let usable = self.heap.usable_size(self.payload);
        assert!(usable.is_ok_and(|usable| usable >= self.layout.size()), "{usable:?} for {:?}", self.layout);
        self.verify_start(self.layout.size());
    }

    fn verify_start(&mut self, length: usize) {
        let (seed, layout) = (self.seed, self.layout);
        let difference = pattern::first_difference(&self.bytes()[..length], seed);
        assert_eq!(difference, None, "{layout:?} at {:?}", self.payload);
    }

    /// Gives it another size, in one of the ways.
    pub(crate) fn resize(mut self, size: usize) -> Self {
        self.verify();
        let new = Layout::from_size_align(size, self.layout.align()).expect("a layout");
        // SAFETY: the block has this layout, and is used by its new address only.
        self.payload = unsafe {
            match self.seed % 2 {
                0 => self.heap.realloc(self.payload, self.layout, size),
                _ => self.heap.resize(self.payload, new).expect("a live block and memory").as_ptr(),
            }
        };
        assert!(!self.payload.is_null());
        let kept = size.min(self.layout.size());
        self.layout = new;
        self.verify_start(kept);
        self.seed += 1;
        self.fill();
        self
    }

    /// Frees it in one of the ways.
    pub(crate) fn free(mut self) {
        self.verify();
        // SAFETY: the block has this layout, and is used no more.
        unsafe {
            match self.seed % 3 {
                0 => self.heap.dealloc(self.payload, self.layout),
                1 => self.heap.free(self.payload, |misuse| panic!("{misuse}")),
                _ => self.heap.free_sized(self.payload, self.layout).expect("a live block of this layout"),
            }
        }
    }
}

/// From 16 bytes to 300 KB: mostly small, one in 64 of several pages.
pub(crate) fn some_size(random: &mut Random) -> usize {
    let bits = if random.below(64) == 0 { 19 } else { 5 + random.below(9) };
    (SMALLEST + random.below(1 << bits)).min(LARGEST)
}

/// Mostly not more than the usual alignment.
pub(crate) fn some_layout(random: &mut Random) -> Layout {
    let align = if random.below(16) == 0 { 1 << (4 + random.below(9)) } else { 1 << random.below(5) };
    Layout::from_size_align(some_size(random), align).expect("a layout")
}

/// A block of `size` bytes, whose content nobody looks at.
pub(crate) fn plain(heap: &Hmalloc, size: usize) -> NonNull<u8> {
    heap.allocate(Layout::from_size_align(size, 16).expect("a layout")).expect("memory")
}

/// Frees a block that has to be live.
pub(crate) fn free(heap: &Hmalloc, block: *mut u8) {
    // SAFETY: the callers use it no more.
    unsafe { heap.free(block, |misuse| panic!("{misuse}")) };
}
