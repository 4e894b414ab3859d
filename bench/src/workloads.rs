//! The workloads of the comparison. An operation is one call of allocate, free or resize.

use crate::allocators::Entry;
use crate::kernel;

/// What one workload is called, what it does and how it is run.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) note: &'static str,
    /// Live blocks it keeps track of at most.
    slots: usize,
    sizes: Sizes,
    round: Round,
    /// Whether its footprint is compared. The others hold next to nothing.
    pub(crate) memory: bool,
    /// Runs only when asked for.
    pub(crate) slow: bool,
}

#[derive(Clone, Copy)]
enum Round {
    Pair,
    Stack,
    Churn { replacements: usize },
    All { shuffled: bool },
    Vector { growth: Growth },
}

#[derive(Clone, Copy)]
enum Growth {
    Doubling,
    Words,
}

/// Request sizes in bytes, both ends included.
#[derive(Clone, Copy)]
pub(crate) enum Sizes {
    Uniform(u32, u32),
    LogUniform(u32, u32),
}

const fn workload(name: &'static str, note: &'static str, slots: usize, sizes: Sizes, round: Round) -> Workload {
    Workload { name, note, slots, sizes, round, memory: slots > 64, slow: slots > 500_000 }
}

const SMALL: Sizes = Sizes::LogUniform(8, 1024);

pub(crate) static ALL: [Workload; 9] = [
    workload("pair", "allocate 16..256 B, free it", 1, Sizes::Uniform(16, 256), Round::Pair),
    workload("stack64", "64 allocations, freed last first", 64, SMALL, Round::Stack),
    workload(
        "churn-10k",
        "10,000 live, 8..1024 B log-uniform, a random one replaced",
        10_000,
        SMALL,
        Round::Churn { replacements: 100_000 },
    ),
    workload("churn-1m", "the same with 1,000,000 live", 1_000_000, SMALL, Round::Churn { replacements: 1_000_000 }),
    workload("fifo", "100,000 allocations, freed first to last", 100_000, SMALL, Round::All { shuffled: false }),
    workload("rand", "100,000 allocations, freed in random order", 100_000, SMALL, Round::All { shuffled: true }),
    Workload {
        memory: true,
        ..workload(
            "vec2x",
            "a vector that doubles from 32 B to 512 KiB, filled as it grows",
            1,
            SMALL,
            Round::Vector { growth: Growth::Doubling },
        )
    },
    workload(
        "vec1",
        "a vector that grows by 8 B to 16 KiB, filled as it grows",
        1,
        SMALL,
        Round::Vector { growth: Growth::Words },
    ),
    workload(
        "large",
        "200 live, 4 KiB..1 MiB log-uniform, a random one replaced",
        200,
        Sizes::LogUniform(4 << 10, 1 << 20),
        Round::Churn { replacements: 2_000 },
    ),
];

/// What is done to memory besides asking for it.
pub(crate) trait Probe {
    /// A fresh block, or the part `from..size` by which a block grew.
    ///
    /// # Safety
    ///
    /// `payload` may be written for `size` bytes.
    unsafe fn fresh(&mut self, payload: *mut u8, from: usize, size: usize);
    /// `bytes` fewer are live.
    fn gone(&mut self, bytes: usize);
}

/// For timing: the first word is written, and nothing else.
pub(crate) struct FirstWord;

impl Probe for FirstWord {
    unsafe fn fresh(&mut self, payload: *mut u8, from: usize, size: usize) {
        // SAFETY: the caller's promise; every request here is of 8 bytes at least.
        unsafe { payload.add(from).cast::<u64>().write_unaligned(size as u64) };
    }

    fn gone(&mut self, _: usize) {}
}

/// For the footprint: every page of the block is written, live bytes are counted, and resident memory is sampled.
pub(crate) struct Footprint {
    base: usize,
    live: usize,
    calls: usize,
    pub(crate) peak_live: usize,
    pub(crate) peak_resident: usize,
}

impl Footprint {
    pub(crate) fn new() -> Self {
        Self { base: kernel::resident(), live: 0, calls: 0, peak_live: 0, peak_resident: 0 }
    }

    fn sample(&mut self) {
        self.peak_resident = self.peak_resident.max(kernel::resident().saturating_sub(self.base));
    }
}

impl Probe for Footprint {
    unsafe fn fresh(&mut self, payload: *mut u8, from: usize, size: usize) {
        for offset in (from..size).step_by(1024).chain([size - 1]) {
            // SAFETY: the caller's promise; `offset` is below `size`.
            unsafe { payload.add(offset).write(1) };
        }
        self.live += size - from;
        let is_peak = self.live > self.peak_live;
        self.peak_live = self.peak_live.max(self.live);
        self.calls += 1;
        // Large blocks move the footprint with every call; small ones are sampled, and densest while they pile up.
        if self.calls.is_multiple_of(4096) || (is_peak && (size >= 4096 || self.calls.is_multiple_of(256))) {
            self.sample();
        }
    }

    fn gone(&mut self, bytes: usize) {
        self.live -= bytes;
    }
}

#[derive(Clone, Copy)]
struct Live {
    payload: *mut u8,
    size: usize,
}

/// Tables sized to stay in the first-level cache, so that the loop's own cost is small and the same for everyone.
const SIZES: usize = 1024;

/// A workload that is set up: tables written, nothing allocated yet.
pub(crate) struct Run<P> {
    entry: &'static Entry,
    pub(crate) probe: P,
    sizes: &'static [u32],
    live: &'static mut [Live],
    order: &'static [u32],
    random: u64,
    round: Round,
}

impl<P: Probe> Run<P> {
    /// `probe` is made last, when the benchmark's own memory is resident.
    pub(crate) fn new(workload: &Workload, entry: &'static Entry, probe: impl FnOnce() -> P) -> Self {
        let mut random = 0x9E37_79B9_7F4A_7C15;
        let sizes = kernel::table(SIZES, |_| 0);
        sizes.fill_with(|| workload.sizes.pick(next(&mut random)));
        let order = kernel::table(workload.slots, |index| index as u32);
        if let Round::All { shuffled: true } = workload.round {
            for index in (1..order.len()).rev() {
                order.swap(index, below(next(&mut random), index + 1));
            }
        }
        let live = kernel::table(workload.slots, |_| Live { payload: std::ptr::null_mut(), size: 0 });
        (entry.prepare)();
        Self { entry, probe: probe(), sizes, live, order, random, round: workload.round }
    }

    /// One round. Returns the number of operations.
    pub(crate) fn round(&mut self) -> usize {
        match self.round {
            Round::Pair => self.pair(),
            Round::Stack => self.stack(),
            Round::Churn { replacements } => self.churn(replacements),
            Round::All { .. } => self.all(),
            Round::Vector { growth } => self.vector(growth),
        }
    }

    #[inline(always)]
    fn allocate(&mut self, size: usize) -> Live {
        // SAFETY: no request here has a size of 0.
        let payload = unsafe { (self.entry.allocate)(size) };
        if payload.is_null() {
            out_of_memory();
        }
        // SAFETY: the allocator's block has `size` bytes.
        unsafe { self.probe.fresh(payload, 0, size) };
        Live { payload, size }
    }

    #[inline(always)]
    fn free(&mut self, live: Live) {
        self.probe.gone(live.size);
        // SAFETY: `live` came from `allocate` or `resize`, and its holder forgets it now.
        unsafe { (self.entry.free)(live.payload, live.size) };
    }

    #[inline(always)]
    fn resize(&mut self, live: Live, size: usize) -> Live {
        // SAFETY: as for `free`; only the returned block is used from here on.
        let payload = unsafe { (self.entry.resize)(live.payload, live.size, size) };
        if payload.is_null() {
            out_of_memory();
        }
        // SAFETY: the block has `size` bytes now.
        unsafe { self.probe.fresh(payload, live.size, size) };
        Live { payload, size }
    }

    fn pair(&mut self) -> usize {
        const PAIRS: usize = 100_000;
        for index in 0..PAIRS {
            let live = self.allocate(self.sizes[index % SIZES] as usize);
            self.free(live);
        }
        PAIRS * 2
    }

    fn stack(&mut self) -> usize {
        const STACKS: usize = 2_000;
        let depth = self.live.len();
        for stack in 0..STACKS {
            for index in 0..depth {
                self.live[index] = self.allocate(self.sizes[(stack * depth + index) % SIZES] as usize);
            }
            for index in (0..depth).rev() {
                self.free(self.live[index]);
            }
        }
        STACKS * depth * 2
    }

    fn churn(&mut self, replacements: usize) -> usize {
        let mut operations = replacements * 2;
        if self.live[0].payload.is_null() {
            operations += self.live.len();
            for index in 0..self.live.len() {
                let random = next(&mut self.random);
                self.live[index] = self.allocate(self.sizes[random as usize % SIZES] as usize);
            }
        }
        for _ in 0..replacements {
            let random = next(&mut self.random);
            let index = below(random, self.live.len());
            self.free(self.live[index]);
            self.live[index] = self.allocate(self.sizes[random as usize % SIZES] as usize);
        }
        operations
    }

    fn all(&mut self) -> usize {
        for index in 0..self.live.len() {
            self.live[index] = self.allocate(self.sizes[index % SIZES] as usize);
        }
        for index in 0..self.order.len() {
            self.free(self.live[self.order[index] as usize]);
        }
        self.live.len() * 2
    }

    fn vector(&mut self, growth: Growth) -> usize {
        let (first, last) = match growth {
            Growth::Doubling => (32, 512 << 10),
            Growth::Words => (8, 16 << 10),
        };
        let mut operations = 2;
        let mut live = self.allocate(first);
        while live.size < last {
            let size = match growth {
                Growth::Doubling => live.size * 2,
                Growth::Words => live.size + 8,
            };
            let filled = live.size;
            live = self.resize(live, size);
            // SAFETY: the block has `size` bytes. A vector's owner fills what it asked for.
            unsafe { live.payload.add(filled).write_bytes(1, size - filled) };
            operations += 1;
        }
        self.free(live);
        operations
    }
}

impl Sizes {
    pub(crate) fn pick(self, random: u64) -> u32 {
        match self {
            Sizes::Uniform(low, high) => low + below(random, (high - low + 1) as usize) as u32,
            Sizes::LogUniform(low, high) => {
                let unit = (random >> 11) as f64 / (1_u64 << 53) as f64;
                let (low, high) = (f64::from(low), f64::from(high));
                (low * (high / low).powf(unit)) as u32
            }
        }
    }
}

/// Xorshift: a few cycles, and the same numbers for every allocator.
#[inline(always)]
pub(crate) fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// A number below `bound` from the upper half of `random`; the lower bits stay free for another choice.
#[inline(always)]
pub(crate) fn below(random: u64, bound: usize) -> usize {
    (((random >> 32) * bound as u64) >> 32) as usize
}

#[cold]
fn out_of_memory() -> ! {
    std::process::exit(crate::child::OUT_OF_MEMORY)
}
