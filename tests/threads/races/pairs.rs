//! Threads free a block that another one has allocated, at the same instant: one of them is right, each other is accused,
//! at its call.

use super::field::{Field, LARGE, SMALL, rounds};
use super::harness::{BATCH, Race, Round};
use crate::crowd::scenario;
use hmalloc::{Hmalloc, MisuseKind};
use std::alloc::Layout;

static HEAP: Hmalloc = Hmalloc::new();

/// Frees the round's block, and counts if that is a misuse. While its slab stands, a small one is known to be free.
fn free(round: &Round) {
    let block = round.block();
    // SAFETY: the mistake is what the heap has to notice; no block is used.
    unsafe {
        HEAP.free(block, |misuse| {
            assert_eq!(misuse.kind, MisuseKind::AlreadyFree, "{misuse}");
            round.accuse(misuse, block);
        });
    }
}

/// A large block's span may have become part of another one, or be with the kernel.
fn free_large(round: &Round) {
    let block = round.block();
    // SAFETY: as above.
    unsafe {
        HEAP.free(block, |misuse| {
            assert!(misuse.kind != MisuseKind::WrongLayout && misuse.kind != MisuseKind::Misaligned, "{misuse}");
            round.accuse(misuse, block);
        });
    }
}

/// Each block of the batch has been freed once and accused once.
fn once_each(field: &Field) -> impl Fn(usize, &[Round]) {
    |batch, rounds| {
        for (number, round) in rounds.iter().enumerate() {
            assert_eq!(round.accused(), 1, "accusations in round {number} of batch {batch}");
        }
        field.settle(0);
    }
}

#[test]
fn two_threads_free_a_block_of_a_third() {
    scenario(&two_threads_free_a_block_of_a_third, || {
        let field = Field::new(&HEAP, &SMALL);
        let race = Race { others: &[&free, &free], owner: None };
        race.run(rounds(200_000), &|batch| field.blocks(batch), &once_each(&field));
        field.end();
    });
}

#[test]
fn two_threads_free_a_large_block_of_a_third() {
    scenario(&two_threads_free_a_large_block_of_a_third, || {
        let field = Field::new(&HEAP, &LARGE);
        let race = Race { others: &[&free_large, &free_large], owner: None };
        race.run(rounds(20_000), &|batch| field.blocks(batch), &once_each(&field));
        field.end();
    });
}

/// Of four threads three are accused.
#[test]
fn four_threads_free_a_block_of_a_fifth() {
    scenario(&four_threads_free_a_block_of_a_fifth, || {
        let field = Field::new(&HEAP, &SMALL);
        let race = Race { others: &[&free, &free, &free, &free], owner: None };
        let settle = |batch: usize, rounds: &[Round]| {
            let accused: Vec<_> = rounds.iter().map(Round::accused).collect();
            assert_eq!(accused, [3; BATCH], "accusations in batch {batch}");
            field.settle(0);
        };
        race.run(rounds(20_000), &|batch| field.blocks(batch), &settle);
        field.end();
    });
}

/// Without a size, with the right one, and as the standard library does: by any door, one is right and one is accused.
#[test]
fn two_threads_free_a_block_by_different_doors() {
    scenario(&two_threads_free_a_block_by_different_doors, || {
        let field = Field::new(&HEAP, &[48]);
        let sized = |round: &Round| {
            let block = round.block();
            // SAFETY: as for `free`.
            if let Err(misuse) = unsafe { HEAP.free_sized(block, Layout::new::<[u64; 6]>()) } {
                assert_eq!(misuse.kind, MisuseKind::AlreadyFree, "{misuse}");
                round.accuse(&misuse, block);
            }
        };
        Race { others: &[&free, &sized], owner: None }.run(
            rounds(20_000),
            &|batch| field.blocks(batch),
            &once_each(&field),
        );
        field.end();
    });
}
