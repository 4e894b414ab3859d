//! The heap on which races take place: blocks of several sizes between others that stay, and an account of all of them.

use super::harness::BATCH;
use crate::blocks::{free, plain};
use crate::crowd::volume;
use hmalloc::Hmalloc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use support::pattern;

/// Small blocks, by the batch.
pub(crate) const SMALL: [usize; 5] = [16, 48, 200, 1000, 5000];
/// Large ones.
pub(crate) const LARGE: [usize; 3] = [60_000, 100_000, 300_000];

/// How often each race takes place.
pub(crate) fn rounds(usual: usize) -> usize {
    volume("HMALLOC_TEST_RACES", usual)
}

pub(crate) struct Field {
    pub(crate) heap: &'static Hmalloc,
    sizes: &'static [usize],
    /// Blocks that nobody races for, with their sizes. Wherever a small block is taken, some of these live in the same
    /// slab, so that it stands.
    pins: Vec<(usize, usize)>,
    checked: AtomicUsize,
}

impl Field {
    pub(crate) fn new(heap: &'static Hmalloc, sizes: &'static [usize]) -> Self {
        let mut field = Self { heap, sizes, pins: Vec::new(), checked: AtomicUsize::new(0) };
        for &size in sizes {
            let count = if size < 10_000 { 4 * BATCH } else { 8 };
            let blocks: Vec<_> = (0..count).map(|_| plain(heap, size).as_ptr()).collect();
            for pair in blocks.chunks_exact(2) {
                free(heap, pair[0]);
                // SAFETY: the block is this long.
                pattern::fill(unsafe { std::slice::from_raw_parts_mut(pair[1], size) }, pair[1].addr());
                field.pins.push((pair[1].expose_provenance(), size));
            }
        }
        field
    }

    pub(crate) fn size(&self, batch: usize) -> usize {
        self.sizes[batch % self.sizes.len()]
    }

    /// Blocks for one batch. Each has its number in it, which would be another's if two were the same.
    pub(crate) fn blocks(&self, batch: usize) -> Vec<*mut u8> {
        let size = self.size(batch);
        let blocks: Vec<_> = (0..BATCH).map(|_| plain(self.heap, size).as_ptr()).collect();
        for (number, block) in blocks.iter().enumerate() {
            // SAFETY: the block is this long.
            unsafe { block.write_bytes(number as u8, size) };
        }
        for (number, block) in blocks.iter().enumerate() {
            // SAFETY: written above.
            let bytes = unsafe { std::slice::from_raw_parts(*block, size) };
            assert_eq!(pattern::first_other_than(bytes, number as u8), None, "it was handed out twice");
        }
        blocks
    }

    /// Fails unless `live` blocks live beside the pins. Now and then the heap is checked and trimmed.
    pub(crate) fn settle(&self, live: usize) {
        let count = self.checked.fetch_add(1, Relaxed);
        if count.is_multiple_of(16) {
            assert_eq!(self.heap.check(), Ok(()));
        }
        if count.is_multiple_of(128) {
            self.heap.trim(0);
        }
        assert_eq!(self.heap.stats().live_blocks, self.pins.len() + live, "blocks were lost or are left over");
    }

    /// Frees the pins, whose content has not changed, and leaves an empty heap.
    pub(crate) fn end(self) {
        for &(address, size) in &self.pins {
            let pin: *mut u8 = std::ptr::with_exposed_provenance_mut(address);
            // SAFETY: the block is live and this long.
            let bytes = unsafe { std::slice::from_raw_parts(pin, size) };
            assert_eq!(pattern::first_difference(bytes, address), None, "a block next to those raced for");
            free(self.heap, pin);
        }
        assert_eq!((self.heap.check(), self.heap.stats().live_blocks), (Ok(()), 0));
    }
}
