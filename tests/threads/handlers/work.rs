//! What threads and handlers do with the heap, and what they count.

use super::forks::{fork_here, is_child};
use super::signals::restart;
use crate::crowd::volume;
use hmalloc::Hmalloc;
use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::{null_mut, with_exposed_provenance_mut};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, SeqCst};
use support::random::Random;

static SIGNALS: Hmalloc = Hmalloc::new();

/// Addresses of blocks that whoever comes next frees or resizes, be it a handler or a thread.
static PLACES: [AtomicUsize; 32] = [const { AtomicUsize::new(0) }; 32];

/// Handlers that have run, and those of them that have interrupted a call to the heap.
pub(super) static HANDLED: AtomicUsize = AtomicUsize::new(0);
pub(super) static INSIDE: AtomicUsize = AtomicUsize::new(0);
/// Handlers that are wanted. Later ones do nothing: if they come faster than they end, threads get no further.
static WANTED: AtomicUsize = AtomicUsize::new(0);
/// What went wrong: blocks that were damaged, requests and frees that were refused. A handler does not panic.
pub(super) static WRONG: AtomicUsize = AtomicUsize::new(0);
/// The largest block of a handler, and of a thread.
static LARGEST: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

thread_local! {
    /// Whether the thread is in a call to the heap, or about to begin one, or has just ended it.
    pub(super) static IN_CALL: Cell<bool> = const { Cell::new(false) };
}

pub(super) fn wrong_unless(right: bool) {
    WRONG.fetch_add(usize::from(!right), Relaxed);
}

const LEAST: usize = size_of::<usize>();

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).expect("a small layout")
}

/// Writes a block's size at its start, and the size's lowest byte everywhere else.
fn fill(block: *mut u8, size: usize) {
    // SAFETY: the block is new or the caller's alone, and this long.
    unsafe {
        block.write_bytes(size as u8, size);
        block.cast::<usize>().write(size);
    }
}

/// A block of the heap, filled.
fn make(size: usize) -> *mut u8 {
    let block = SIGNALS.allocate(layout(size)).map_or(null_mut(), |block| block.as_ptr());
    wrong_unless(!block.is_null());
    if !block.is_null() {
        fill(block, size);
    }
    block
}

/// Looks at the first bytes of a block that was filled for `size` bytes.
fn verify(block: *mut u8, size: usize, bytes: usize) {
    // SAFETY: the caller has the block alone, and it has so many bytes.
    let content = unsafe { std::slice::from_raw_parts(block.add(LEAST), bytes - LEAST) };
    wrong_unless(content.iter().all(|&byte| byte == size as u8));
}

fn verify_and_free(block: *mut u8) {
    // SAFETY: a block begins with its size; it is the caller's alone, and used no more.
    unsafe {
        let size = block.cast::<usize>().read();
        verify(block, size, size);
        SIGNALS.free(block, |_| wrong_unless(false));
    }
}

fn verify_and_resize(block: *mut u8, new: usize) -> *mut u8 {
    // SAFETY: as above; its new address is the one that is used.
    let (size, moved) = unsafe { (block.cast::<usize>().read(), SIGNALS.resize(block, layout(new))) };
    let Ok(moved) = moved else {
        wrong_unless(false);
        return block;
    };
    verify(moved.as_ptr(), size, size.min(new));
    fill(moved.as_ptr(), new);
    moved.as_ptr()
}

/// Puts a block of its own in a place, and frees or resizes what is there.
fn exchange(place: usize, size: usize, resized: Option<usize>) {
    let old = PLACES[place % PLACES.len()].swap(make(size).expose_provenance(), AcqRel);
    if old != 0 && !is_child() {
        // In a child it may not be whole: the parent's threads were writing when it was copied.
        let old = with_exposed_provenance_mut(old);
        verify_and_free(resized.map_or(old, |new| verify_and_resize(old, new)));
    }
}

/// The `number`th size of a handler's (0) or of a thread's (1).
fn size(whose: usize, number: usize) -> usize {
    2 * LEAST + number.wrapping_mul(0x9E37_79B1) % LARGEST[whose].load(Relaxed)
}

/// Counts a handler, and says its number if it is wanted.
pub(super) fn begin_handler() -> Option<usize> {
    let count = HANDLED.fetch_add(1, Relaxed);
    INSIDE.fetch_add(usize::from(IN_CALL.get()), Relaxed);
    (count < WANTED.load(Relaxed)).then_some(count)
}

pub(super) extern "C" fn handle(signal: i32) {
    let Some(count) = begin_handler() else { return };
    for number in count * 3..count * 3 + 3 {
        exchange(number, size(0, number), number.is_multiple_of(4).then(|| size(0, number + 1)));
    }
    let own = [make(size(0, count)), make(size(0, count + 7))];
    own.into_iter().for_each(|block| verify_and_free(verify_and_resize(block, size(0, count + 5))));
    restart(signal);
}

/// The same, and forks each `n`th time. The child goes on with what was interrupted, and ends soon.
pub(super) fn handle_and_fork<const N: usize>(signal: i32) {
    handle(0);
    if HANDLED.load(Relaxed).is_multiple_of(N) && !is_child() {
        fork_here();
    }
    if !is_child() {
        restart(signal);
    }
}

/// What a child does between two calls: what its thread has is whole, and the heap is sound. What other threads have exchanged
/// is live, but the parent may have been writing it when it was copied.
fn end_child(blocks: &[*mut u8]) -> ! {
    assert_eq!((SIGNALS.check(), crate::HEAP.check()), (Ok(()), Ok(())));
    let (live, before) = (blocks.iter().filter(|block| !block.is_null()).count(), SIGNALS.stats().live_blocks);
    blocks.iter().filter(|block| !block.is_null()).for_each(|&block| verify_and_free(block));
    (0..100).for_each(|step| verify_and_free(make(size(1, step))));
    SIGNALS.trim(0);
    assert_eq!((SIGNALS.check(), SIGNALS.stats().live_blocks), (Ok(()), before - live));
    assert_eq!(WRONG.load(SeqCst), 0);
    // SAFETY: ends the child.
    unsafe { libc::_exit(0) }
}

/// What an interrupted thread does: blocks of its own come, grow and go, and some are exchanged.
pub(super) fn work(number: usize, over: impl Fn() -> bool) {
    let mut random = Random::new(number as u64 + 1);
    let mut blocks = [null_mut::<u8>(); 40];
    for step in 0.. {
        if over() {
            break;
        }
        let block = &mut blocks[random.below(40)];
        IN_CALL.set(true);
        match random.below(4) {
            _ if block.is_null() => *block = make(size(1, step)),
            0 => *block = verify_and_resize(*block, size(1, step)),
            1 => exchange(random.below(32), size(1, step), None),
            _ => verify_and_free(std::mem::replace(block, null_mut())),
        }
        IN_CALL.set(false);
        if is_child() {
            end_child(&blocks);
        }
        if step % 5000 == 0 {
            wrong_unless(SIGNALS.stats().live_blocks > 0);
        }
    }
    if is_child() {
        end_child(&blocks);
    }
    blocks.into_iter().filter(|block| !block.is_null()).for_each(verify_and_free);
}

/// Sets how large blocks are at most: a handler's, and a thread's.
pub(super) fn set_largest(handlers: usize, threads: usize) {
    LARGEST[0].store(handlers, Relaxed);
    LARGEST[1].store(threads, Relaxed);
}

/// Nothing has gone wrong, and nothing is left. Signals no longer come.
pub(super) fn assert_well(signals: usize) {
    for place in &PLACES {
        let block = with_exposed_provenance_mut::<u8>(place.swap(0, AcqRel));
        if !block.is_null() {
            verify_and_free(block);
        }
    }
    let (handled, inside) = (HANDLED.load(SeqCst), INSIDE.load(SeqCst));
    assert_eq!(WRONG.load(SeqCst), 0, "{handled} handlers, {inside} of them inside");
    assert!(handled >= signals && inside > 0, "{handled} handlers, {inside} of them inside");
    assert_eq!((SIGNALS.check(), SIGNALS.stats().live_blocks), (Ok(()), 0));
    println!("{handled} handlers, {inside} of them inside");
}

/// How many signals a scenario takes.
pub(super) fn wanted(usual: usize) -> usize {
    let wanted = volume("HMALLOC_TEST_SIGNALS", usual);
    WANTED.store(wanted, SeqCst);
    wanted
}
