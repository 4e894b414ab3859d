//! One thread allocates, the other frees: blocks go through a ring, one by one or in batches.

use super::meet::{Apart, wait_until};
use super::team::Work;
use crate::allocators::block::Block;
use crate::allocators::candidate::Entry;
use crate::base::kernel;
use crate::base::random::{SEED, Sizes};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

/// Blocks on their way at most.
const PLACES: usize = 1024;
/// Blocks that a pair of threads passes in a pass.
pub(super) const PASSED: usize = 20 * PLACES;

/// Pairs of threads, each with a ring.
pub(super) struct Remote {
    entry: &'static Entry,
    /// By place: how large a block there is, which both threads know.
    sizes: &'static [u32],
    batch: usize,
    rings: Vec<Ring>,
}

struct Ring {
    payloads: Vec<AtomicPtr<u8>>,
    /// How many blocks there were in all passes.
    written: Apart<AtomicUsize>,
    read: Apart<AtomicUsize>,
}

impl Remote {
    pub(super) fn new(entry: &'static Entry, threads: usize, sizes: Sizes, batch: usize) -> Self {
        let ring = |_| Ring {
            payloads: (0..PLACES).map(|_| AtomicPtr::new(null_mut())).collect(),
            written: Apart(AtomicUsize::new(0)),
            read: Apart(AtomicUsize::new(0)),
        };
        let (mut random, table) = (SEED, kernel::table(PLACES, |_| 0));
        table.fill_with(|| sizes.next(&mut random) as u32);
        Self { entry, sizes: table, batch, rings: (0..threads / 2).map(ring).collect() }
    }

    fn write(&self, ring: &Ring, first: usize) {
        let mut read = first;
        for begin in (first..first + PASSED).step_by(self.batch) {
            let end = begin + self.batch;
            if end - read > PLACES {
                wait_until(|| {
                    read = ring.read.0.load(Acquire);
                    end - read <= PLACES
                });
            }
            for position in begin..end {
                let block = self.entry.block(self.sizes[position % PLACES] as usize);
                block.touch();
                ring.payloads[position % PLACES].store(block.payload, Relaxed);
            }
            ring.written.0.store(end, Release);
        }
    }

    fn read(&self, ring: &Ring, first: usize) {
        let mut written = first;
        for begin in (first..first + PASSED).step_by(self.batch) {
            let end = begin + self.batch;
            if written < end {
                wait_until(|| {
                    written = ring.written.0.load(Acquire);
                    written >= end
                });
            }
            for position in begin..end {
                let payload = ring.payloads[position % PLACES].load(Relaxed);
                let block = Block { payload, size: self.sizes[position % PLACES] as usize };
                assert_eq!(block.first_word(), block.size as u64, "a block arrives as it was sent");
                self.entry.free_block(block);
            }
            ring.read.0.store(end, Release);
        }
    }
}

impl Work for Remote {
    fn pass(&self, thread: usize, pass: usize) -> usize {
        let ring = &self.rings[thread / 2];
        match thread % 2 {
            0 => self.write(ring, pass * PASSED),
            _ => self.read(ring, pass * PASSED),
        }
        PASSED
    }

    /// What was written was read.
    fn drain(&self, _: usize) {}
}
