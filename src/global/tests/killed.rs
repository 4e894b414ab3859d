//! Threads that are killed in the middle of an operation: played by a handle whose tier is put aside there.

use super::threads::{Block, Shared, shared};
use crate::global::lock::Lock;
use crate::ground::header::Slab;
use crate::threads::OwnTier;
use crate::tier::slot::Slot;
use core::ptr::NonNull;
use std::vec::Vec;

/// The tier of a handle that has allocated a block there.
fn tier_of(heap: &Shared, block: NonNull<u8>) -> &OwnTier {
    let number = slab_of(heap, block).owner_number();
    heap.lock.world().and_then(|world| world.tier(number)).expect("a tier")
}

fn slab_of(heap: &Shared, block: NonNull<u8>) -> Slab {
    let span = heap.lookup().find_below_break(block.addr().get());
    span.and_then(|span| span.as_slab()).expect("a slab")
}

fn slot_of(heap: &Shared, block: NonNull<u8>) -> Slot {
    Slot::starting_at(slab_of(heap, block), block.addr().get()).expect("a slot")
}

/// Its thread is dead in the middle of what it does.
fn kill(heap: &Shared, tier: &OwnTier) {
    tier.lease.enter_center();
    heap.lock.world().expect("a world").put_aside(tier);
}

/// It had cleared the live bits of what others have freed, and not taken the freed bits yet. Nobody has freed twice.
#[test]
fn one_that_was_taking_what_others_have_freed_accuses_nobody() {
    let heap = shared();
    let (owner, other) = (heap.thread(), heap.thread());
    let mut blocks: Vec<_> = (0..10).map(|_| Block::new(&owner, 100)).collect();
    // The owner is told that it has company.
    blocks.pop().expect("a block").free(&other);
    let freed = blocks.pop().expect("a block");
    let (tier, slot) = (tier_of(heap, freed.0), slot_of(heap, freed.0));
    freed.free(&other);
    let _ = slot.free();
    assert!(tier.others.has_freed(slot) && !slot.is_live());
    kill(heap, tier);
    core::mem::forget(owner);
    assert!(!heap.while_stopped(|_| tier.others.has_found_twice()), "nobody is accused");
    assert!(!tier.is_put_aside(), "it serves again");
    assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 8));
    blocks.into_iter().for_each(|block| block.free(&other));
    assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 0));
}

/// It had freed another's slot, and claimed the page to tell the owner, whom nobody would have told any more.
#[test]
fn one_that_was_telling_an_owner_of_a_free_is_found_by_the_next_rest() {
    let heap = shared();
    let (owner, other, dead) = (heap.thread(), heap.thread(), heap.thread());
    let blocks: Vec<_> = (0..200).map(|_| Block::new(&owner, 64)).collect();
    let (first, of_dead) = (blocks[0].0, Block::new(&dead, 64));
    let tier = tier_of(heap, of_dead.0);
    let slab = slab_of(heap, first);
    // The owner is told that it has company, and the chunk is there.
    Block::new(&owner, 64).free(&other);
    let chunks = &heap.lock.world().expect("a world").directory.chunks;
    let link = chunks.link(chunks.page_of(slab).expect("a chunk"));
    heap.rest();
    assert!(link.claim());
    kill(heap, tier);
    core::mem::forget(dead);
    heap.rest();
    assert!(link.claim(), "others may tell again");
    link.take();
    of_dead.free(&other);
    blocks.into_iter().for_each(|block| block.free(&other));
    drop((owner, other));
    assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 0));
}
