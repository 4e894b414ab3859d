//! Every short sequence of calls on a small heap, with every wrong pointer at every step. Each answer is the model's.
//!
//! A wrong call leaves the heap byte for byte as it was, which is verified in each state. So a sequence with wrong calls in it is
//! one without them, and it is enough to give every wrong pointer to every entry in each state that calls in order can reach.
//! Those are walked through depth first, from a saved state to the next.
//!
//! The pointers are all that differ in kind (`pointers`), and after the shortest sequences all addresses of the heap.
//!
//! `HMALLOC_TEST_LENGTH=7 cargo test --release --test misuse specified -- --nocapture` goes further, and prints how far.

mod model;
mod pointers;
mod state;
mod walk;
mod wrong;

use support::oracle::Verdict;
use walk::{Move, Walk};

/// The calls in order: a small slot, the slot of a slab with a tail, a large block; each can be freed and resized to another kind.
const MOVES: &[Move] = &[
    Move::Allocate(24),
    Move::Allocate(50_000),
    Move::Allocate(60_000),
    Move::Free,
    Move::Resize(100),
    Move::Resize(70_000),
    Move::Trim,
    Move::Neighbour(20_000),
];

/// Operations of the longest sequences, wrong ones included.
fn length() -> usize {
    std::env::var("HMALLOC_TEST_LENGTH").map_or(5, |text| text.parse().expect("a number"))
}

fn walked(length: usize, mappings: bool) -> Walk {
    let mut walk = Walk::new(length);
    let verdict: Verdict = walk.run(MOVES, mappings);
    verdict.unwrap_or_else(|what| panic!("{what}"));
    println!("up to {length} operations: {}", walk.tally());
    walk
}

#[test]
fn every_short_sequence_with_every_wrong_pointer() {
    let walk = walked(length(), false);
    assert!(walk.met.iter().all(|met| *met > 100), "a kind of misuse was hardly met: {:?}", walk.met);
}

#[test]
fn every_short_sequence_with_every_wrong_pointer_in_mappings() {
    let walk = walked(length().saturating_sub(1).max(3), true);
    assert!(walk.met.iter().all(|met| *met > 10), "a kind of misuse was hardly met: {:?}", walk.met);
}

/// The control: a model that does not know a payload, or one that takes a free one for live, is contradicted.
#[test]
fn a_wrong_model_is_contradicted() {
    for fault in [walk::Fault::ForgetsAPayload, walk::Fault::KeepsAFreed, walk::Fault::TakesTheTailForSlots] {
        let mut walk = Walk::new(3);
        walk.fault = Some(fault);
        let verdict = walk.run(MOVES, false);
        assert!(verdict.is_err(), "{fault:?} went unnoticed");
    }
}
