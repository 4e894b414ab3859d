use super::*;
use core::ptr;
use std::alloc::{Layout, alloc_zeroed};
use std::thread;

const THIS: usize = 0x1000;
const OTHER: usize = 0x2000;

fn some_world() -> &'static World {
    // SAFETY: not 0 bytes.
    let memory = unsafe { alloc_zeroed(Layout::from_size_align(WORLD_BYTES, 4096).expect("a layout")) };
    // SAFETY: the memory is zero, for this, and never freed.
    unsafe { World::make(memory.expose_provenance()) }
}

/// The second tier, whose owner under this thread pointer is a task that has ended.
fn tier_of_the_dead(world: &World, thread: usize) -> &OwnTier {
    let address = ptr::from_ref(world).expose_provenance();
    // SAFETY: worlds stay, and this thread waits.
    let work = move || _ = register(unsafe { &*ptr::with_exposed_provenance(address) }, thread);
    thread::spawn(work).join().expect("a tier");
    let tier = world.tier(2).expect("the second tier");
    while !tier.is_abandoned() && !cfg!(miri) {
        thread::yield_now();
    }
    tier
}

fn register(world: &World, thread: usize) -> &OwnTier {
    world.register(thread, |_| Err(())).expect("there is room for some tiers")
}

/// A new thread goes on with the tier of an old one that had its thread pointer.
#[test]
fn an_owner_is_waited_for_although_the_task_that_became_the_owner_is_gone() {
    seat::use_thread_pointers();
    let world = some_world();
    register(world, THIS);
    let tier = tier_of_the_dead(world, OTHER);
    assert!(tier.lease.enter(OTHER));
    assert!(!world.stop(THIS, barrier::pass_all), "it is in the middle of an operation");
    tier.lease.leave();
    assert!(world.stop(THIS, barrier::pass_all));
    assert!(!tier.lease.enter(OTHER));
    world.restore();
    assert!(tier.lease.enter(OTHER));
}

/// A handle is not another task's.
#[test]
fn the_owner_of_a_handle_is_not_waited_for_when_it_is_dead() {
    let world = some_world();
    register(world, THIS);
    let tier = tier_of_the_dead(world, BY_HANDLE);
    assert!(tier.lease.enter(BY_HANDLE));
    assert_eq!(world.stop(THIS, barrier::pass_all), !cfg!(miri), "an interpreter does not know who is dead");
}

/// A fork inside of a check, or a check inside of a fork, does not let the others go on before both are over.
#[test]
fn a_stop_inside_of_another_one_does_not_end_it() {
    let world = some_world();
    let tier = register(world, OTHER);
    assert!(world.stop(THIS, || {}) && world.stop(THIS, || {}));
    world.restore();
    assert!(!tier.lease.enter(OTHER), "the outer stop goes on");
    assert!(world.stop_one(tier, || {}));
    world.restore();
    assert!(!tier.lease.enter(OTHER), "it still does");
    world.restore();
    assert!(tier.lease.enter(OTHER), "both are over");
}
