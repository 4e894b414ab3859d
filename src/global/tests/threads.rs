//! Threads with tiers of their own, by handles over an emulated break: small enough for an interpreter, which sees data
//! races, and for a sanitizer.

use crate::global::futex::Futex;
use crate::global::lock::Lock;
use crate::kernel::brk::Emulated;
use crate::{Hmalloc, MisuseKind, Policy, ThreadHeap};
use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use std::boxed::Box;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::vec::Vec;

pub(super) type Shared = Hmalloc<Futex, Emulated<'static>>;
pub(super) type Handle = ThreadHeap<'static, Futex, Emulated<'static>>;

const KIB: usize = 1 << 10;
const ROUNDS: usize = if cfg!(miri) { 20 } else { 20_000 };
const ARENA: usize = if cfg!(miri) { 1 << 20 } else { 64 << 20 };

pub(super) fn shared() -> &'static Shared {
    shared_with(ARENA / 2)
}

/// The same with so many bytes for mappings: for threads' tiers, and what they free of each other's.
pub(super) fn shared_with(mappings: usize) -> &'static Shared {
    let arena = Box::leak(Box::new_uninit_slice(ARENA));
    let arena: &'static mut [MaybeUninit<u8>] = arena;
    let mut brk = Emulated::new(arena);
    brk.allow_mappings(mappings);
    Box::leak(Box::new(Hmalloc::with_source_and_policy(brk, Policy::Report)))
}

/// A block that its holder has filled.
pub(super) struct Block(pub(super) NonNull<u8>, usize);

// SAFETY: whoever has it is its only user.
unsafe impl Send for Block {}

impl Block {
    pub(super) fn new(heap: &Handle, size: usize) -> Self {
        let layout = Layout::from_size_align(size, 16).expect("a layout");
        let block = heap.allocate(layout).expect("memory");
        // SAFETY: the block is as long.
        unsafe { block.write_bytes(size as u8, size) };
        Self(block, size)
    }

    pub(super) fn free(self, heap: &Handle) {
        // SAFETY: the block is the caller's.
        let content = unsafe { core::slice::from_raw_parts(self.0.as_ptr(), self.1) };
        assert!(content.iter().all(|&byte| byte == self.1 as u8), "content");
        // SAFETY: as above, and nothing uses it any more.
        unsafe { heap.free(self.0.as_ptr()) }.expect("live");
    }
}

/// Allocates, hands each other block over, and frees the rest and what is handed over.
fn work(heap: &Handle, seed: usize, to: &Sender<Block>, from: &Receiver<Block>) {
    let mut mine = Vec::new();
    for round in 0..ROUNDS {
        let size = 1 + (round * 37 + seed * 101) % 300;
        let block = Block::new(heap, size);
        if round % 2 == 0 {
            let _ = to.send(block);
        } else {
            mine.push(block)
        }
        if round % 3 == 0 && !mine.is_empty() {
            mine.swap_remove(round % mine.len()).free(heap);
        }
        from.try_iter().for_each(|block| block.free(heap));
    }
    mine.into_iter().for_each(|block| block.free(heap));
}

#[test]
fn threads_hand_blocks_over_while_another_one_looks() {
    let heap = shared();
    let ((to_second, second), (to_first, first)) = (channel(), channel());
    std::thread::scope(|scope| {
        let left = [(1, to_second, first), (2, to_first, second)].map(|(seed, to, from)| {
            scope.spawn(move || {
                let mine = heap.thread();
                work(&mine, seed, &to, &from);
                drop(to);
                from.iter().for_each(|block| block.free(&mine));
            })
        });
        for _ in 0..if cfg!(miri) { 2 } else { 50 } {
            assert_eq!(heap.check(), Ok(()));
            std::thread::yield_now();
        }
        left.into_iter().for_each(|thread| thread.join().expect("no panic"));
    });
    assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 0));
}

/// A free reads the owner before it knows that there is a slab. If it found its own tier's number where another thread cuts a
/// slab meanwhile, it would write to that one.
#[test]
fn a_slab_that_was_retired_names_no_owner() {
    let heap = shared();
    let owner = heap.thread();
    let blocks: Vec<_> = (0..60).map(|_| Block::new(&owner, 2000)).collect();
    let last = Block::new(&owner, 100 * KIB);
    let span_of = |block: &Block| heap.lookup().find_below_break(block.0.addr().get()).expect("a span");
    let spans: Vec<_> = blocks.iter().map(span_of).collect();
    assert!(spans.iter().all(|span| span.as_slab().is_some_and(|slab| slab.owner_number() != 0)));
    blocks.into_iter().for_each(|block| block.free(&owner));
    let retired: Vec<_> = spans.iter().filter(|span| span.as_slab().is_none()).collect();
    assert!(!retired.is_empty(), "not all slabs are kept");
    assert!(retired.iter().all(|span| span.as_slab_by_reciprocal().owner_word() == 0));
    last.free(&owner);
}

/// Of two threads that free the same block one is told, whether a third one owns it or one of the two.
#[test]
fn of_two_frees_of_a_block_one_is_told() {
    let heap = shared();
    let owner = heap.thread();
    for round in 0..ROUNDS / 4 {
        let block = Block::new(&owner, 16 + round % 200);
        let address = block.0.as_ptr().expose_provenance();
        let free = move |heap: &Handle| {
            // SAFETY: nothing uses the block any more; the heap finds out that one of the two is wrong.
            unsafe { heap.free(core::ptr::with_exposed_provenance_mut(address)) }
        };
        let results = std::thread::scope(|scope| {
            let threads = [(); 2].map(|()| scope.spawn(move || free(&heap.thread())));
            threads.map(|thread| thread.join().expect("no panic"))
        });
        let told: Vec<_> = results.iter().filter_map(|result| result.err()).collect();
        assert_eq!(told.iter().map(|misuse| misuse.kind).collect::<Vec<_>>(), [MisuseKind::AlreadyFree]);
    }
    drop(owner);
    assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 0));
}

/// What a dropped handle leaves is used by the next one, and no tier is made for it.
#[test]
fn a_handle_takes_over_what_another_one_left() {
    let heap = shared();
    let mut before = None;
    for round in 0..10 {
        let handle = heap.thread();
        let block = Block::new(&handle, 100);
        let page = block.0.addr().get() >> 14;
        assert_eq!(*before.get_or_insert(page), page, "in round {round}");
        block.free(&handle);
    }
    assert_eq!(heap.lock.world().map(|world| world.tiers().count()), Some(1));
}

#[test]
fn a_dropped_heap_is_forgotten_by_forks() {
    for round in 0..if cfg!(miri) { 2 } else { 40 } {
        let mut arena = Box::new_uninit_slice(512 * KIB);
        let mut brk = Emulated::new(&mut arena);
        brk.allow_mappings(256 * KIB);
        let heap = Hmalloc::<Futex, _>::with_source(brk);
        let handle = heap.thread();
        let layout = Layout::new::<u64>();
        let block = handle.allocate(layout).expect("memory");
        // SAFETY: nothing uses the block any more.
        unsafe { handle.free(block.as_ptr()) }.expect("live");
        assert!(heap.lock.world().is_some(), "heap {round}: the seat of the heap before is free again");
    }
}

/// Another thread's frees are looked for only where slots are needed, but in all classes before memory is taken.
#[test]
#[cfg_attr(miri, ignore = "an interpreter takes minutes to read so many blocks")]
fn what_others_have_freed_in_one_class_makes_room_for_another() {
    let heap = shared();
    let (owner, other) = (heap.thread(), heap.thread());
    let blocks = |size: usize| -> Vec<_> { (0..128).map(|_| Block::new(&owner, size)).collect() };
    let first = blocks(2 * KIB);
    let last = first.iter().map(|block| block.0).max().expect("blocks");
    first.into_iter().for_each(|block| block.free(&other));
    let second = blocks(3 * KIB / 2);
    // A few empty slabs are kept for their class.
    assert!(second.iter().filter(|block| block.0 < last).count() > 64, "they lie where the first ones did");
    second.into_iter().for_each(|block| block.free(&other));
    drop((owner, other));
    assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 0));
}

/// An owner that has taken what another thread freed need not look for that at each free.
#[test]
fn an_owner_forgets_that_others_have_freed() {
    let heap = shared();
    let (owner, other) = (heap.thread(), heap.thread());
    let mut blocks: Vec<_> = (0..20).map(|_| Block::new(&owner, 64)).collect();
    let address = blocks[0].0.addr().get();
    let is_noted = || {
        let slab = heap.lookup().find_below_break(address).and_then(|span| span.as_slab()).expect("a slab");
        slab.is_freed_by_others()
    };
    blocks.swap_remove(1).free(&other);
    assert!(is_noted());
    (0..400).for_each(|_| Block::new(&owner, 64).free(&owner));
    assert!(!is_noted());
    blocks.pop().expect("a block").free(&other);
    assert!(is_noted(), "it is noted again");
    blocks.into_iter().for_each(|block| block.free(&owner));
    drop((owner, other));
    assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 0));
}
