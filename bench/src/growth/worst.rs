//! The slowest call of each phase of a sequence, and what it did.
//!
//! Processes that make the same calls are interrupted in different places. A call counts with the fastest of its
//! repetitions, so what is slow in this count is slow by itself.

use super::scenario::{Operation, Phase, Scenario, Step, walk};

/// The slowest call of a phase, and how many of the phase are slow.
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

/// What one call asked of the kernel. Bytes unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moves {
    /// Moves of the break. A count.
    pub(crate) breaks: usize,
    /// Mappings. A count.
    pub(crate) maps: usize,
    pub(crate) heap_before: usize,
    pub(crate) heap_after: usize,
    pub(crate) resident_before: usize,
    pub(crate) resident_after: usize,
}

/// `durations` holds one for each call of the scenario's sequence. The answer has an entry for each of [`Phase::ALL`].
pub(crate) fn find(scenario: Scenario, durations: &[u32]) -> Result<[Worst; Phase::ALL.len()], String> {
    if durations.len() != scenario.calls() {
        return Err(format!("{} durations of {} calls", durations.len(), scenario.calls()));
    }
    let mut found = [None; Phase::ALL.len()];
    let mut sizes = vec![0; scenario.slots()];
    let mut position = 0;
    walk(scenario, |step| {
        if step.operation == Operation::Allocate {
            sizes[step.slot] = step.size;
        }
        let (nanoseconds, size) = (durations[position], sizes[step.slot]);
        let first = Worst { nanoseconds, position, step, size, moves: None, slow: [0; SLOW.len()], calls: 0 };
        let worst = found[step.phase as usize].get_or_insert(first);
        if nanoseconds > worst.nanoseconds {
            *worst = Worst { slow: worst.slow, calls: worst.calls, ..first };
        }
        worst.calls += 1;
        for (count, limit) in worst.slow.iter_mut().zip(SLOW) {
            *count += usize::from(nanoseconds >= limit);
        }
        position += 1;
        true
    });
    match found {
        [Some(first), Some(fill), Some(replace), Some(drain)] => Ok([first, fill, replace, drain]),
        _ => Err("a phase has no calls".to_owned()),
    }
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

/// Reads what a child says about some calls, a line for each.
pub(crate) fn parse_moves(lines: &[u8]) -> Result<Vec<Moves>, String> {
    let lines = String::from_utf8_lossy(lines);
    let parse = |line: &str| {
        let numbers: Result<Vec<usize>, _> = line.split_whitespace().map(str::parse).collect();
        let Ok(&[breaks, maps, heap_before, heap_after, resident_before, resident_after]) = numbers.as_deref() else {
            return Err(format!("its process answered {line:?}"));
        };
        Ok(Moves { breaks, maps, heap_before, heap_after, resident_before, resident_after })
    };
    lines.lines().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{Axis, Operation, Phase, Scenario, walk};
    use super::{Moves, decode, find, keep_fastest, parse_moves};

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
        assert!(find(SCENARIO, &[1, 2, 3]).is_err());
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
            let found = find(SCENARIO, &durations).unwrap();
            let worst = found[step.phase as usize];
            assert_eq!((worst.position, worst.step, worst.nanoseconds), (position, *step, 20_000));
            assert_eq!((worst.size, worst.slow), (sizes[step.slot], [1, 1, 0]));
            assert_eq!(found.map(|worst| worst.calls), [1, 99, 200, 100]);
            assert_eq!(found.iter().filter(|worst| worst.nanoseconds == 10).count(), 3);
        }
        assert_eq!(steps.last().map(|step| (step.phase, step.live)), Some((Phase::Drain, 1)));
    }

    #[test]
    fn moves_read_back() {
        let moves = Moves {
            breaks: 1,
            maps: 0,
            heap_before: 16384,
            heap_after: 32768,
            resident_before: 4096,
            resident_after: 8192,
        };
        assert_eq!(parse_moves(b"1 0 16384 32768 4096 8192\n"), Ok(vec![moves]));
        assert!(parse_moves(b"1 0 16384 32768\n").is_err());
    }
}
