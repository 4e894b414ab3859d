//! Every short sequence of operations, each with every single move of the break refused, once or from then on.

use std::alloc::Layout;
use support::arena::Arena;
use support::ensure;
use support::oracle::Verdict;
use support::setup::Setup;
use support::world::{EmulatedWorld, World};

/// A step of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Allocate this many bytes, zeroed when the number is odd.
    Get(usize),
    FreeOldest,
    FreeNewest,
    FreeMiddle,
    /// Resize the newest payload to this many bytes.
    Resize(usize),
    Trim,
}
use Step::*;

/// Which move of the break is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    None,
    Once(usize),
    From(usize),
}

/// Small and large blocks, at sizes around those where the heap changes its ways.
const BROAD: &[Step] = &[
    Get(1),
    Get(17),
    Get(8 << 10),
    Get(16 << 10),
    Get(40_001),
    Get(300 << 10),
    FreeOldest,
    FreeNewest,
    FreeMiddle,
    Resize(24),
    Resize(100_000),
    Trim,
];

/// Fewer steps for longer sequences: three sizes of spans around the growth step, so that most steps move the break.
const NARROW: &[Step] = &[Get(16), Get(280 << 10), Get(700_001), FreeOldest, FreeNewest, Resize(500_000), Trim];

const SETUP: Setup = Setup { arena: 12 << 20, offset: 0, page: 4096, dirty: true, discard: false, mappings: 0 };

/// The payload whose rank by age is the quotient.
fn by_age(world: &EmulatedWorld<'_>, numerator: usize, denominator: usize) -> Option<usize> {
    let mut ages: Vec<(usize, usize)> = world.oracle.live.iter().map(|(at, live)| (live.seed, *at)).collect();
    ages.sort_unstable();
    ages.get(ages.len().saturating_sub(1) * numerator / denominator).map(|(_, at)| *at)
}

impl Step {
    fn run<'a>(self, world: &mut EmulatedWorld<'a>, refusal: Refusal) -> Verdict {
        let free = |world: &mut EmulatedWorld<'a>, payload: Option<usize>| {
            payload.map_or(Ok(()), |payload| world.free(payload))
        };
        match self {
            Get(size) => {
                let layout = Layout::from_size_align(size, 8).expect("a small size");
                let get = if size.is_multiple_of(2) { World::allocate } else { World::allocate_zeroed };
                let got = get(world, layout)?;
                if got.is_none() && matches!(refusal, Refusal::Once(_)) {
                    let again = get(world, layout)?;
                    ensure!(again.is_some(), "one refusal was remembered");
                }
                Ok(())
            }
            FreeOldest => free(world, by_age(world, 0, 1)),
            FreeNewest => free(world, by_age(world, 1, 1)),
            FreeMiddle => free(world, by_age(world, 1, 2)),
            Resize(size) => {
                let Some(payload) = by_age(world, 1, 1) else { return Ok(()) };
                world.resize(payload, Layout::from_size_align(size, 8).expect("a small size")).map(drop)
            }
            Trim => world.trim(0).map(drop),
        }
    }
}

/// Runs one sequence. How many moves of the break it took.
fn run(memory: &mut Arena, steps: &[Step], refusal: Refusal) -> Verdict<usize> {
    let mut world = SETUP.world(memory);
    world.refused = refusal != Refusal::None;
    match refusal {
        Refusal::None => {}
        Refusal::Once(call) => world.brk().fail_once(call),
        Refusal::From(call) => world.brk().fail_after(call),
    }
    for step in steps {
        step.run(&mut world, refusal).map_err(|what| format!("{step:?} in {steps:?} with {refusal:?}: {what}"))?;
    }
    let moves = world.brk().calls();
    world.finish().map_err(|what| format!("the end of {steps:?} with {refusal:?}: {what}"))?;
    Ok(moves)
}

/// Runs every sequence of `length` steps with every refusal. The counts of sequences and of refusals.
fn every_sequence(alphabet: &[Step], length: u32) -> Verdict<(usize, usize)> {
    let mut memory = SETUP.memory();
    let (mut sequences, mut refusals) = (0, 0);
    for number in 0..alphabet.len().pow(length) {
        let digit = |place| alphabet[number / alphabet.len().pow(place) % alphabet.len()];
        let steps: Vec<Step> = (0..length).map(digit).collect();
        // The others do nothing at first and are a shorter sequence.
        if !matches!(steps[0], Get(_)) {
            continue;
        }
        let moves = run(&mut memory, &steps, Refusal::None)?;
        for call in 0..moves {
            run(&mut memory, &steps, Refusal::Once(call))?;
            run(&mut memory, &steps, Refusal::From(call))?;
        }
        sequences += 1;
        refusals += 2 * moves;
    }
    Ok((sequences, refusals))
}

fn all_hold(alphabet: &[Step], length: u32) {
    let (sequences, refusals) = every_sequence(alphabet, length).unwrap_or_else(|what| panic!("{what}"));
    println!("{sequences} sequences, {refusals} refusals");
    assert!(refusals > sequences, "most sequences have to move the break, or nothing was refused");
}

#[test]
fn every_short_sequence_with_every_refusal() {
    (1..=4).for_each(|length| all_hold(BROAD, length));
}

#[test]
fn every_longer_sequence_of_large_blocks_with_every_refusal() {
    all_hold(NARROW, 5);
}

/// The refusals are felt: the first allocation fails when its raise is refused, and the heap stays empty.
#[test]
fn a_refused_first_raise_is_out_of_memory() {
    let mut memory = SETUP.memory();
    let mut world = SETUP.world(&mut memory);
    world.refused = true;
    world.brk().fail_after(0);
    assert_eq!(world.allocate(Layout::new::<u64>()), Ok(None));
    assert_eq!(world.break_now(), world.start);
    world.brk().fail_after(usize::MAX);
    assert!(world.allocate(Layout::new::<u64>()).is_ok_and(|payload| payload.is_some()));
}
