//! The production heap under four threads that free each other's blocks.

use crate::clone;
use crate::steps::{Failure, Random, ensure, wait_until};
use core::alloc::{GlobalAlloc, Layout};
use core::fmt::Write;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use hmalloc::Hmalloc;
use hmalloc_runtime::Output;

const THREADS: usize = 4;
const OPERATIONS: usize = 4000;
const SLOTS: usize = 64;
const STACK: usize = 64 << 10;

static HEAP: Hmalloc = Hmalloc::new();
/// Addresses of payloads on their way from one thread to another, or 0.
static SLOT: [AtomicUsize; SLOTS] = [const { AtomicUsize::new(0) }; SLOTS];
static DONE: AtomicUsize = AtomicUsize::new(0);
/// How many blocks had a wrong content, and how many requests failed.
pub(crate) static WRONG: AtomicUsize = AtomicUsize::new(0);

#[repr(C, align(16))]
pub(crate) struct Stack(pub(crate) MaybeUninit<[u8; STACK]>);

static mut STACKS: [Stack; THREADS] = [const { Stack(MaybeUninit::uninit()) }; THREADS];

/// A block begins with its size. Every other byte is the lowest byte of the size.
pub(crate) const LEAST: usize = size_of::<usize>();

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, align_of::<usize>()).unwrap_or(Layout::new::<usize>())
}

pub(crate) fn make(heap: &Hmalloc, size: usize) -> *mut u8 {
    // SAFETY: the size is not zero.
    let payload = unsafe { heap.alloc(layout(size)) };
    if payload.is_null() {
        WRONG.fetch_add(1, Ordering::Relaxed);
        return payload;
    }
    fill(payload, size);
    payload
}

fn fill(payload: *mut u8, size: usize) {
    // SAFETY: the callers own the block, which has `size` bytes, `LEAST` at least, and is aligned for a word.
    unsafe {
        payload.write_bytes(size as u8, size);
        payload.cast::<usize>().write(size);
    }
}

/// Counts the first bytes of a block if they are not what [`fill`] has written there for `size` bytes.
fn verify(payload: *mut u8, size: usize, bytes: usize) {
    // SAFETY: the callers own the block, which has so many bytes, all written.
    let content = unsafe { core::slice::from_raw_parts(payload.add(LEAST), bytes - LEAST) };
    if content.iter().any(|&byte| byte != size as u8) {
        WRONG.fetch_add(1, Ordering::Relaxed);
    }
}

/// Frees a block that [`make`] has made and the caller owns.
pub(crate) fn verify_and_free(heap: &Hmalloc, payload: *mut u8) {
    // SAFETY: such a block begins with its size.
    let size = unsafe { payload.cast::<usize>().read() };
    verify(payload, size, size);
    // SAFETY: this is its layout, and it is used no more.
    unsafe { heap.dealloc(payload, layout(size)) };
}

/// Resizes such a block, and returns where it is now.
pub(crate) fn verify_and_resize(heap: &Hmalloc, payload: *mut u8, new: usize) -> *mut u8 {
    // SAFETY: such a block begins with its size.
    let size = unsafe { payload.cast::<usize>().read() };
    verify(payload, size, size);
    // SAFETY: this is its layout, and it is used by its new address only.
    let moved = unsafe { heap.realloc(payload, layout(size), new) };
    if moved.is_null() {
        WRONG.fetch_add(1, Ordering::Relaxed);
        return payload;
    }
    verify(moved, size, size.min(new));
    fill(moved, new);
    moved
}

extern "C" fn hammer(number: usize) -> ! {
    let mut random = Random(0x9e37_79b9 ^ number as u32);
    for _ in 0..OPERATIONS {
        let limit = if random.below(16) == 0 { 40_000 } else { 600 };
        let size = LEAST + random.below(limit);
        let payload = make(&HEAP, size);
        let old = SLOT[random.below(SLOTS)].swap(payload.expose_provenance(), Ordering::AcqRel);
        if old != 0 {
            verify_and_free(&HEAP, ptr::with_exposed_provenance_mut(old));
        }
    }
    DONE.fetch_add(1, Ordering::Release);
    clone::exit()
}

pub(crate) fn run(output: &mut Output) -> Result<(), Failure> {
    for number in 0..THREADS {
        let stack = (&raw mut STACKS).cast::<Stack>().wrapping_add(number).cast::<u8>();
        let place = clone::Place { top: stack.wrapping_add(STACK), pointer: 0 };
        // SAFETY: each thread gets a stack of its own, which lives as long as the process.
        let started = unsafe { clone::start(place, hammer, number) };
        ensure(started, "a thread was not started", number)?;
    }
    wait_until(|| DONE.load(Ordering::Acquire) == THREADS);
    for slot in &SLOT {
        let payload = slot.swap(0, Ordering::Acquire);
        if payload != 0 {
            verify_and_free(&HEAP, ptr::with_exposed_provenance_mut(payload));
        }
    }
    ensure(WRONG.load(Ordering::Relaxed) == 0, "blocks were damaged or refused", WRONG.load(Ordering::Relaxed))?;
    ensure(HEAP.check().is_ok(), "the heap is corrupt", 0)?;
    ensure(HEAP.stats().live_blocks == 0, "blocks are left over", HEAP.stats().live_blocks)?;
    let _ = writeln!(output, "{THREADS} threads, {} blocks each freed by any of them", OPERATIONS * THREADS);
    Ok(())
}
