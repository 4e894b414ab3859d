//! The thread that has allocated a block frees it, and so does another one at the same instant: one accusation for each
//! block, at the latest when the heap is looked at.
//!
//! An accusation at a call is counted there. A later one is a line that the heap's policy writes.

use super::field::{Field, LARGE, SMALL, rounds};
use super::harness::{Race, Round};
use crate::crowd::observe;
use hmalloc::{Hmalloc, Policy};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

static HEAP: Hmalloc = Hmalloc::with_policy(Policy::Report);

/// What the scenario says at its end, before the number of accusations at calls and that of all that there have to be.
const SAID: &str = "accused: ";

fn free(round: &Round) {
    let block = round.block();
    // SAFETY: the mistake is what the heap has to notice; no block is used.
    unsafe { HEAP.free(block, |misuse| round.accuse(misuse, block)) };
}

/// Races for blocks of these sizes, and says how many were accused at their calls.
fn race(sizes: &'static [usize], usual: usize) {
    let field = Field::new(&HEAP, sizes);
    let (accused, raced) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let settle = |batch: usize, rounds: &[Round]| {
        for (number, round) in rounds.iter().enumerate() {
            assert!(round.accused() <= 1, "both are accused in round {number} of batch {batch}");
            accused.fetch_add(round.accused(), Relaxed);
        }
        raced.fetch_add(rounds.len(), Relaxed);
        field.settle(0);
    };
    Race { others: &[&free], owner: Some(&free) }.run(rounds(usual), &|batch| field.blocks(batch), &settle);
    field.end();
    HEAP.trim(0);
    assert_eq!(HEAP.check(), Ok(()));
    say(accused.into_inner(), raced.into_inner());
}

/// Says how many accusations there were at calls, and how many there have to be in all.
pub(super) fn say(accused: usize, wanted: usize) {
    println!("\n{SAID}{accused} {wanted}");
}

/// Runs `body` in a process of its own, which says how many accusations it wants, and fails unless there were so many.
pub(super) fn one_each<T>(test: &T, body: impl FnOnce() + Send + 'static) {
    let ended = observe(test, body);
    assert!(ended.finished, "the scenario failed: {ended:#?}");
    let said = ended.stdout.lines().find_map(|line| line.strip_prefix(SAID)).expect("a line");
    let (accused, wanted) = said.split_once(' ').expect("two numbers");
    let [accused, wanted] = [accused, wanted].map(|text| text.parse::<usize>().expect("a number"));
    let later = ended.stderr.lines().filter(|line| line.starts_with("hmalloc: ") && line.contains(" is ")).count();
    assert_eq!(ended.stderr.lines().count(), later, "nothing else is said: {}", ended.stderr);
    assert!(wanted > 0);
    assert_eq!(accused + later, wanted, "{later} of them later");
}

#[test]
fn a_threads_own_block_is_freed_by_another_one_too() {
    one_each(&a_threads_own_block_is_freed_by_another_one_too, || race(&SMALL, 200_000));
}

#[test]
fn a_threads_own_large_block_is_freed_by_another_one_too() {
    one_each(&a_threads_own_large_block_is_freed_by_another_one_too, || race(&LARGE, 20_000));
}
