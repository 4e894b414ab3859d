//! One word of freed bits: who is accused, and what the next holder of a slot sees.

use crate::ground::freed::{Half, NotLive, Taken};
use crate::heap::{Heap, SLOTS};
use crate::run::{explore, promise};
use loom::thread;
use std::sync::Arc;

const FIRST: Half = 1;
const SECOND: Half = 2;

/// A thread that frees a slot with no inbox behind it: what the owner claims, it claims by itself.
fn free_from_elsewhere(heap: &Arc<Heap>, bit: Half) -> thread::JoinHandle<Result<(), NotLive>> {
    let heap = Arc::clone(heap);
    thread::spawn(move || heap.slabs[0].freed.free(bit, || heap.slabs[0].is_live(bit)))
}

fn accused(freed: Result<(), NotLive>) -> u32 {
    freed.is_err().into()
}

/// Hands out a slot that must be free, and verifies that no free of its last holder's is in the way.
fn hand_out_unmarked(heap: &Heap, bit: Half) {
    heap.slabs[0].hand_out(bit);
    promise!(heap.slabs[0].claim().taken == Taken::default(), "a block is handed out that is marked as freed");
    promise!(heap.slabs[0].is_live(bit), "a block was taken from its holder");
}

/// Exactly one of two frees is accused, at its call, whenever the owner claims the word.
#[test]
fn two_remote_frees() {
    explore(|| {
        let heap = Heap::new(1, FIRST);
        let both = [free_from_elsewhere(&heap, FIRST), free_from_elsewhere(&heap, FIRST)];
        let during = heap.slabs[0].claim().taken;
        let accused: u32 = both.into_iter().map(|thread| accused(thread.join().unwrap())).sum();
        promise!(accused == 1, "of two frees {accused} were accused");
        let after = heap.slabs[0].claim();
        promise!(during.freed | after.taken.freed == FIRST, "the slot is lost");
        promise!(during.twice | after.taken.twice == 0, "the owner is accused");
        promise!(after.free & FIRST != 0, "the slot is not free");
        hand_out_unmarked(&heap, FIRST);
    });
}

/// A second free may come after the slot was handed out again, and is then a free of that block. As many blocks are freed as
/// were handed out, less those that are held.
#[test]
fn late_second_free() {
    explore(|| {
        let heap = Heap::new(1, FIRST);
        let both = [free_from_elsewhere(&heap, FIRST), free_from_elsewhere(&heap, FIRST)];
        let slab = &heap.slabs[0];
        let mut handed_out = 1;
        if slab.claim().free & FIRST != 0 {
            slab.hand_out(FIRST);
            handed_out += 1;
        }
        let accused: u32 = both.into_iter().map(|thread| accused(thread.join().unwrap())).sum();
        promise!(slab.claim().taken.twice == 0, "the owner is accused");
        let held = u32::from(slab.is_live(FIRST));
        promise!(handed_out == held + (2 - accused), "{handed_out} handed out, {held} held, {accused} accused");
    });
}

/// The owner and another thread free one slot. Both may return; then the free is found when the owner claims the word,
/// before it hands out the slot.
#[test]
fn owner_and_remote() {
    explore(|| {
        let heap = Heap::new(1, FIRST);
        let other = free_from_elsewhere(&heap, FIRST);
        let mine = accused(heap.slabs[0].local_free(FIRST).0);
        let claimed = heap.slabs[0].claim();
        let mut handed_out = 1;
        if claimed.free & FIRST != 0 {
            heap.slabs[0].hand_out(FIRST);
            handed_out += 1;
        }
        let other = accused(other.join().unwrap());
        let later = heap.slabs[0].claim();
        let twice = claimed.taken.twice.count_ones() + later.taken.twice.count_ones();
        let (accused, held) = (mine + other + twice, u32::from(heap.slabs[0].is_live(FIRST)));
        promise!(handed_out == held + (2 - accused), "{handed_out} handed out, {held} held, {accused} accused");
        promise!(later.taken.twice == 0, "a slot was handed out before its second free was found");
    });
}

/// The same with the owner's word: the owner may know at its call. The slot is handed out when both have returned, and then
/// exactly one was accused.
#[test]
fn owner_and_remote_with_notice() {
    explore(|| {
        let heap = Heap::new(1, FIRST);
        let elsewhere = Arc::clone(&heap);
        let other = thread::spawn(move || elsewhere.remote_free(0, FIRST));
        let (mine, found) = heap.slabs[0].local_free(FIRST);
        let (mine, twice) = (accused(mine), found + heap.drain());
        let other = accused(other.join().unwrap());
        let claimed = heap.slabs[0].claim();
        let accused = mine + other + twice + claimed.taken.twice.count_ones();
        promise!(accused == 1, "of two frees {accused} were accused");
        promise!(claimed.free & FIRST != 0, "the slot is not free");
        hand_out_unmarked(&heap, FIRST);
    });
}

/// Two threads free a slot each, and the owner frees the second one afterwards: that is accused at its call, also if the
/// first thread, which has noted the slab, has not told the owner yet.
#[test]
fn owner_after_remote_beside_another() {
    explore(|| {
        let heap = Heap::new(1, SLOTS);
        let frees = |bit| {
            let heap = Arc::clone(&heap);
            thread::spawn(move || heap.remote_free(0, bit))
        };
        let (first, second) = (frees(FIRST), frees(SECOND));
        let mut twice = heap.drain();
        promise!(second.join().unwrap().is_ok(), "a right program is accused");
        let (mine, found) = heap.slabs[0].local_free(SECOND);
        promise!(mine.is_err(), "a second free is not accused at its call");
        promise!(first.join().unwrap().is_ok(), "a right program is accused");
        twice += found + heap.drain() + heap.slabs[0].claim().taken.twice.count_ones();
        promise!(twice == 0, "the owner is accused");
        heap.nothing_is_forgotten();
    });
}

/// Two threads write their blocks and free them. Nobody is accused, nothing is lost, and who gets a block next has it alone
/// and sees what was written.
#[test]
fn right_program() {
    explore(|| {
        let heap = Heap::new(1, SLOTS);
        let holder = |bit: Half| {
            let heap = Arc::clone(&heap);
            thread::spawn(move || {
                heap.slabs[0].write(bit, bit);
                heap.slabs[0].freed.free(bit, || heap.slabs[0].is_live(bit))
            })
        };
        let both = [holder(FIRST), holder(SECOND)];
        let during = use_what_was_taken(&heap);
        let accused: u32 = both.into_iter().map(|thread| accused(thread.join().unwrap())).sum();
        let after = use_what_was_taken(&heap);
        promise!(accused == 0 && during.twice | after.twice == 0, "a right program is accused");
        promise!(during.freed ^ after.freed == SLOTS, "a slot is lost, or taken twice");
    });
}

/// Claims the word, and writes each block that was taken.
fn use_what_was_taken(heap: &Heap) -> Taken {
    let claimed = heap.slabs[0].claim();
    for bit in [FIRST, SECOND].into_iter().filter(|bit| claimed.taken.freed & bit != 0) {
        promise!(heap.slabs[0].read(bit) == bit, "what the last holder wrote is not seen");
        heap.slabs[0].hand_out(bit);
        heap.slabs[0].write(bit, 0);
    }
    claimed.taken
}

/// A block goes to another thread, which frees it; its slot is handed out again, to a third, which frees it, too.
#[test]
fn right_program_in_turns() {
    explore(|| {
        let heap = Heap::new(1, FIRST);
        let mut turns = 0;
        let mut holder = free_from_elsewhere(&heap, FIRST);
        // The other slot is the owner's own.
        heap.slabs[0].hand_out(SECOND);
        if heap.slabs[0].claim().free & FIRST != 0 {
            heap.slabs[0].hand_out(FIRST);
            turns = accused(holder.join().unwrap());
            holder = free_from_elsewhere(&heap, FIRST);
        }
        let own = accused(heap.slabs[0].local_free(SECOND).0);
        let accused = turns + own + accused(holder.join().unwrap());
        let claimed = heap.slabs[0].claim();
        promise!(accused == 0 && claimed.taken.twice == 0, "a right program is accused");
        promise!(claimed.free == SLOTS, "a slot is lost");
    });
}
