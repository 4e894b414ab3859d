//! The workloads of the comparison. An operation is one call of allocate, free or resize.

mod habits;
pub(crate) mod probe;

use crate::allocators::Entry;
use crate::base::kernel;
use crate::trace::Replay;
use crate::workloads::probe::Probe;
use habits::{Aligned64, Plain, Request, Zeroed};

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
    /// Gets fewer processes and more time.
    pub(crate) slow: bool,
    pub(crate) tier: Tier,
}

/// The smallest run that a workload is part of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    Quick,
    Usual,
    All,
    /// Part of no run but one that names it.
    Named,
}

impl Tier {
    /// For the list.
    pub(crate) fn remark(self) -> &'static str {
        match self {
            Self::Quick => "",
            Self::Usual => " (not with --quick)",
            Self::All => " (with --all)",
            Self::Named => " (only when named)",
        }
    }
}

#[derive(Clone, Copy)]
enum Round {
    Pair,
    Stack,
    Churn {
        replacements: usize,
    },
    All {
        shuffled: bool,
    },
    Vector {
        growth: Growth,
    },
    Zeroed {
        replacements: usize,
    },
    Aligned {
        replacements: usize,
    },
    Strings {
        steps: usize,
    },
    Queue {
        steps: usize,
    },
    /// The shipped trace of this name.
    Trace(&'static str),
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
    /// A few sizes, most requests of the first ones.
    Hot,
    /// 16..512 B, and two in a thousand of 1 MiB.
    WithLarge,
}

const fn workload(name: &'static str, note: &'static str, slots: usize, sizes: Sizes, round: Round) -> Workload {
    let slow = slots > 500_000;
    Workload {
        name,
        note,
        slots,
        sizes,
        round,
        memory: slots > 64,
        slow,
        tier: if slow { Tier::Usual } else { Tier::Quick },
    }
}

/// A trace brings its own sizes and its own table.
const fn trace(name: &'static str, file: &'static str, note: &'static str, tier: Tier) -> Workload {
    Workload { memory: true, tier, ..workload(name, note, 0, SMALL, Round::Trace(file)) }
}

impl Workload {
    /// After so many rounds the footprint grows no more. One of a trace ends with nothing live.
    pub(crate) fn footprint_rounds(&self) -> usize {
        if self.slow || matches!(self.round, Round::Trace(_)) { 2 } else { 4 }
    }
}

const SMALL: Sizes = Sizes::LogUniform(8, 1024);

pub(crate) static ALL: [Workload; 22] = [
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
    trace("trace-gcc", "gcc", "recorded: a compiler", Tier::Quick),
    trace("trace-python", "python", "recorded: an interpreter", Tier::Quick),
    trace("trace-sqlite", "sqlite", "recorded: a database in memory", Tier::Usual),
    trace("trace-redis", "redis", "recorded: a server of keys and values, with threads", Tier::All),
    trace("trace-shell", "shell", "recorded: all processes of a pipeline, one after the other", Tier::All),
    trace("trace-git", "git", "recorded: packing a repository with two threads", Tier::Usual),
    // Nothing is shipped for this one: whoever names it has put a trace there.
    trace("trace-own", "own", "what lies in traces/own.trace", Tier::Named),
    workload(
        "hot-sizes",
        "10,000 live of 10 sizes from 16 to 256 B, three of them hot, a random one replaced",
        10_000,
        Sizes::Hot,
        Round::Churn { replacements: 100_000 },
    ),
    workload(
        "zeroed",
        "1,000 live, zeroed, 64 B..16 KiB log-uniform, a random one replaced",
        1_000,
        Sizes::LogUniform(64, 16 << 10),
        Round::Zeroed { replacements: 20_000 },
    ),
    workload(
        "aligned64",
        "10,000 live, 64..1024 B log-uniform at multiples of 64, a random one replaced",
        10_000,
        Sizes::LogUniform(64, 1024),
        Round::Aligned { replacements: 100_000 },
    ),
    workload(
        "strings",
        "1,000 strings, a random one grows by half until 4 KiB, then starts again from 16 B",
        1_000,
        SMALL,
        Round::Strings { steps: 50_000 },
    ),
    workload(
        "queue",
        "1,000 live in a queue, 8..1024 B log-uniform: the oldest is freed, one is allocated",
        1_000,
        SMALL,
        Round::Queue { steps: 100_000 },
    ),
    workload(
        "mixed",
        "1,000 live, 16..512 B log-uniform and two in a thousand of 1 MiB, a random one replaced",
        1_000,
        Sizes::WithLarge,
        Round::Churn { replacements: 100_000 },
    ),
];

#[derive(Clone, Copy)]
struct Live {
    payload: *mut u8,
    size: usize,
}

/// Pairs in one round of `pair`.
pub(crate) const PAIRS: usize = 100_000;

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
    /// Where the queue begins.
    oldest: usize,
    trace: Replay,
}

impl<P: Probe> Run<P> {
    /// `probe` is made last, when the benchmark's own memory is resident.
    pub(crate) fn new(workload: &Workload, entry: &'static Entry, probe: impl FnOnce() -> P) -> Self {
        let mut random = 0x9E37_79B9_7F4A_7C15;
        let sizes = kernel::table(SIZES, |_| 0);
        sizes.fill_with(|| workload.sizes.pick(next(&mut random)));
        if let Sizes::WithLarge = workload.sizes {
            (sizes[0], sizes[SIZES / 2]) = (1 << 20, 1 << 20);
        }
        let order = kernel::table(workload.slots, |index| index as u32);
        if let Round::All { shuffled: true } = workload.round {
            for index in (1..order.len()).rev() {
                order.swap(index, below(next(&mut random), index + 1));
            }
        }
        let live = kernel::table(workload.slots, |_| Live { payload: std::ptr::null_mut(), size: 0 });
        let trace = match workload.round {
            Round::Trace(file) => Replay::load(file),
            _ => Replay::none(),
        };
        (entry.prepare)();
        Self { entry, probe: probe(), sizes, live, order, random, round: workload.round, oldest: 0, trace }
    }

    /// One round. Returns the number of operations.
    pub(crate) fn round(&mut self) -> usize {
        match self.round {
            Round::Pair => self.pairs(PAIRS),
            Round::Stack => self.stack(),
            Round::Churn { replacements } => self.churn::<Plain>(replacements),
            Round::All { .. } => self.all(),
            Round::Vector { growth } => self.vector(growth),
            Round::Zeroed { replacements } => self.churn::<Zeroed>(replacements),
            Round::Aligned { replacements } => self.churn::<Aligned64>(replacements),
            Round::Strings { steps } => self.strings(steps),
            Round::Queue { steps } => self.queue(steps),
            Round::Trace(_) => self.trace.round(self.entry, &mut self.probe),
        }
    }

    #[inline(always)]
    fn allocate(&mut self, size: usize) -> Live {
        self.request::<Plain>(size)
    }

    #[inline(always)]
    fn request<R: Request>(&mut self, size: usize) -> Live {
        // SAFETY: no request here has a size of 0.
        let payload = unsafe { R::allocate(self.entry, size) };
        if payload.is_null() {
            out_of_memory();
        }
        // SAFETY: the allocator's block has `size` bytes.
        unsafe { self.probe.fresh(payload, 0, size) };
        Live { payload, size }
    }

    #[inline(always)]
    fn free(&mut self, live: Live) {
        self.release::<Plain>(live);
    }

    #[inline(always)]
    fn release<R: Request>(&mut self, live: Live) {
        self.probe.gone(live.size);
        // SAFETY: `live` came from the same kind of request or a `resize`, and its holder forgets it now.
        unsafe { R::free(self.entry, live.payload, live.size) };
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

    /// One function for everyone who counts its instructions.
    #[inline(never)]
    pub(crate) fn pairs(&mut self, count: usize) -> usize {
        for index in 0..count {
            let live = self.allocate(self.sizes[index % SIZES] as usize);
            self.free(live);
        }
        count * 2
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

    fn churn<R: Request>(&mut self, replacements: usize) -> usize {
        let mut operations = replacements * 2;
        if self.live[0].payload.is_null() {
            operations += self.live.len();
            for index in 0..self.live.len() {
                let random = next(&mut self.random);
                self.live[index] = self.request::<R>(self.sizes[random as usize % SIZES] as usize);
            }
        }
        for _ in 0..replacements {
            let random = next(&mut self.random);
            let index = below(random, self.live.len());
            self.release::<R>(self.live[index]);
            self.live[index] = self.request::<R>(self.sizes[random as usize % SIZES] as usize);
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
            Sizes::Hot => {
                const HOT: [u32; 16] = [24, 24, 24, 24, 32, 32, 32, 64, 64, 16, 40, 48, 96, 128, 200, 256];
                HOT[below(random, HOT.len())]
            }
            Sizes::WithLarge => Sizes::LogUniform(16, 512).pick(random),
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
pub(crate) fn out_of_memory() -> ! {
    std::process::exit(crate::measure::child::OUT_OF_MEMORY)
}
