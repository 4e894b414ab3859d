//! The harness notices what it is for: its threads do act at the same instant, and its accounts are exact.

use super::harness::{BATCH, Race, Round};
use crate::crowd::scenario;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};

/// Whether blocks are live, looked at and changed in two steps: what a heap must not do.
static LIVE: [AtomicBool; BATCH] = [const { AtomicBool::new(false) }; BATCH];

fn free_in_two_steps(round: &Round) {
    let live = &LIVE[round.block().addr() - 1];
    if live.load(Relaxed) {
        live.store(false, Relaxed);
    } else {
        round.note(0, 1);
    }
}

#[test]
fn a_free_in_two_steps_is_found_out() {
    scenario(&a_free_in_two_steps_is_found_out, || {
        let missed = AtomicUsize::new(0);
        let race = Race { others: &[&free_in_two_steps, &free_in_two_steps], owner: None };
        while missed.load(Relaxed) == 0 {
            let blocks = |_: usize| {
                LIVE.iter().for_each(|live| live.store(true, Relaxed));
                (1..=BATCH).map(std::ptr::without_provenance_mut).collect()
            };
            let settle = |_: usize, rounds: &[Round]| {
                missed.fetch_add(rounds.iter().filter(|round| round.noted(0) == 0).count(), Relaxed);
            };
            race.run(10_000, &blocks, &settle);
        }
        println!("{missed:?} of 10,000 mistakes were missed");
    });
}
