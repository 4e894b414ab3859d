//! The points of the two axes, and the sequence of calls that is the same for every allocator and process.

use crate::base::random::{SEED, Sizes, below, next};
use crate::base::table::size;
use std::fmt;
use strum::{Display, EnumCount, EnumString, VariantArray};

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Axis {
    /// The number of small live blocks.
    Live,
    /// The bytes in large live blocks, of which only the first word is touched, under a churn of small ones.
    Heap,
}

/// One point of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scenario {
    pub(super) axis: Axis,
    /// Live blocks, or bytes.
    pub(super) value: u64,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.axis, self.value) {
            (Axis::Live, count) if count >= 1_000_000 => write!(f, "{} M live", count / 1_000_000),
            (Axis::Live, count) if count >= 1_000 => write!(f, "{} k live", count / 1_000),
            (Axis::Live, count) => write!(f, "{count} live"),
            (Axis::Heap, bytes) => write!(f, "{} heap", size(bytes)),
        }
    }
}

/// All points. The quick ones take a tenth of the time.
pub(super) fn points(quick: bool) -> Vec<Scenario> {
    let (live_max, heap_max) = if quick { (300_000, 1 << 30) } else { (10_000_000, 16 << 30) };
    let thousands = (0..5).flat_map(|power| [1_000 * 10_u64.pow(power), 3_000 * 10_u64.pow(power)]);
    let live = thousands.filter(|&value| value <= live_max).map(|value| Scenario { axis: Axis::Live, value });
    let bytes = (0..).map(|power| (1_u64 << 20) << (2 * power)).take_while(|&value| value <= heap_max);
    live.chain(bytes.map(|value| Scenario { axis: Axis::Heap, value })).collect()
}

/// In which part of the sequence a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumCount, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Phase {
    /// The first call of all: it sets the allocator up, and brings its code into memory.
    First,
    /// Further blocks are made until all are live.
    Fill,
    /// Random ones are replaced.
    Replace,
    /// All are freed, in an order far from that of their addresses.
    Drain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Display)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Operation {
    Allocate,
    Free,
}

/// One call of the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) phase: Phase,
    pub(super) operation: Operation,
    /// Which of the scenario's blocks it is about.
    pub(super) slot: usize,
    /// Size of the request that makes the block. A free's size is known to the block's holder.
    pub(super) size: usize,
    /// Blocks live before the call.
    pub(super) live: usize,
}

const SMALL: Sizes = Sizes::LogUniform(8, 1024);
const LARGE_MIN: u32 = 64 << 10;
const LARGE_MAX: u32 = 4 << 20;
/// Sizes are drawn from a table, so that drawing costs little.
const TABLE: usize = 1024;
/// More replacements than this would only take longer.
const REPLACEMENTS_MAX: usize = 1_000_000;
/// One replacement in this many is of a large block, where there are any.
const LARGE_EVERY: usize = 16;

impl Scenario {
    /// Small blocks that are live when all are. They are the first slots.
    pub(super) fn small_slots(self) -> usize {
        match self.axis {
            Axis::Live => self.value as usize,
            Axis::Heap => (self.value as usize / 1024).clamp(1_000, 10_000),
        }
    }

    /// Large blocks. They are the slots after the small ones.
    pub(super) fn large_slots(self) -> usize {
        match self.axis {
            Axis::Live => 0,
            Axis::Heap => self.value.div_ceil(self.large_mean()) as usize,
        }
    }

    pub(super) fn slots(self) -> usize {
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
    pub(super) fn calls(self) -> usize {
        2 * self.slots() + 2 * self.replacements()
    }
}

/// Draws the sizes and the blocks of a scenario.
pub(super) struct Draw {
    small: [u32; TABLE],
    large: [u32; TABLE],
    small_slots: usize,
    random: u64,
}

impl Draw {
    pub(super) fn new(scenario: Scenario) -> Self {
        let mut random = SEED;
        let large = Sizes::LogUniform(LARGE_MIN, scenario.large_max());
        Self {
            small: std::array::from_fn(|_| SMALL.pick(next(&mut random))),
            large: std::array::from_fn(|_| large.pick(next(&mut random))),
            small_slots: scenario.small_slots(),
            random,
        }
    }

    /// A size for the block of a slot.
    pub(super) fn size(&mut self, slot: usize) -> usize {
        let index = next(&mut self.random) as usize % TABLE;
        (if slot < self.small_slots { self.small[index] } else { self.large[index] }) as usize
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        below(next(&mut self.random), bound)
    }
}

/// The calls of the sequence, one after the other.
pub(super) fn walk(scenario: Scenario) -> impl Iterator<Item = Step> {
    let (slots, small, stride) = (scenario.slots(), scenario.small_slots(), stride(scenario.slots()));
    let (mut draw, mut slot) = (Draw::new(scenario), 0);
    (0..scenario.calls()).map(move |position| {
        let drained = (position + slots).checked_sub(scenario.calls());
        let (phase, operation, live) = match (position, drained) {
            (0, _) => (Phase::First, Operation::Allocate, 0),
            (live, _) if live < slots => (Phase::Fill, Operation::Allocate, live),
            (_, Some(freed)) => (Phase::Drain, Operation::Free, slots - freed),
            _ if (position - slots).is_multiple_of(2) => (Phase::Replace, Operation::Free, slots),
            _ => (Phase::Replace, Operation::Allocate, slots - 1),
        };
        slot = match (phase, operation) {
            // The large blocks come first: the small ones are on top of them.
            (Phase::First | Phase::Fill, _) => (small + position) % slots,
            (Phase::Drain, _) => ((slots - live) as u64 * stride % slots as u64) as usize,
            (Phase::Replace, Operation::Allocate) => slot,
            _ if slots > small && (position - slots).is_multiple_of(2 * LARGE_EVERY) => {
                small + draw.below(slots - small)
            }
            _ => draw.below(small),
        };
        let size = if operation == Operation::Allocate { draw.size(slot) } else { 0 };
        Step { phase, operation, slot, size, live }
    })
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
    use super::{Axis, Operation, Scenario, points, walk};

    fn small_ones() -> impl Iterator<Item = Scenario> {
        let odd = [Scenario { axis: Axis::Live, value: 1 }, Scenario { axis: Axis::Live, value: 977 }];
        points(true).into_iter().filter(|point| point.axis == Axis::Heap || point.value <= 10_000).chain(odd)
    }

    #[test]
    fn every_block_is_made_before_it_is_freed_and_none_is_left() {
        for scenario in small_ones() {
            let mut is_live = vec![false; scenario.slots()];
            let (mut live, mut peak, mut calls) = (0, 0, 0);
            for step in walk(scenario) {
                assert_eq!(step.live, live, "{scenario}, call {calls}");
                assert_eq!(is_live[step.slot], step.operation == Operation::Free, "{scenario}, call {calls}");
                is_live[step.slot] = !is_live[step.slot];
                live = if is_live[step.slot] { live + 1 } else { live - 1 };
                (peak, calls) = (peak.max(live), calls + 1);
            }
            assert_eq!((live, peak, calls), (0, scenario.slots(), scenario.calls()), "{scenario}");
        }
    }

    #[test]
    fn a_heap_is_about_as_large_as_its_point_says() {
        for scenario in points(false).into_iter().filter(|point| point.axis == Axis::Heap) {
            let bytes: usize = walk(scenario).take(scenario.slots()).map(|step| step.size).sum();
            let ratio = bytes as f64 / scenario.value as f64;
            assert!((0.7..1.5).contains(&ratio), "{scenario}: {bytes} bytes");
        }
    }
}
