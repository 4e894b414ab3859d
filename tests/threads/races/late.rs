//! A second free that comes late: long after the first one, and at the instant when the block may be handed out again.

use super::field::{Field, SMALL, rounds};
use super::harness::{Race, Round};
use crate::blocks::plain;
use crate::crowd::scenario;
use hmalloc::{Hmalloc, MisuseKind};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

static HEAP: Hmalloc = Hmalloc::new();

/// Frees `block`, and says whether the heap took it.
fn frees(round: &Round, block: *mut u8) -> bool {
    let mut taken = true;
    // SAFETY: the mistake is what the heap has to notice; no block is used.
    unsafe {
        HEAP.free(block, |misuse| {
            // The slab may have been retired meanwhile.
            assert!(matches!(misuse.kind, MisuseKind::AlreadyFree | MisuseKind::NotABlock), "{misuse}");
            round.accuse(misuse, block);
            taken = false;
        });
    }
    taken
}

/// All blocks of a batch are freed by one thread, and after that all again by another one. Each second one is accused.
/// Some of the slots have been claimed for later requests then, but not handed out.
#[test]
fn a_second_free_comes_after_all_the_first_ones() {
    scenario(&a_second_free_comes_after_all_the_first_ones, || {
        let field = Field::new(&HEAP, &SMALL);
        let race = Race { others: &[&|round| assert!(frees(round, round.block()))], owner: None };
        let settle = |batch: usize, rounds: &[Round]| {
            // What is handed out again belongs to somebody, and may not be freed: it is left out.
            let request = |_| plain(&HEAP, field.size(batch)).as_ptr().expose_provenance();
            let again: Vec<usize> = (0..batch % 7).map(request).collect();
            let late = rounds.iter().filter(|round| !again.contains(&round.block().addr()));
            std::thread::scope(|scope| {
                _ = scope.spawn(|| late.for_each(|round| assert!(!frees(round, round.block()))));
            });
            field.settle(again.len());
            again.iter().for_each(|&block| crate::blocks::free(&HEAP, std::ptr::with_exposed_provenance_mut(block)));
            field.settle(0);
        };
        race.run(rounds(100_000).min(1_000_000), &|batch| field.blocks(batch), &settle);
        field.end();
    });
}

const KEPT: usize = 0;
const TAKEN: usize = 1;

/// One thread requests a block, another one frees a block that is free already. If it was that one that was just handed
/// out, the free may have come after that, and then it was none too many. Either way the accounts are right.
#[test]
fn a_second_free_meets_the_next_request() {
    scenario(&a_second_free_meets_the_next_request, || {
        let field = Field::new(&HEAP, &SMALL);
        let size = AtomicUsize::new(0);
        let request = |round: &Round| {
            round.note(KEPT, plain(&HEAP, size.load(Relaxed)).as_ptr().expose_provenance());
        };
        let free_again = |round: &Round| round.note(TAKEN, usize::from(frees(round, round.block())));
        let blocks = |batch: usize| {
            size.store(field.size(batch), Relaxed);
            let blocks = field.blocks(batch);
            blocks.iter().for_each(|block| crate::blocks::free(&HEAP, *block));
            blocks
        };
        let settle = |_: usize, rounds: &[Round]| {
            let mut live: Vec<_> = rounds.iter().map(kept).filter(|block| HEAP.usable_size(*block).is_ok()).collect();
            live.sort_unstable();
            live.dedup();
            assert_accounts(rounds, &live);
            field.settle(live.len());
            live.into_iter().for_each(|block| crate::blocks::free(&HEAP, block));
            field.settle(0);
        };
        Race { others: &[&free_again], owner: Some(&request) }.run(rounds(100_000), &blocks, &settle);
        field.end();
    });
}

/// The block that was handed out in a round.
fn kept(round: &Round) -> *mut u8 {
    std::ptr::with_exposed_provenance_mut(round.noted(KEPT))
}

/// Every free that the heap took was of a block that had been handed out before.
fn assert_accounts(rounds: &[Round], live: &[*mut u8]) {
    let taken = rounds.iter().filter(|round| round.noted(TAKEN) == 1);
    let mut handed_out: Vec<usize> = rounds.iter().map(|round| round.noted(KEPT)).collect();
    for round in taken {
        let at = handed_out.iter().position(|&kept| kept == round.block().addr());
        handed_out.swap_remove(at.expect("a block that was not handed out was freed"));
    }
    let left: Vec<usize> = live.iter().map(|block| block.addr()).collect();
    handed_out.sort_unstable();
    assert_eq!(left, handed_out, "blocks that were handed out and not freed");
}
