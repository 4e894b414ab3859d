//! Forks while other threads allocate and free: each child has a sound heap, and frees blocks of threads that it does not
//! have.
//!
//! `HMALLOC_TEST_FORKS` is how often each scenario forks.

use crate::HEAP;
use crate::blocks::{Block, free, plain, some_layout, some_size};
use crate::crowd::{scenario, volume};
use hmalloc::Hmalloc;
use std::sync::Mutex;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use support::random::Random;

static FORKED: Hmalloc = Hmalloc::new();

const THREADS: usize = 4;
/// A child that hangs dies after so many seconds.
const PATIENCE: u32 = 60;

/// Addresses of blocks that whoever comes next frees. What is in here at the instant of a fork is live in the child; its
/// content may not be the child's yet, for the parent's threads write while the kernel copies page by page.
static PLACES: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];

fn exchange(place: usize, new: usize) -> *mut u8 {
    std::ptr::with_exposed_provenance_mut(PLACES[place].swap(new, AcqRel))
}

/// Frees what is in all the places. Returns how many blocks that were.
fn clear(heap: &Hmalloc) -> usize {
    let blocks = (0..PLACES.len()).map(|place| exchange(place, 0)).filter(|block| !block.is_null());
    blocks.map(|block| free(heap, block)).count()
}

/// Blocks that these threads have filled and given away long before a fork: in a child, too, they are whole.
static GIVEN: Mutex<Vec<Block>> = Mutex::new(Vec::new());

/// Allocates, resizes, frees, and exchanges blocks, until it is over.
fn work(heap: &'static Hmalloc, number: usize, over: &AtomicBool) {
    let mut random = Random::new(number as u64 + 1);
    let mut live: Vec<Block> = Vec::new();
    while !over.load(Relaxed) {
        match random.below(4) {
            0 if live.len() < 100 => live.push(Block::new(heap, some_layout(&mut random), number)),
            1 => {
                let resized = live.pop().map(|block| block.resize(some_size(&mut random)));
                live.extend(resized);
            }
            2 => {
                let new = plain(heap, some_size(&mut random)).as_ptr().expose_provenance();
                let old = exchange(random.below(PLACES.len()), new);
                if !old.is_null() {
                    free(heap, old);
                }
            }
            _ if live.is_empty() => {}
            _ => live.swap_remove(random.below(live.len())).free(),
        }
        give(heap, &mut random);
    }
    live.into_iter().for_each(Block::free);
}

/// Gives a block away if there are too few. The lock is not waited for: in a child nobody would leave it.
fn give(heap: &'static Hmalloc, random: &mut Random) {
    if let Ok(mut given) = GIVEN.try_lock()
        && given.len() < 40
    {
        let block = Block::new(heap, some_layout(random), given.len());
        given.push(block);
    }
}

/// What every child does with `given`: the heap is sound, all that it frees comes off what is live, and it serves.
fn live_on(heap: &'static Hmalloc, number: usize, given: Vec<Block>) {
    assert_eq!(heap.check(), Ok(()));
    let (live, count) = (heap.stats().live_blocks, given.len());
    given.into_iter().for_each(Block::free);
    let freed = count + clear(heap);
    assert_live(heap, live - freed);
    let mut random = Random::new(number as u64);
    let blocks: Vec<_> = (0..30).map(|seed| Block::new(heap, some_layout(&mut random), seed)).collect();
    assert_live(heap, live - freed + blocks.len());
    blocks.into_iter().for_each(|block| block.resize(some_size(&mut random)).free());
    heap.trim(0);
    assert_live(heap, live - freed);
    assert_eq!(HEAP.check(), Ok(()));
}

/// The heap is sound, and has so many blocks, unless it is the one that this test's vectors are on as well.
fn assert_live(heap: &'static Hmalloc, blocks: usize) {
    assert_eq!(heap.check(), Ok(()));
    assert!(std::ptr::eq(heap, &HEAP) || heap.stats().live_blocks == blocks, "{:?}, not {blocks}", heap.stats());
}

/// A child's threads use the heap as well, beside what the parent's have left.
fn live_on_with_threads(heap: &'static Hmalloc) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|number| (number, &over)).collect();
        for (number, over) in threads {
            scope.spawn(move || work(heap, number, over));
        }
        (0..20).for_each(|_| _ = heap.check().map_err(|corrupt| panic!("{corrupt:?}")));
        over.store(true, Relaxed);
    });
    clear(heap);
    assert_eq!((heap.check(), HEAP.check()), (Ok(()), Ok(())));
}

/// Forks, and fails unless the child comes to its end.
pub(crate) fn fork(act: impl FnOnce()) {
    // SAFETY: what the child may do after a fork is what is tested here. A panic ends it with another status.
    unsafe {
        let process = libc::fork();
        assert!(process >= 0, "a process");
        if process == 0 {
            libc::alarm(PATIENCE);
            act();
            libc::_exit(0);
        }
        let mut status = -1;
        assert_eq!(libc::waitpid(process, &raw mut status, 0), process);
        assert_eq!(status, 0, "the child's status");
    }
}

/// Forks `times` times beside threads that are always in the heap.
fn fork_beside_work(heap: &'static Hmalloc, times: usize) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|number| (number, &over)).collect();
        let threads = threads.into_iter().map(|(number, over)| scope.spawn(move || work(heap, number, over)));
        let threads: Vec<_> = threads.collect();
        for number in 0..times {
            // Of the blocks that were given, the child frees some, and the parent frees the same ones.
            let mut given = GIVEN.lock().expect("no panic");
            let count = given.len() / 2;
            let some: Vec<_> = given.drain(..count).collect();
            drop(given);
            fork_once(heap, number, some);
        }
        over.store(true, Relaxed);
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    });
    std::mem::take(&mut *GIVEN.lock().expect("no panic")).into_iter().for_each(Block::free);
    clear(heap);
    assert_eq!(heap.check(), Ok(()));
}

fn fork_once(heap: &'static Hmalloc, number: usize, given: Vec<Block>) {
    let given = std::cell::Cell::new(given);
    fork(|| {
        live_on(heap, number, given.take());
        if number.is_multiple_of(32) {
            live_on_with_threads(heap);
        }
    });
    given.take().into_iter().for_each(Block::free);
}

#[test]
fn children_of_a_storm_on_a_heap_of_its_own() {
    scenario(&children_of_a_storm_on_a_heap_of_its_own, || {
        fork_beside_work(&FORKED, volume("HMALLOC_TEST_FORKS", 600));
        assert_eq!(FORKED.stats().live_blocks, 0);
    });
}

#[test]
fn children_of_a_storm_on_the_programs_heap() {
    scenario(&children_of_a_storm_on_the_programs_heap, || {
        fork_beside_work(&HEAP, volume("HMALLOC_TEST_FORKS", 600));
    });
}
