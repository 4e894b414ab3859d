//! Threads free addresses inside of a block at the instant when it is freed, moved or handed out: they are accused each
//! time, and who is right never is.

use super::field::{Field, LARGE, rounds};
use super::harness::{Race, Round};
use crate::crowd::scenario;
use hmalloc::{Hmalloc, MisuseKind};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

static HEAP: Hmalloc = Hmalloc::new();

/// The size of the blocks of this batch.
static SIZE: AtomicUsize = AtomicUsize::new(0);

/// Frees an address so far inside of the block, for which the heap has one of these names.
fn free_at(round: &Round, offset: usize, expected: &[MisuseKind]) {
    let inside = round.block().wrapping_add(offset);
    // SAFETY: the mistake is what the heap has to notice; no block is used.
    unsafe {
        HEAP.free(inside, |misuse| {
            assert!(expected.contains(&misuse.kind), "{misuse}");
            round.accuse(misuse, inside);
        });
    }
}

/// The block's neighbours stay, so that all of it stays in the heap if it is small.
const SMALL: [usize; 4] = [48, 200, 1000, 5000];
const IN_A_SLAB: [MisuseKind; 2] = [MisuseKind::Misaligned, MisuseKind::NotABlock];
const IN_A_SPAN: [MisuseKind; 3] = [MisuseKind::Misaligned, MisuseKind::NotABlock, MisuseKind::OutsideHeap];

fn race(sizes: &'static [usize], usual: usize, names: &'static [MisuseKind]) {
    let field = Field::new(&HEAP, sizes);
    let blocks = |batch: usize| {
        SIZE.store(field.size(batch), Relaxed);
        field.blocks(batch)
    };
    let near = |round: &Round| free_at(round, [8, 16, 32][round.block().addr() / 16 % 3], names);
    let far = |round: &Round| free_at(round, SIZE.load(Relaxed) - [1, 8][round.block().addr() / 16 % 2], names);
    let right = |round: &Round| crate::blocks::free(&HEAP, round.block());
    let settle = |batch: usize, rounds: &[Round]| {
        for (number, round) in rounds.iter().enumerate() {
            assert_eq!(round.accused(), 2, "accusations in round {number} of batch {batch}");
        }
        field.settle(0);
    };
    Race { others: &[&near, &far, &right], owner: None }.run(rounds(usual), &blocks, &settle);
    Race { others: &[&near, &far], owner: Some(&right) }.run(rounds(usual), &blocks, &settle);
    field.end();
}

#[test]
fn addresses_inside_of_small_blocks() {
    scenario(&addresses_inside_of_small_blocks, || race(&SMALL, 50_000, &IN_A_SLAB));
}

#[test]
fn addresses_inside_of_large_blocks() {
    scenario(&addresses_inside_of_large_blocks, || race(&LARGE, 10_000, &IN_A_SPAN));
}
