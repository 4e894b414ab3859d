use super::*;
use crate::kernel::around::Side;
use crate::kernel::barrier;
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
    die_with_a_tier(world, thread, 2)
}

/// A tier, whose number this must be, and whose owner under this thread pointer is a task that has ended.
fn die_with_a_tier(world: &World, thread: usize, number: u16) -> &OwnTier {
    let address = ptr::from_ref(world).expose_provenance();
    // SAFETY: worlds stay, and this thread waits.
    let work = move || _ = register(unsafe { &*ptr::with_exposed_provenance(address) }, thread);
    thread::spawn(work).join().expect("a tier");
    let tier = world.tier(number).expect("a tier");
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

/// Not with a thread pointer of 0 either, which is what is read where there is none.
#[test]
fn who_has_no_tier_enters_none() {
    let world = some_world();
    assert!(!world.table.guess(0).lease.enter(0));
    let tier = register(world, OTHER);
    assert!(ptr::eq(world.table.guess(OTHER), tier));
    world.vacate(tier);
    assert!(!ptr::eq(world.table.guess(OTHER), tier), "it is found no more");
    assert!(!world.table.guess(OTHER).lease.enter(OTHER));
}

/// What a second thread looks at must not lie where the first one writes at each call.
#[test]
fn the_only_tier_is_the_only_one() {
    let world = some_world();
    assert!(world.only_tier().is_none());
    let tier = register(world, THIS);
    assert!(world.only_tier().is_some_and(|only| ptr::eq(only, tier)));
    register(world, OTHER);
    assert!(world.only_tier().is_none());
    world.vacate(tier);
    assert!(world.only_tier().is_none(), "nor when one of them is gone");
}

/// Memory for three thread pointers, and tiers of the dead under them.
fn world_of_the_dead() -> (&'static World, [usize; 3]) {
    seat::use_thread_pointers();
    let world = some_world();
    register(world, THIS);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let pointers = [(); 3].map(|()| {
        // SAFETY: new memory, at no address of anybody's.
        let memory = unsafe { libc::mmap(ptr::null_mut(), 1 << 16, access, flags, -1, 0) };
        assert_ne!(memory, libc::MAP_FAILED);
        let pointer = memory.expose_provenance() + (1 << 15);
        write(pointer, pointer);
        pointer
    });
    for (pointer, number) in pointers.into_iter().zip(2..) {
        die_with_a_tier(world, pointer, number);
    }
    (world, pointers)
}

/// Writes to the word to which a thread pointer leads: on x86 that is the pointer itself.
fn write(pointer: usize, word: usize) {
    // SAFETY: it is mapped, and nothing else uses it.
    unsafe { ptr::with_exposed_provenance_mut::<usize>(pointer).write(word) };
}

fn unmap(pointer: usize) {
    let memory = ptr::with_exposed_provenance_mut(pointer - (1 << 15));
    // SAFETY: it was mapped for this, and nobody has used it.
    assert_eq!(unsafe { libc::munmap(memory, 1 << 16) }, 0);
}

/// A new thread may have the thread pointer of an old one, and be on its way to the tier.
#[test]
#[cfg_attr(miri, ignore = "makes system calls")]
fn a_tier_stays_with_a_thread_pointer_that_may_be_in_use() {
    let (world, pointers) = world_of_the_dead();
    assert_eq!(register(world, OTHER).number(), 5);
    for (pointer, number) in pointers.into_iter().zip(2..) {
        let tier = world.table.find(pointer).expect("it is found as before");
        assert_eq!(tier.number(), number);
        assert!(tier.lease.enter(pointer));
        tier.lease.leave();
        unmap(pointer);
    }
}

#[test]
#[cfg_attr(miri, ignore = "makes system calls")]
fn a_tier_whose_thread_pointer_leads_nowhere_is_given_to_another_thread() {
    let (world, pointers) = world_of_the_dead();
    unmap(pointers[1]);
    assert_eq!(register(world, OTHER).number(), 3);
    let numbers = pointers.map(|pointer| world.table.find(pointer).map(OwnTier::number));
    assert_eq!(numbers, [Some(2), None, Some(4)]);
    assert!(!world.tier(3).expect("a tier").lease.enter(pointers[1]));
    unmap(pointers[0]);
    unmap(pointers[2]);
}

/// The libc has returned the memory, and somebody else has it now.
#[test]
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
#[cfg_attr(miri, ignore = "makes system calls")]
fn a_tier_whose_thread_pointer_leads_elsewhere_is_given_to_another_thread() {
    let (world, pointers) = world_of_the_dead();
    write(pointers[1], 0);
    assert_eq!(register(world, OTHER).number(), 3);
    let numbers = pointers.map(|pointer| world.table.find(pointer).map(OwnTier::number));
    assert_eq!(numbers, [Some(2), None, Some(4)]);
    pointers.into_iter().for_each(unmap);
}

/// What was interrupted may have been about to enter the tier that its signal handlers have left.
#[test]
fn a_tier_that_was_left_is_given_to_its_thread_only() {
    seat::use_thread_pointers();
    let world = some_world();
    let left = register(world, THIS);
    assert!(left.lease.enter(THIS));
    let spare = register(world, THIS);
    assert_eq!((left.number(), spare.number()), (1, 2));
    left.lease.leave();
    assert!(!left.lease.enter(THIS), "it is left");
    assert_eq!(register(world, OTHER).number(), 3);
    assert!(spare.lease.enter(THIS));
    assert_eq!(register(world, THIS).number(), 1, "the spare one is interrupted, too");
    assert!(left.lease.enter(THIS));
}

/// A fork need not wait for whoever waits for a fork; a check, which uses the tiers, must.
#[test]
fn who_is_parked_is_stopped_for_a_fork_only() {
    seat::use_thread_pointers();
    let world = some_world();
    register(world, THIS);
    let tier = register(world, OTHER);
    assert!(tier.lease.enter(OTHER));
    assert!(!world.stop_until(THIS, barrier::pass_all, OwnTier::is_parked), "it is in the middle of an operation");
    world.park_all(OTHER, true);
    world.park_all(OTHER, true);
    world.park_all(OTHER, false);
    assert!(world.has_parked(), "one of two handlers still waits");
    assert!(!world.stop(THIS, barrier::pass_all), "its tier is not to be used");
    assert!(world.stop_until(THIS, barrier::pass_all, OwnTier::is_parked));
    world.go_on(Side::Parent, THIS, 1);
    world.park_all(OTHER, false);
    assert!(!world.has_parked());
    tier.lease.leave();
    assert!(tier.lease.enter(OTHER), "it goes on as if nothing had been");
}

/// In the child the tier is not used before its slabs have been gathered, and nobody is taken for its interrupted owner.
#[test]
fn who_is_parked_when_another_forks_leaves_a_tier_that_is_put_aside() {
    seat::use_thread_pointers();
    let world = some_world();
    register(world, THIS);
    let (parked, other) = (register(world, OTHER), register(world, OTHER + 0x1000));
    assert!(parked.lease.enter(OTHER));
    world.park_all(OTHER, true);
    assert!(world.stop_until(THIS, barrier::pass_all, OwnTier::is_parked));
    world.go_on(Side::Child, THIS, 1);
    assert!(parked.was_killed() && !world.has_parked() && !world.is_interrupted(OTHER));
    assert!(world.stop(THIS, barrier::pass_all), "nobody is waited for");
    world.restore();
    assert_eq!(register(world, OTHER).number(), other.number(), "only this one is free");
    assert_eq!(register(world, OTHER + 0x2000).number(), 4);
    world.go_on(Side::Child, THIS, 1);
    assert!(parked.is_put_aside(), "also in a child's child");
}
