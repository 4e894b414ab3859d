//! The production heap under four threads that free each other's blocks.

use crate::clone;
use crate::steps::{Failure, Random, ensure};
use core::alloc::{GlobalAlloc, Layout};
use core::fmt::Write;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use hmalloc::Hmalloc;
use hmalloc_runtime::Output;
use syscalls::{Sysno, syscall};

const THREADS: usize = 4;
const OPERATIONS: usize = 4000;
const SLOTS: usize = 64;
const STACK: usize = 64 << 10;

static HEAP: Hmalloc = Hmalloc::new();
/// Addresses of payloads on their way from one thread to another, or 0.
static SLOT: [AtomicUsize; SLOTS] = [const { AtomicUsize::new(0) }; SLOTS];
static DONE: AtomicUsize = AtomicUsize::new(0);
/// How many blocks had a wrong content, and how many requests failed.
static WRONG: AtomicUsize = AtomicUsize::new(0);

#[repr(C, align(16))]
struct Stack(MaybeUninit<[u8; STACK]>);

static mut STACKS: [Stack; THREADS] = [const { Stack(MaybeUninit::uninit()) }; THREADS];

/// A block begins with its size. Every other byte is the lowest byte of the size.
const LEAST: usize = size_of::<usize>();

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, align_of::<usize>()).unwrap_or(Layout::new::<usize>())
}

fn make(size: usize) -> *mut u8 {
    // SAFETY: the size is not zero.
    let payload = unsafe { HEAP.alloc(layout(size)) };
    if payload.is_null() {
        WRONG.fetch_add(1, Ordering::Relaxed);
        return payload;
    }
    // SAFETY: the block has `size` bytes, `LEAST` at least, and is aligned for a word.
    unsafe {
        payload.write_bytes(size as u8, size);
        payload.cast::<usize>().write(size);
    }
    payload
}

fn verify_and_free(payload: *mut u8) {
    // SAFETY: the thread that swapped the payload out of its slot owns it, and `make` filled it.
    let (size, content) = unsafe {
        let size = payload.cast::<usize>().read();
        (size, core::slice::from_raw_parts(payload.add(LEAST), size - LEAST))
    };
    if content.iter().any(|&byte| byte != size as u8) {
        WRONG.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: `make` requested this layout.
    unsafe { HEAP.dealloc(payload, layout(size)) };
}

extern "C" fn hammer(number: usize) -> ! {
    let mut random = Random(0x9e37_79b9 ^ number as u32);
    for _ in 0..OPERATIONS {
        let limit = if random.below(16) == 0 { 40_000 } else { 600 };
        let size = LEAST + random.below(limit);
        let payload = make(size);
        let old = SLOT[random.below(SLOTS)].swap(payload.expose_provenance(), Ordering::AcqRel);
        if old != 0 {
            verify_and_free(ptr::with_exposed_provenance_mut(old));
        }
    }
    DONE.fetch_add(1, Ordering::Release);
    loop {
        // SAFETY: ends this thread only. Its stack is never reused.
        let _ = unsafe { syscall!(Sysno::exit, 0) };
    }
}

pub(crate) fn run(output: &mut Output) -> Result<(), Failure> {
    for number in 0..THREADS {
        let stack = (&raw mut STACKS).cast::<Stack>().wrapping_add(number).cast::<u8>();
        // SAFETY: each thread gets a stack of its own, which lives as long as the process.
        let started = unsafe { clone::start(stack.wrapping_add(STACK), hammer, number) };
        ensure(started, "a thread was not started", number)?;
    }
    while DONE.load(Ordering::Acquire) < THREADS {
        // SAFETY: it only lets other threads run.
        let _ = unsafe { syscall!(Sysno::sched_yield) };
    }
    for slot in &SLOT {
        let payload = slot.swap(0, Ordering::Acquire);
        if payload != 0 {
            verify_and_free(ptr::with_exposed_provenance_mut(payload));
        }
    }
    ensure(WRONG.load(Ordering::Relaxed) == 0, "blocks were damaged or refused", WRONG.load(Ordering::Relaxed))?;
    ensure(HEAP.check().is_ok(), "the heap is corrupt", 0)?;
    ensure(HEAP.stats().live_blocks == 0, "blocks are left over", HEAP.stats().live_blocks)?;
    let _ = writeln!(output, "{THREADS} threads, {} blocks each freed by any of them", OPERATIONS * THREADS);
    Ok(())
}
