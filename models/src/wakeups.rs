//! The note in the owner's word that others have freed slots, and the inbox: nothing that was freed is forgotten.

use crate::ground::freed::Half;
use crate::heap::{Heap, SLOTS};
use crate::run::{explore, promise};
use loom::thread::{self, JoinHandle};
use std::sync::Arc;

/// A thread that frees slots of pages, which a right program holds.
fn free_all(heap: &Arc<Heap>, blocks: &'static [(usize, Half)]) -> JoinHandle<()> {
    let heap = Arc::clone(heap);
    thread::spawn(move || {
        for &(page, bit) in blocks {
            promise!(heap.remote_free(page, bit).is_ok(), "a right program is accused");
        }
    })
}

/// Verifies that nothing is forgotten, then that all slots of all slabs are free.
fn all_comes_back(heap: &Heap) {
    heap.nothing_is_forgotten();
    for slab in &heap.slabs {
        let claimed = slab.claim();
        promise!(claimed.taken.twice == 0 && claimed.free == SLOTS, "not free: {claimed:?}");
    }
}

/// One thread frees two slots of a slab, one after the other, while the owner drains.
#[test]
fn notice_while_the_owner_drains() {
    explore(|| {
        let heap = Heap::new(1, SLOTS);
        let other = free_all(&heap, &[(0, 1), (0, 2)]);
        promise!(heap.drain() + heap.drain() == 0, "the owner is accused");
        other.join().unwrap();
        all_comes_back(&heap);
    });
}

/// The same, but the owner has claimed the word before, so that there may be nothing to take: it must see what was freed
/// since then by one who still sees the note.
#[test]
fn notice_after_a_claim() {
    explore(|| {
        let heap = Heap::new(1, SLOTS);
        let other = free_all(&heap, &[(0, 1), (0, 2)]);
        promise!(heap.slabs[0].claim().taken.twice + heap.drain() == 0, "the owner is accused");
        other.join().unwrap();
        all_comes_back(&heap);
    });
}

/// The owner frees a slot of its own in a slab that is in the inbox, and meets the note: so the page is there without one
/// when another thread frees a slot.
#[test]
fn notice_after_the_owner_met_the_note() {
    explore(|| {
        let heap = Heap::new(1, SLOTS);
        free_all(&heap, &[(0, 1)]).join().unwrap();
        let mut twice = heap.slabs[0].look_if_noted();
        let other = free_all(&heap, &[(0, 2)]);
        twice += heap.drain();
        promise!(twice == 0, "the owner is accused");
        other.join().unwrap();
        all_comes_back(&heap);
    });
}

/// Two threads free a slot of one slab each.
#[test]
fn two_notices_of_one_slab() {
    explore(|| {
        let heap = Heap::new(1, SLOTS);
        let both = [free_all(&heap, &[(0, 1)]), free_all(&heap, &[(0, 2)])];
        promise!(heap.drain() == 0, "the owner is accused");
        both.into_iter().for_each(|thread| thread.join().unwrap());
        all_comes_back(&heap);
    });
}

/// Two threads free a slot of two slabs.
#[test]
fn two_notices_of_two_slabs() {
    explore(|| {
        let heap = Heap::new(2, SLOTS);
        let own = [heap.slabs[0].local_free(2), heap.slabs[1].local_free(2)];
        promise!(own == [(Ok(()), 0); 2], "the owner is accused");
        let both = [free_all(&heap, &[(0, 1)]), free_all(&heap, &[(1, 1)])];
        promise!(heap.drain() == 0, "the owner is accused");
        both.into_iter().for_each(|thread| thread.join().unwrap());
        all_comes_back(&heap);
    });
}
