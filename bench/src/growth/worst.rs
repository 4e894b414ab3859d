//! The slowest call of a sequence, and what it did.
//!
//! Processes that make the same calls are interrupted in different places. A call counts with the fastest of its
//! repetitions, so what is slow in this count is slow by itself.

use super::scenario::{Operation, Scenario, Step, walk};

/// The slowest call, and how many are slow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Worst {
    pub(crate) nanoseconds: u32,
    /// Its number in the sequence.
    pub(crate) position: usize,
    pub(crate) step: Step,
    /// Size of the block it was about.
    pub(crate) size: usize,
    /// What it asked of the kernel, of an allocator that can say so.
    pub(crate) moves: Option<Moves>,
    /// Calls that took at least so many [`SLOW`] nanoseconds.
    pub(crate) slow: [usize; SLOW.len()],
    pub(crate) calls: usize,
}

/// Nanoseconds from which on calls are counted.
pub(crate) const SLOW: [u32; 3] = [1_000, 10_000, 100_000];

/// What one call asked of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moves {
    pub(crate) breaks: usize,
    pub(crate) maps: usize,
    pub(crate) heap_before: usize,
    pub(crate) heap_after: usize,
}

impl Worst {
    /// `durations` holds one for each call of the scenario's sequence.
    pub(crate) fn find(scenario: Scenario, durations: &[u32]) -> Result<Self, String> {
        let slowest = durations.iter().enumerate().max_by_key(|(_, duration)| **duration);
        let Some((position, &nanoseconds)) = slowest.filter(|_| durations.len() == scenario.calls()) else {
            return Err(format!("{} durations of {} calls", durations.len(), scenario.calls()));
        };
        let (step, size) = call_at(scenario, position).ok_or("the sequence is shorter than it says")?;
        let slow = SLOW.map(|limit| durations.iter().filter(|&&duration| duration >= limit).count());
        Ok(Self { nanoseconds, position, step, size, moves: None, slow, calls: durations.len() })
    }
}

/// The call with a number in the sequence, and the size of the block it is about.
fn call_at(scenario: Scenario, position: usize) -> Option<(Step, usize)> {
    let mut sizes = vec![0; scenario.slots()];
    let (mut number, mut found) = (0, None);
    walk(scenario, |step| {
        if step.operation == Operation::Allocate {
            sizes[step.slot] = step.size;
        }
        if number == position {
            found = Some((step, sizes[step.slot]));
        }
        number += 1;
        found.is_none()
    });
    found
}

/// Reads the durations a child has written.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<u32>, String> {
    let (whole, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(format!("{} bytes are no whole number of durations", bytes.len()));
    }
    Ok(whole.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
}

/// Keeps, for each call, the faster of what is known and what another repetition has written.
pub(crate) fn keep_fastest(known: &mut [u32], bytes: &[u8]) -> Result<(), String> {
    let more = decode(bytes)?;
    if more.len() != known.len() {
        return Err(format!("{} durations in one repetition, {} in another", known.len(), more.len()));
    }
    for (known, more) in known.iter_mut().zip(more) {
        *known = more.min(*known);
    }
    Ok(())
}

/// Reads what a child says about one call.
pub(crate) fn parse_moves(line: &[u8]) -> Result<Moves, String> {
    let line = String::from_utf8_lossy(line);
    let numbers: Result<Vec<usize>, _> = line.split_whitespace().map(str::parse).collect();
    match numbers.as_deref() {
        Ok(&[breaks, maps, heap_before, heap_after]) => Ok(Moves { breaks, maps, heap_before, heap_after }),
        _ => Err(format!("its process answered {line:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{Axis, Operation, Phase, Scenario, walk};
    use super::{Moves, Worst, decode, keep_fastest, parse_moves};

    const SCENARIO: Scenario = Scenario { axis: Axis::Live, value: 100 };

    fn bytes(durations: &[u32]) -> Vec<u8> {
        durations.iter().flat_map(|duration| duration.to_le_bytes()).collect()
    }

    #[test]
    fn an_interruption_that_does_not_recur_does_not_count() {
        let mut durations = decode(&bytes(&[50, 900_000, 40, 7_000])).unwrap();
        keep_fastest(&mut durations, &bytes(&[60, 45, 800_000, 7_100])).unwrap();
        keep_fastest(&mut durations, &bytes(&[55, 50, 42, 6_900])).unwrap();
        assert_eq!(durations, [50, 45, 40, 6_900]);
    }

    #[test]
    fn repetitions_of_different_length_are_not_compared() {
        assert!(keep_fastest(&mut [1, 2], &bytes(&[1])).is_err());
        assert!(decode(&[0; 5]).is_err());
        assert!(Worst::find(SCENARIO, &[1, 2, 3]).is_err());
    }

    #[test]
    fn the_slowest_call_is_described_as_it_was_made() {
        let mut steps = Vec::new();
        walk(SCENARIO, |step| {
            steps.push(step);
            true
        });
        let mut sizes = vec![0; SCENARIO.slots()];
        for (position, step) in steps.iter().enumerate() {
            if step.operation == Operation::Allocate {
                sizes[step.slot] = step.size;
            }
            let mut durations = vec![10; SCENARIO.calls()];
            durations[position] = 20_000;
            let worst = Worst::find(SCENARIO, &durations).unwrap();
            assert_eq!((worst.position, worst.step, worst.nanoseconds), (position, *step, 20_000));
            assert_eq!((worst.size, worst.slow), (sizes[step.slot], [1, 1, 0]));
        }
        assert_eq!(steps.last().map(|step| (step.phase, step.live)), Some((Phase::Drain, 1)));
    }

    #[test]
    fn moves_read_back() {
        let moves = Moves { breaks: 1, maps: 0, heap_before: 16384, heap_after: 32768 };
        assert_eq!(parse_moves(b"1 0 16384 32768\n"), Ok(moves));
        assert!(parse_moves(b"").is_err());
    }
}
