//! What is measured, as a child says it and as it is reported.

use super::scenario::{Operation, Phase, Scenario, Step, walk};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use strum::EnumCount;

/// Whose cost is followed, by their names in the comparison: hmalloc's two kinds and, as references, a fast allocator
/// and the one every program has.
pub(super) const ALLOCATORS: [&str; 4] = ["hmalloc", "hmalloc-alone", "mimalloc", "system"];

/// What is timed in batches, and what the heap holds then. Nanoseconds and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) allocate: f64,
    pub(super) free: f64,
    /// Of large blocks, where there are any.
    pub(super) allocate_large: Option<f64>,
    pub(super) free_large: Option<f64>,
    /// Of an allocator that can say so.
    pub(super) metadata: Option<usize>,
    pub(super) heap: Option<usize>,
    pub(super) live: Option<usize>,
    pub(super) resident: usize,
}

/// What one call asked of the kernel: moves of the break, mappings, and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Moves {
    pub(super) breaks: usize,
    pub(super) maps: usize,
    pub(super) heap_before: usize,
    pub(super) heap_after: usize,
    pub(super) resident_before: usize,
    pub(super) resident_after: usize,
}

/// The slowest call of a phase, and how many of the phase are slow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Worst {
    pub(super) nanoseconds: u32,
    /// Its number in the sequence.
    pub(super) position: usize,
    pub(super) step: Step,
    /// Size of the block it was about.
    pub(super) size: usize,
    /// What it asked of the kernel, of an allocator that can say so.
    pub(super) moves: Option<Moves>,
    /// How many calls took at least each of [`SLOW`] nanoseconds.
    pub(super) slow: [usize; SLOW.len()],
    pub(super) calls: usize,
}

/// An entry for each phase.
pub(super) type OfPhases = [Worst; Phase::COUNT];

/// Nanoseconds from which on calls are counted.
pub(super) const SLOW: [u32; 3] = [1_000, 10_000, 100_000];

/// What was measured of one allocator at one point.
pub(super) struct Measured {
    pub(super) scenario: Scenario,
    pub(super) allocator: &'static str,
    pub(super) figures: Figures,
    /// The slowest call of each phase, where it was looked for.
    pub(super) worst: Option<OfPhases>,
}

/// `durations` holds one for each call of the scenario's sequence.
pub(super) fn find(scenario: Scenario, durations: &[u32]) -> Result<OfPhases> {
    ensure!(durations.len() == scenario.calls(), "{} durations of {} calls", durations.len(), scenario.calls());
    let mut found = [None; Phase::COUNT];
    let mut sizes = vec![0; scenario.slots()];
    for ((position, step), &nanoseconds) in walk(scenario).enumerate().zip(durations) {
        if step.operation == Operation::Allocate {
            sizes[step.slot] = step.size;
        }
        let size = sizes[step.slot];
        let call = Worst { nanoseconds, position, step, size, moves: None, slow: [0; SLOW.len()], calls: 0 };
        let worst = found[step.phase as usize].get_or_insert(call);
        if nanoseconds > worst.nanoseconds {
            *worst = Worst { slow: worst.slow, calls: worst.calls, ..call };
        }
        worst.calls += 1;
        for (count, limit) in worst.slow.iter_mut().zip(SLOW) {
            *count += usize::from(nanoseconds >= limit);
        }
    }
    Ok(found.map(|worst| worst.expect("every phase has calls")))
}

#[cfg(test)]
mod tests {
    use super::super::scenario::Axis;
    use super::*;

    #[test]
    fn the_slowest_call_is_described_as_it_was_made() {
        let scenario = Scenario { axis: Axis::Live, value: 100 };
        assert!(find(scenario, &[1, 2, 3]).is_err());
        let mut sizes = vec![0; scenario.slots()];
        for (position, step) in walk(scenario).enumerate() {
            if step.operation == Operation::Allocate {
                sizes[step.slot] = step.size;
            }
            let mut durations = vec![10; scenario.calls()];
            durations[position] = 20_000;
            let found = find(scenario, &durations).unwrap();
            let worst = found[step.phase as usize];
            assert_eq!((worst.position, worst.step, worst.nanoseconds), (position, step, 20_000));
            assert_eq!((worst.size, worst.slow), (sizes[step.slot], [1, 1, 0]));
            assert_eq!(found.map(|worst| worst.calls), [1, 99, 200, 100]);
            assert_eq!(found.iter().filter(|worst| worst.nanoseconds == 10).count(), 3);
        }
        assert_eq!(walk(scenario).last().map(|step| (step.phase, step.live)), Some((Phase::Drain, 1)));
    }
}
