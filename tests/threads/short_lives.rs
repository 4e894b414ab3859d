//! Threads that come and go: what they leave is freed by others, and nothing stays for their sake.

use crate::HEAP;
use crate::blocks::{Block, some_layout};
use crate::crowd::{resident, scenario, times};
use hmalloc::Hmalloc;
use std::cell::RefCell;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Barrier, Mutex};
use support::calls::{KIB, MIB};
use support::random::Random;

static LIVES: Hmalloc = Hmalloc::new();

/// Threads that live at the same time, and how often so many come.
const AT_ONCE: usize = 200;
const WAVES: usize = 50;
/// Blocks that each of them allocates, and half as many that it leaves.
const BLOCKS: usize = 40;

/// Blocks of threads that are gone, for those that come.
static LEFT: Mutex<Vec<Block>> = Mutex::new(Vec::new());

fn some_blocks(heap: &'static Hmalloc, number: usize) -> Vec<Block> {
    let mut random = Random::new(number as u64);
    (0..BLOCKS).map(|block| Block::new(heap, some_layout(&mut random), number + block)).collect()
}

fn leave(blocks: impl IntoIterator<Item = Block>) {
    LEFT.lock().expect("no panic").extend(blocks);
}

/// Takes at most so many of the blocks that were left, the oldest first.
fn inherit(most: usize) -> Vec<Block> {
    let mut left = LEFT.lock().expect("no panic");
    let count = left.len().min(most);
    left.drain(..count).collect()
}

/// Frees some blocks of the dead, allocates, meets the others of its wave, frees half, and leaves half.
fn live(number: usize, all_are_here: &Barrier) {
    inherit(BLOCKS / 4).into_iter().for_each(Block::free);
    let mut blocks = some_blocks(&LIVES, number);
    all_are_here.wait();
    let left = blocks.split_off(BLOCKS / 2);
    blocks.into_iter().for_each(Block::free);
    leave(left);
    inherit(BLOCKS / 4).into_iter().for_each(Block::free);
}

/// `AT_ONCE` threads, until the last of them is gone.
fn wave(number: usize) {
    let all_are_here = Barrier::new(AT_ONCE);
    std::thread::scope(|scope| {
        let threads = (0..AT_ONCE).map(|thread| {
            let all_are_here = &all_are_here;
            scope.spawn(move || live(number * AT_ONCE + thread, all_are_here))
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    });
}

fn free_all_that_was_left() {
    inherit(usize::MAX).into_iter().for_each(Block::free);
    let stats = LIVES.stats();
    assert_eq!((LIVES.check(), stats.live_blocks, stats.live_bytes), (Ok(()), 0, 0), "{stats:?}");
}

#[test]
fn ten_thousand_threads_leave_next_to_nothing() {
    scenario(&ten_thousand_threads_leave_next_to_nothing, || {
        wave(0);
        free_all_that_was_left();
        LIVES.trim(0);
        HEAP.trim(0);
        let (before, live) = (resident(), HEAP.stats().live_blocks);
        for number in 1..times(WAVES) {
            wave(number);
            assert_eq!(LIVES.check(), Ok(()));
        }
        let peak = LIVES.stats().peak_heap_bytes;
        assert!(peak > 16 * MIB, "{:?}", LIVES.stats());
        free_all_that_was_left();
        // A heap keeps for a second what is needed again and again, as by these waves.
        LIVES.trim(0);
        HEAP.trim(0);
        let left = resident().saturating_sub(before);
        assert!(left <= 2 * MIB + peak / 64, "{} KiB stay, {:?}", left / KIB, LIVES.stats());
        assert_eq!((HEAP.check(), HEAP.stats().live_blocks), (Ok(()), live), "what starts threads has freed all");
    });
}

/// Threads that live and do nothing keep no memory: a trim by another one returns it.
#[test]
fn memory_of_idle_threads_is_returned() {
    static IDLE: Hmalloc = Hmalloc::new();
    scenario(&memory_of_idle_threads_is_returned, || {
        let step = Barrier::new(AT_ONCE + 1);
        std::thread::scope(|scope| {
            for number in 0..AT_ONCE {
                let step = &step;
                scope.spawn(move || {
                    let blocks: Vec<_> = (0..5).flat_map(|round| some_blocks(&IDLE, number * 5 + round)).collect();
                    step.wait();
                    step.wait();
                    blocks.into_iter().for_each(Block::free);
                    step.wait();
                    step.wait();
                });
            }
            step.wait();
            let (peak, live) = (resident(), IDLE.stats().live_bytes);
            // They free now.
            step.wait();
            step.wait();
            IDLE.trim(0);
            let returned = peak.saturating_sub(resident());
            let stats = IDLE.stats();
            assert_eq!((IDLE.check(), stats.live_blocks), (Ok(()), 0));
            assert!(live > 64 * MIB && returned >= live - live / 32, "{} of {} KiB", returned / KIB, live / KIB);
            step.wait();
        });
    });
}

thread_local! {
    /// Freed by the thread's end: blocks of its own, and some of other threads.
    static LAST_WILL: RefCell<LastWill> = const { RefCell::new(LastWill(Vec::new())) };
}

/// How often a thread has ended in each of the ways.
static ENDED: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

struct LastWill(Vec<Block>);

impl Drop for LastWill {
    fn drop(&mut self) {
        let more = some_blocks(&HEAP, self.0.len());
        self.0.drain(..).chain(more).for_each(Block::free);
        ENDED[0].fetch_add(1, Relaxed);
    }
}

static KEY: AtomicUsize = AtomicUsize::new(0);
/// Calls of a key's destructor for one thread: the last one comes after all other ends, whatever their order.
const CALLS: usize = 3;

/// Allocates and frees when thread-local variables are gone, and has itself called again.
extern "C" fn end_by_key(calls: *mut libc::c_void) {
    let blocks = some_blocks(&HEAP, calls.addr());
    leave(blocks);
    inherit(BLOCKS).into_iter().for_each(Block::free);
    if calls.addr() < CALLS {
        set_key(calls.addr() + 1);
    } else {
        ENDED[1].fetch_add(1, Relaxed);
    }
}

fn set_key(calls: usize) {
    let key = KEY.load(Relaxed) as libc::pthread_key_t;
    // SAFETY: the key was made, and its value is a number.
    assert_eq!(unsafe { libc::pthread_setspecific(key, std::ptr::without_provenance(calls)) }, 0);
}

#[test]
fn threads_allocate_and_free_while_they_end() {
    scenario(&threads_allocate_and_free_while_they_end, || {
        let mut key = 0;
        // SAFETY: the key is written to a place of ours, and the destructor is a function of this program.
        assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, Some(end_by_key)) }, 0);
        KEY.store(key as usize, Relaxed);
        let end = |number: usize| {
            set_key(1);
            let mut blocks = some_blocks(&HEAP, number);
            blocks.extend(inherit(BLOCKS / 2));
            LAST_WILL.with(|will| will.borrow_mut().0.append(&mut blocks));
        };
        let mut live = 0;
        for round in 0..times(100) {
            let threads: Vec<_> = (0..10).map(|thread| std::thread::spawn(move || end(round + thread))).collect();
            threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
            inherit(usize::MAX).into_iter().for_each(Block::free);
            assert_eq!(HEAP.check(), Ok(()));
            // Not earlier: the test's harness allocates a few blocks when it begins to wait, on a busy machine late.
            live = if round == times(100) / 2 { HEAP.stats().live_blocks } else { live };
        }
        assert_eq!(HEAP.stats().live_blocks, live, "every thread has freed all");
        ENDED.iter().for_each(|ended| assert_eq!(ended.load(Relaxed), 10 * times(100)));
    });
}
