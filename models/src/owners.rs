//! Slabs that come to another owner, and tiers that stop as they are, while other threads free: nothing is forgotten.

use crate::ground::atomic::membarrier;
use crate::ground::freed::{Half, NotLive};
use crate::ground::lease;
use crate::ground::lease::Lease;
use crate::heap::{Heap, ME, OTHER, SLOTS};
use crate::interrupt;
use crate::run::{explore, promise};
use loom::thread;
use std::sync::Arc;

const FIRST: Half = 1;
const SECOND: Half = 2;
/// The thread pointers of an owner and of a thread that frees.
const OWNER: usize = 0x1000;
const FREER: usize = 0x2000;

/// A free by a thread that looks up whose the slab is, as in `Directory::free`.
fn free(heap: &Heap, bit: Half) -> Result<(), NotLive> {
    let slab = &heap.slabs[0];
    let owner = slab.owner();
    slab.freed.free(bit, || slab.is_live(bit) && slab.owner() == owner)?;
    heap.notify(0);
    Ok(())
}

/// A thread frees the last slot of a slab and is late to tell the owner. By then that has taken the slot and retired the slab,
/// and another owner has it. A block of that one's is freed: the page may be in the inbox of the first.
#[test]
fn late_notice_to_the_former_owner() {
    explore(|| {
        let heap = Heap::new(1, FIRST);
        let elsewhere = Arc::clone(&heap);
        let late = thread::spawn(move || free(&elsewhere, FIRST).is_ok());
        let slab = &heap.slabs[0];
        let is_cut = slab.claim().free & FIRST != 0;
        if is_cut {
            slab.recut_for(OTHER, 1);
            slab.hand_out(FIRST);
            let elsewhere = Arc::clone(&heap);
            let other = thread::spawn(move || elsewhere.drain_for(OTHER));
            promise!(free(&heap, FIRST).is_ok(), "a right program is accused");
            let twice = heap.drain_for(ME) + other.join().unwrap();
            promise!(twice == 0, "an owner is accused");
        }
        promise!(late.join().unwrap(), "a right program is accused");
        promise!(heap.drain_for(ME) == 0, "the former owner is accused");
        heap.nothing_is_forgotten();
        promise!(slab.claim().free & FIRST != 0, "the slot is lost");
    });
}

/// Two leases, which are stopped as for a fork or a check.
struct Leases {
    heap: Arc<Heap>,
    owner: Lease,
    freer: Lease,
}

impl Leases {
    fn new(live: Half) -> Arc<Self> {
        interrupt::begin(false);
        Arc::new(Self { heap: Heap::new(1, live), owner: lease(OWNER), freer: lease(FREER) })
    }

    fn stop(&self) {
        let both = [&self.owner, &self.freer];
        both.iter().for_each(|lease| lease.revoke());
        membarrier();
        for lease in both {
            while !lease.is_at_rest() {
                thread::yield_now();
            }
        }
    }

    /// An operation under a lease, if that is not revoked.
    fn operate<R>(lease: &Lease, holder: usize, operation: impl FnOnce() -> R) -> Option<R> {
        lease.enter(holder).then(|| {
            let result = operation();
            lease.leave();
            result
        })
    }

    fn free(&self, bit: Half) -> bool {
        let freed = Self::operate(&self.freer, FREER, || free(&self.heap, bit));
        promise!(freed != Some(Err(NotLive)), "a right program is accused");
        freed.is_some()
    }
}

/// A fork: what the child finds is what it is when nobody is in the middle of anything, and it goes on with the slab.
#[test]
fn what_a_child_finds() {
    explore(|| {
        let leases = Leases::new(SLOTS);
        let (owner, freer) = (Arc::clone(&leases), Arc::clone(&leases));
        let freer = thread::spawn(move || freer.free(FIRST));
        let owner = thread::spawn(move || {
            let slab = &owner.heap.slabs[0];
            let freed = Leases::operate(&owner.owner, OWNER, || slab.local_free(SECOND));
            promise!(matches!(freed, None | Some((Ok(()), 0))), "a right program is accused");
            freed.is_some()
        });
        leases.stop();
        // Both stay stopped: the parent is another process.
        let slab = &leases.heap.slabs[0];
        leases.heap.nothing_is_forgotten();
        let claimed = slab.claim();
        let freed = [(freer, FIRST), (owner, SECOND)].map(|(thread, bit)| if thread.join().unwrap() { bit } else { 0 });
        promise!(claimed.free == freed[0] | freed[1], "the child finds other slots free than were freed");
        promise!(claimed.taken.twice == 0, "the owner is accused");
    });
}

/// A slab is given to another owner while all are stopped, its note as it is, and a thread goes on to free in it.
#[test]
fn given_to_another_owner() {
    explore(|| {
        let leases = Leases::new(SLOTS);
        let elsewhere = Arc::clone(&leases);
        let freer = thread::spawn(move || [FIRST, SECOND].map(|bit| elsewhere.free(bit)));
        leases.stop();
        let slab = &leases.heap.slabs[0];
        leases.heap.empty_inbox(|_| {});
        promise!(slab.look_if_noted() == 0, "the owner is accused");
        slab.set_owner(OTHER);
        leases.freer.restore(FREER);
        leases.owner.restore(OWNER);
        promise!(leases.heap.drain_for(OTHER) == 0, "the new owner is accused");
        let freed = freer.join().unwrap();
        leases.heap.nothing_is_forgotten();
        let free = slab.claim().free;
        for (bit, freed) in [FIRST, SECOND].into_iter().zip(freed) {
            promise!((free & bit != 0) == freed, "a slot is lost, or taken from its holder");
        }
    });
}
