//! Threads that are killed in the middle of an operation: played by a handle whose tier is put aside there.

use super::threads::{Block, Shared, shared, shared_with};
use crate::global::lock::Lock;
use crate::ground::header::{Place, Slab};
use crate::ground::list::Linked;
use crate::threads::{OwnTier, WORLD_BYTES};
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

/// It was about to put a slab on its list: a neighbour leads there already, and the list does not. Others free where nothing can
/// be noted for it, as there is no memory for that, and change no list of its.
#[test]
fn one_that_was_listing_a_slab_has_its_lists_left_alone() {
    // Just so much that there are tiers, between two guards, wherever in a page the arena ends.
    let heap = shared_with(WORLD_BYTES.next_multiple_of(4096) + 3 * 4096);
    let (owner, other) = (heap.thread(), heap.thread());
    let mut blocks: Vec<_> = (0..40).map(|_| Block::new(&owner, 8000)).collect();
    // The first slab is listed, and the second is full.
    let listed = slab_of(heap, blocks[0].0);
    blocks.remove(0).free(&owner);
    let second = blocks.iter().position(|block| slab_of(heap, block.0) != listed).expect("a second slab");
    let full = slab_of(heap, blocks[second].0);
    assert_eq!((listed.place(), full.place()), (Place::Listed, Place::Full));
    listed.links().left.set(Some(full));
    let tier = tier_of(heap, blocks[0].0);
    kill(heap, tier);
    core::mem::forget(owner);
    blocks.remove(second).free(&other);
    assert_eq!(full.place(), Place::Full);
    blocks.into_iter().for_each(|block| block.free(&other));
    assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 0));
}
