//! Threads with thread pointers and tiers of their own, as a C library's have: they allocate, resize, hand over, and free each
//! other's blocks one by one and in batches, while the director checks and counts.

use crate::clone::{self, Place};
use crate::director;
use crate::pointer::Block;
use crate::steps::{Failure, Random, ensure};
use crate::threads::{LEAST, Stack, WRONG, make, verify_and_free, verify_and_resize};
use crate::tiers::Firsts;
use core::fmt::Write;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use hmalloc::{Hmalloc, Policy};
use hmalloc_runtime::Output;
use syscalls::{Sysno, syscall};

const THREADS: usize = 4;
const OPERATIONS: usize = 3000;
const PLACES: usize = 64;
const BATCH: usize = 48;

// SAFETY: the threads and the director use it, each with a pointer to a `Block` of its own, and nothing else.
static HEAP: Hmalloc = unsafe { Hmalloc::with_thread_pointers(Policy::Abort) };
static FIRSTS: Firsts<{ THREADS + 1 }> = Firsts::new();
static BLOCKS: [Block; THREADS] = [const { Block::new() }; THREADS];
/// Addresses of payloads on their way from one thread to another, or 0.
static PLACE: [AtomicUsize; PLACES] = [const { AtomicUsize::new(0) }; PLACES];
static DONE: AtomicUsize = AtomicUsize::new(0);

static mut STACKS: [Stack; THREADS] = [const { Stack(MaybeUninit::uninit()) }; THREADS];

/// Mostly small, some of several pages.
fn some_size(random: &mut Random) -> usize {
    let limit = match random.below(64) {
        0 => 300_000,
        1..=4 => 40_000,
        _ => 600,
    };
    LEAST + random.below(limit)
}

/// Blocks of others that a thread frees when it has many.
struct Batch {
    payloads: [usize; BATCH],
    length: usize,
}

impl Batch {
    fn push(&mut self, payload: usize) {
        self.payloads[self.length] = payload;
        self.length += 1;
        if self.length == BATCH {
            self.free();
        }
    }

    fn free(&mut self) {
        for payload in &self.payloads[..self.length] {
            verify_and_free(&HEAP, ptr::with_exposed_provenance_mut(*payload));
        }
        self.length = 0;
    }
}

extern "C" fn run_thread(number: usize) -> ! {
    if !BLOCKS[number].enter() {
        WRONG.fetch_add(1, Ordering::Relaxed);
    }
    FIRSTS.make(&HEAP, number);
    let mut random = Random(0x9e37_79b9 ^ number as u32);
    let mut batch = Batch { payloads: [0; BATCH], length: 0 };
    for _ in 0..OPERATIONS {
        let payload = make(&HEAP, some_size(&mut random));
        let old = PLACE[random.below(PLACES)].swap(payload.expose_provenance(), Ordering::AcqRel);
        match random.below(4) {
            _ if old == 0 => {}
            0 => {
                let size = some_size(&mut random);
                let resized = verify_and_resize(&HEAP, ptr::with_exposed_provenance_mut(old), size);
                batch.push(resized.expose_provenance());
            }
            1 => batch.push(old),
            _ => verify_and_free(&HEAP, ptr::with_exposed_provenance_mut(old)),
        }
    }
    batch.free();
    DONE.fetch_add(1, Ordering::Release);
    clone::exit()
}

fn start(number: usize) -> Result<(), Failure> {
    let stack = (&raw mut STACKS).cast::<Stack>().wrapping_add(number).cast::<u8>();
    // SAFETY: each thread has a block of its own, before it is started.
    let pointer = unsafe { BLOCKS[number].prepare() };
    let place = Place { top: stack.wrapping_add(size_of::<Stack>()), pointer };
    // SAFETY: each thread gets a stack of its own, which lives as long as the process.
    let started = unsafe { clone::start(place, run_thread, number) };
    ensure(started, "a thread was not started", number)
}

/// The heap is sound, and its numbers agree, while others are in it.
fn look() -> Result<(), Failure> {
    ensure(HEAP.check().is_ok(), "the heap is corrupt", 0)?;
    let stats = HEAP.stats();
    let sum = stats.live_bytes + stats.free_bytes + stats.metadata_bytes;
    ensure(stats.heap_bytes == sum, "bytes are missing", stats.heap_bytes.abs_diff(sum))?;
    HEAP.trim(1 << 20);
    Ok(())
}

/// The director's part. Returns how often it has looked.
fn run_all(_: usize) -> Result<usize, Failure> {
    (0..THREADS).try_for_each(start)?;
    FIRSTS.make(&HEAP, THREADS);
    FIRSTS.judge(&HEAP)?;
    let mut looks = 0;
    while DONE.load(Ordering::Acquire) < THREADS {
        look()?;
        looks += 1;
        // SAFETY: it only lets other threads run.
        let _ = unsafe { syscall!(Sysno::sched_yield) };
    }
    for payload in PLACE.iter().map(|place| place.swap(0, Ordering::Acquire)).filter(|payload| *payload != 0) {
        verify_and_free(&HEAP, ptr::with_exposed_provenance_mut(payload));
    }
    look()?;
    let wrong = WRONG.load(Ordering::Relaxed);
    ensure(wrong == 0, "blocks were damaged or refused, or a thread pointer was another one", wrong)?;
    ensure(HEAP.stats().live_blocks == 0, "blocks are left over", HEAP.stats().live_blocks)?;
    ensure(looks > 0, "nobody has looked", 0)?;
    Ok(looks)
}

pub(crate) fn run(output: &mut Output) -> Result<(), Failure> {
    director::direct(run_all, 0)?;
    let _ = writeln!(output, "{THREADS} threads with pointers of their own, {} blocks", OPERATIONS * THREADS);
    Ok(())
}
