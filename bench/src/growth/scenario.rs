//! The points of the two axes, and the sequence of calls that is the same for every allocator and process.

use crate::workloads::{Sizes, below, next};
use std::fmt;

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis {
    /// The number of small live blocks.
    Live,
    /// The bytes in large live blocks, of which only the first word is touched, under a churn of small ones.
    Heap,
}

impl Axis {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Heap => "heap",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Live, Self::Heap].into_iter().find(|axis| axis.name() == name)
    }
}

/// One point of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) axis: Axis,
    /// Live blocks, or bytes.
    pub(crate) value: u64,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.axis, self.value) {
            (Axis::Live, count) if count >= 1_000_000 => write!(f, "{} M live", count / 1_000_000),
            (Axis::Live, count) if count >= 1_000 => write!(f, "{} k live", count / 1_000),
            (Axis::Live, count) => write!(f, "{count} live"),
            (Axis::Heap, bytes) if bytes >= 1 << 30 => write!(f, "{} GiB heap", bytes >> 30),
            (Axis::Heap, bytes) => write!(f, "{} MiB heap", bytes >> 20),
        }
    }
}

/// All points. The quick ones take a tenth of the time.
pub(crate) fn points(quick: bool) -> Vec<Scenario> {
    let (live_max, heap_max) = if quick { (300_000, 1 << 30) } else { (10_000_000, 16 << 30) };
    let thousands = (0..5).flat_map(|power| [1_000 * 10_u64.pow(power), 3_000 * 10_u64.pow(power)]);
    let live = thousands.filter(|&value| value <= live_max).map(|value| Scenario { axis: Axis::Live, value });
    let bytes = (0..).map(|power| (1_u64 << 20) << (2 * power)).take_while(|&value| value <= heap_max);
    live.chain(bytes.map(|value| Scenario { axis: Axis::Heap, value })).collect()
}

/// In which part of the sequence a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The first call of all: it sets the allocator up, and brings its code into memory.
    First,
    /// Further blocks are made until all are live.
    Fill,
    /// Random ones are replaced.
    Replace,
    /// All are freed, in an order far from that of their addresses.
    Drain,
}

impl Phase {
    pub(crate) const ALL: [Self; 4] = [Self::First, Self::Fill, Self::Replace, Self::Drain];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Fill => "fill",
            Self::Replace => "replace",
            Self::Drain => "drain",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Allocate,
    Free,
}

/// One call of the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) phase: Phase,
    pub(crate) operation: Operation,
    /// Which of the scenario's blocks it is about.
    pub(crate) slot: usize,
    /// Size of the request that makes the block. A free's size is known to who holds the block.
    pub(crate) size: usize,
    /// Blocks live before the call.
    pub(crate) live: usize,
}

const SMALL: Sizes = Sizes::LogUniform(8, 1024);
const LARGE_MIN: u32 = 64 << 10;
const LARGE_MAX: u32 = 4 << 20;
/// Sizes are drawn from a table, so that drawing costs little.
const TABLE: usize = 1024;
/// More replacements than this change nothing any more, but take their time.
const REPLACEMENTS_MAX: usize = 1_000_000;
/// Of so many replacements one is of a large block, where there are any.
const LARGE_EVERY: usize = 16;

impl Scenario {
    /// Small blocks that are live when all are. They are the first slots.
    pub(crate) fn small_slots(self) -> usize {
        match self.axis {
            Axis::Live => self.value as usize,
            Axis::Heap => (self.value as usize / 1024).clamp(1_000, 10_000),
        }
    }

    /// Large blocks. They are the slots after the small ones.
    pub(crate) fn large_slots(self) -> usize {
        match self.axis {
            Axis::Live => 0,
            Axis::Heap => self.value.div_ceil(self.large_mean()) as usize,
        }
    }

    pub(crate) fn slots(self) -> usize {
        self.small_slots() + self.large_slots()
    }

    /// The largest of the large: a heap has room for eight.
    fn large_max(self) -> u32 {
        (self.value / 8).clamp(u64::from(LARGE_MIN) * 2, u64::from(LARGE_MAX)) as u32
    }

    fn large_mean(self) -> u64 {
        let (low, high) = (f64::from(LARGE_MIN), f64::from(self.large_max()));
        ((high - low) / (high / low).ln()) as u64
    }

    fn replacements(self) -> usize {
        self.slots().min(REPLACEMENTS_MAX)
    }

    /// Length of the sequence.
    pub(crate) fn calls(self) -> usize {
        2 * self.slots() + 2 * self.replacements()
    }
}

/// Draws the sizes and the blocks of a scenario.
pub(crate) struct Draw {
    small: [u32; TABLE],
    large: [u32; TABLE],
    small_slots: usize,
    random: u64,
}

impl Draw {
    pub(crate) fn new(scenario: Scenario) -> Self {
        let mut random = 0x9E37_79B9_7F4A_7C15;
        let large = Sizes::LogUniform(LARGE_MIN, scenario.large_max());
        Self {
            small: std::array::from_fn(|_| SMALL.pick(next(&mut random))),
            large: std::array::from_fn(|_| large.pick(next(&mut random))),
            small_slots: scenario.small_slots(),
            random,
        }
    }

    /// A size for the block of a slot.
    pub(crate) fn size(&mut self, slot: usize) -> usize {
        let index = next(&mut self.random) as usize % TABLE;
        (if slot < self.small_slots { self.small[index] } else { self.large[index] }) as usize
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        below(next(&mut self.random), bound)
    }
}

/// Makes the calls of the sequence one after the other, until `visit` says that it is enough.
pub(crate) fn walk(scenario: Scenario, mut visit: impl FnMut(Step) -> bool) {
    let (slots, small) = (scenario.slots(), scenario.small_slots());
    let mut draw = Draw::new(scenario);
    let step = |phase, operation, slot, size, live| Step { phase, operation, slot, size, live };
    // The large blocks come first: the small ones are on top of them.
    for (live, slot) in (small..slots).chain(0..small).enumerate() {
        let phase = if live == 0 { Phase::First } else { Phase::Fill };
        if !visit(step(phase, Operation::Allocate, slot, draw.size(slot), live)) {
            return;
        }
    }
    for replacement in 0..scenario.replacements() {
        let large = slots > small && replacement % LARGE_EVERY == 0;
        let slot = if large { small + draw.below(slots - small) } else { draw.below(small) };
        if !visit(step(Phase::Replace, Operation::Free, slot, 0, slots))
            || !visit(step(Phase::Replace, Operation::Allocate, slot, draw.size(slot), slots - 1))
        {
            return;
        }
    }
    let stride = stride(slots);
    for freed in 0..slots {
        let slot = (freed as u64 * stride % slots as u64) as usize;
        if !visit(step(Phase::Drain, Operation::Free, slot, 0, slots - freed)) {
            return;
        }
    }
}

/// Far from 1 and without a factor in common with `slots`, so that its multiples visit every slot once.
fn stride(slots: usize) -> u64 {
    let common = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let slots = slots as u64;
    (slots * 5 / 8 + 1..).find(|&stride| common(stride, slots) == 1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::{Axis, Operation, Phase, Scenario, points, walk};

    fn small_ones() -> impl Iterator<Item = Scenario> {
        let odd = [Scenario { axis: Axis::Live, value: 1 }, Scenario { axis: Axis::Live, value: 977 }];
        points(true).into_iter().filter(|point| point.axis == Axis::Heap || point.value <= 10_000).chain(odd)
    }

    #[test]
    fn every_block_is_made_before_it_is_freed_and_none_is_left() {
        for scenario in small_ones() {
            let mut is_live = vec![false; scenario.slots()];
            let (mut live, mut peak, mut calls) = (0, 0, 0);
            walk(scenario, |step| {
                assert_eq!(step.live, live, "{scenario}, call {calls}");
                assert_eq!(is_live[step.slot], step.operation == Operation::Free, "{scenario}, call {calls}");
                is_live[step.slot] = !is_live[step.slot];
                live = if is_live[step.slot] { live + 1 } else { live - 1 };
                (peak, calls) = (peak.max(live), calls + 1);
                true
            });
            assert_eq!((live, peak, calls), (0, scenario.slots(), scenario.calls()), "{scenario}");
        }
    }

    #[test]
    fn a_heap_is_about_as_large_as_its_point_says() {
        for scenario in points(false).into_iter().filter(|point| point.axis == Axis::Heap) {
            let mut bytes = 0;
            walk(scenario, |step| {
                bytes += step.size as u64;
                matches!(step.phase, Phase::First | Phase::Fill)
            });
            let ratio = bytes as f64 / scenario.value as f64;
            assert!((0.7..1.5).contains(&ratio), "{scenario}: {bytes} bytes");
        }
    }

    #[test]
    fn the_sequence_ends_when_its_visitor_says_so() {
        let scenario = Scenario { axis: Axis::Live, value: 10 };
        for length in 1..scenario.calls() {
            let mut calls = 0;
            walk(scenario, |_| {
                calls += 1;
                calls < length
            });
            assert_eq!(calls, length);
        }
    }
}
