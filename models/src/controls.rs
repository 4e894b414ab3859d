//! Heaps that deviate from the protocol: a model must find out each. So what the models see is not nothing.

use crate::ground::freed::NotLive;
use crate::heap::Slab;
use crate::leases::{Former, given_away};
use crate::recut::late_free;
use crate::seats::{held_by, take_turns};

/// A free that looks where the address lies only at first: its bit may be that of another block by the time it is set.
#[test]
#[should_panic(expected = "violated: the new block was freed by a free of the old one")]
fn free_that_does_not_look_again() {
    late_free(|slab: &Slab, address| {
        let bit = slab.slot_at(address).ok_or(NotLive)?;
        slab.freed.free(bit, || slab.is_live(bit))
    });
}

/// A thread that leaves the lock without a look at who sleeps.
#[test]
#[should_panic(expected = "deadlock")]
fn leave_that_wakes_nobody() {
    take_turns(&[1, 1], |word| {
        word.release();
        false
    });
}

/// A thread that looks before it leaves, and then leaves by a plain store: a bit that is set in between is lost.
#[test]
#[should_panic(expected = "deadlock")]
fn leave_in_two_steps() {
    take_turns(&[1, 1], |word| {
        let sleeps = word.is_still_marked(held_by(1)) || word.is_still_marked(held_by(2));
        word.release();
        sleeps
    });
}

/// A tier that is given away as soon as the task which became its owner is dead. Another thread that has its thread pointer may
/// be about to enter: it finds out that it is not the holder, and takes back a mark that is the new owner's.
#[test]
#[should_panic(expected = "Causality violation")]
fn tier_of_a_living_owner_is_given_away() {
    given_away(Former::Doubtful);
}
