//! A workload that is set up, and the calls that its rounds are made of.

use super::replay::Replay;
use super::workload::{Round, Workload};
use crate::allocators::block::Block;
use crate::allocators::candidate::Entry;
use crate::base::kernel;
use crate::base::probe::Probe;
use crate::base::random::{SEED, Sizes, next, shuffle};

/// Pairs in one round of `pair`.
pub(crate) const PAIRS: usize = 100_000;

/// Tables sized to stay in the first-level cache, so that the loop's own cost is small, and the same for all allocators.
pub(super) const SIZES: usize = 1024;

/// Kinds of requests. They are chosen at compile time, so that a workload's loop has no branch for them.
pub(super) const PLAIN: u8 = 0;
pub(super) const ZEROED: u8 = 1;
pub(super) const ALIGNED: u8 = 2;

const ALIGNMENT: usize = 64;

/// Tables are written, nothing is allocated yet.
pub(crate) struct Run<P> {
    entry: &'static Entry,
    pub(crate) probe: P,
    sizes: &'static [u32],
    pub(super) live: &'static mut [Block],
    pub(super) order: &'static [u32],
    pub(super) random: u64,
    pub(super) round: Round,
    /// Where the queue begins.
    pub(super) oldest: usize,
    trace: Replay,
}

// SAFETY: nothing else knows its tables, and its blocks are whoever's it is.
unsafe impl<P: Send> Send for Run<P> {}

impl<P: Probe> Run<P> {
    /// `probe` is made last, when the benchmark's own memory is resident, and so is all code.
    pub(crate) fn new(workload: &Workload, entry: &'static Entry, probe: impl FnOnce() -> P) -> Self {
        (entry.prepare)();
        kernel::map_code();
        Self::prepared(workload, entry, probe, SEED)
    }

    /// The same on an entry that is prepared, with a sequence of its own.
    pub(crate) fn prepared(
        workload: &Workload,
        entry: &'static Entry,
        probe: impl FnOnce() -> P,
        mut random: u64,
    ) -> Self {
        let round = workload.round;
        let sizes = kernel::table(SIZES, |_| 0);
        sizes.fill_with(|| workload.sizes.pick(next(&mut random)));
        if let Sizes::WithLarge = workload.sizes {
            (sizes[0], sizes[SIZES / 2]) = (1 << 20, 1 << 20);
        }
        let order = kernel::table(workload.slots, |index| index as u32);
        if let Round::Random | Round::Exchange = round {
            shuffle(order, &mut random);
        }
        let live = kernel::table(workload.slots, |_| Block::NONE);
        let trace = if let Round::Trace(file) = round { Replay::load(file) } else { Replay::none() };
        Self { entry, probe: probe(), sizes, live, order, random, round, oldest: 0, trace }
    }

    /// The recorded calls. Returns their number.
    pub(super) fn replay(&mut self) -> usize {
        self.trace.round(self.entry, &mut self.probe)
    }

    #[inline(always)]
    pub(super) fn size(&self, index: usize) -> usize {
        self.sizes[index % SIZES] as usize
    }

    #[inline(always)]
    pub(super) fn allocate(&mut self, size: usize) -> Block {
        self.request::<PLAIN>(size)
    }

    #[inline(always)]
    pub(super) fn request<const KIND: u8>(&mut self, size: usize) -> Block {
        // SAFETY: no request here has a size of 0.
        let payload = unsafe {
            match KIND {
                ZEROED => (self.entry.allocate_zeroed)(size),
                ALIGNED => (self.entry.allocate_aligned)(size, ALIGNMENT),
                _ => (self.entry.allocate)(size),
            }
        };
        let block = Block::of(payload, size);
        // SAFETY: the allocator's block has `size` bytes.
        unsafe { self.probe.fresh(payload, 0, size) };
        block
    }

    #[inline(always)]
    pub(super) fn free(&mut self, block: Block) {
        self.release::<PLAIN>(block);
    }

    #[inline(always)]
    pub(super) fn release<const KIND: u8>(&mut self, block: Block) {
        self.probe.gone(block.size);
        match KIND {
            // SAFETY: the block came from the same kind of request, and its holder forgets it now.
            ALIGNED => unsafe { (self.entry.free_aligned)(block.payload, block.size, ALIGNMENT) },
            _ => self.entry.free_block(block),
        }
    }

    /// A resize whose owner fills what it asked for, as a vector or a string does.
    #[inline(always)]
    pub(super) fn grow(&mut self, block: Block, size: usize) -> Block {
        let grown = self.entry.resized(block, size);
        // SAFETY: the block has `size` bytes now.
        unsafe { self.probe.fresh(grown.payload, block.size, size) };
        grown.fill(block.size);
        grown
    }
}
