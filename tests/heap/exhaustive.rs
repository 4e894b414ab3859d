//! Every short sequence of operations, each with every single move of the break refused, once or from then on.

use super::operations::Op::{self, *};
use super::operations::Which::{self, *};
use std::alloc::Layout;
use support::arena::Arena;
use support::ensure;
use support::oracle::Verdict;
use support::setup::Setup;
use support::world::EmulatedWorld;

/// Which move of the break is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    None,
    Once(usize),
    From(usize),
}

/// Allocates `size` bytes, zeroed when the number is odd.
const fn get(size: usize) -> Op {
    if size.is_multiple_of(2) { Allocate { size, align: 8 } } else { Zeroed { size, align: 8 } }
}

const fn free(which: Which) -> Op {
    Free { which }
}

/// Resizes the newest payload to `size` bytes.
const fn resize(size: usize) -> Op {
    Resize { which: Newest, size, align: 8 }
}

const TRIM: Op = Trim { keep: 0 };

/// Small and large blocks, at sizes around those where the heap works in another way.
const BROAD: &[Op] = &[
    get(1),
    get(17),
    get(8 << 10),
    get(16 << 10),
    get(40_001),
    get(300 << 10),
    free(Oldest),
    free(Newest),
    free(Middle),
    resize(24),
    resize(100_000),
    TRIM,
];

/// Fewer operations for longer sequences: three sizes of spans around the growth step, so that most of them move the break.
const NARROW: &[Op] = &[get(16), get(280 << 10), get(700_001), free(Oldest), free(Newest), resize(500_000), TRIM];

const SETUP: Setup = Setup { arena: 12 << 20, offset: 0, page: 4096, dirty: true, discard: false, mappings: 0 };

/// Does one operation. Where one call is refused, a request that failed succeeds when it is made again.
fn step(world: &mut EmulatedWorld<'_>, op: Op, refusal: Refusal) -> Verdict {
    let served = op.run(world)?;
    if op.allocates() && !served && matches!(refusal, Refusal::Once(_)) {
        ensure!(op.run(world)?, "one refusal was remembered");
    }
    Ok(())
}

/// Runs one sequence. How many moves of the break it took.
fn run(memory: &mut Arena, ops: &[Op], refusal: Refusal) -> Verdict<usize> {
    let mut world = SETUP.world(memory);
    world.refused = refusal != Refusal::None;
    match refusal {
        Refusal::None => {}
        Refusal::Once(call) => world.brk().fail_once(call),
        Refusal::From(call) => world.brk().fail_after(call),
    }
    for &op in ops {
        step(&mut world, op, refusal).map_err(|what| format!("{op:?} in {ops:?} with {refusal:?}: {what}"))?;
    }
    let moves = world.brk().calls();
    world.finish().map_err(|what| format!("the end of {ops:?} with {refusal:?}: {what}"))?;
    Ok(moves)
}

/// Runs every sequence of `length` operations with every refusal. The counts of sequences and of refusals.
fn every_sequence(alphabet: &[Op], length: u32) -> Verdict<(usize, usize)> {
    let mut memory = SETUP.memory();
    let (mut sequences, mut refusals) = (0, 0);
    for number in 0..alphabet.len().pow(length) {
        let digit = |place| alphabet[number / alphabet.len().pow(place) % alphabet.len()];
        let ops: Vec<Op> = (0..length).map(digit).collect();
        // The others do nothing at first and are a shorter sequence.
        if !ops[0].allocates() {
            continue;
        }
        let moves = run(&mut memory, &ops, Refusal::None)?;
        for call in 0..moves {
            run(&mut memory, &ops, Refusal::Once(call))?;
            run(&mut memory, &ops, Refusal::From(call))?;
        }
        sequences += 1;
        refusals += 2 * moves;
    }
    Ok((sequences, refusals))
}

fn all_hold(alphabet: &[Op], length: u32) {
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

/// The control: refusals have an effect. The first allocation fails when its raise is refused, and the heap stays empty.
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
