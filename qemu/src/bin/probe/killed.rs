//! Tasks that share memory with this process and are killed, one after the other, at any moment of their work with the
//! heap. The threads that are left go on, and free what the dead have left.
//!
//! The tasks are no threads of this process, or a kill would end it, too. They take and free small blocks of which they
//! have some already, so that they need no more memory. Each has a tier of its own, and dies in it, without the lock.

use crate::clone::{self, Place};
use crate::director;
use crate::pointer::Block;
use crate::steps::{Failure, Random, ensure, wait_until};
use crate::threads::{LEAST, Stack, WRONG, make, verify_and_free};
use crate::tiers::Firsts;
use core::fmt::Write;
use core::hint::black_box;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicUsize};
use hmalloc::{Hmalloc, Policy};
use hmalloc_runtime::Output;
use syscalls::{Sysno, syscall};

/// Threads that are not killed.
const SURVIVORS: usize = 2;
/// Stacks and thread pointers of tasks, which are used again when their task is dead.
const PLACES: usize = 8;
/// Blocks that a task has, and all of the same size.
const BLOCKS: usize = 16;
const SIZE: usize = 48;
/// Operations that every survivor has to come to after each kill.
const PROGRESS: usize = 50;
/// Seconds after which a process that hangs dies, for each so many kills.
const PATIENCE: usize = 240;
const KILLS: usize = 1000;
const SIGKILL: usize = 9;
const PR_SET_PDEATHSIG: usize = 1;

// SAFETY: the survivors, the tasks and the director use it, each with a pointer to a `Block` that no other has while it lives.
static HEAP: Hmalloc = unsafe { Hmalloc::with_thread_pointers(Policy::Abort) };
static FIRSTS: Firsts<{ SURVIVORS + 1 }> = Firsts::new();
static POINTERS: [Block; PLACES + SURVIVORS] = [const { Block::new() }; PLACES + SURVIVORS];
static mut STACKS: [Stack; PLACES + SURVIVORS] = [const { Stack(MaybeUninit::uninit()) }; PLACES + SURVIVORS];

/// Whether the task that was started last has begun its work.
static BEGUN: AtomicBool = AtomicBool::new(false);
static OVER: AtomicBool = AtomicBool::new(false);
static OPERATIONS: [AtomicUsize; SURVIVORS] = [const { AtomicUsize::new(0) }; SURVIVORS];
static ENDED: AtomicUsize = AtomicUsize::new(0);
/// A block that a task has given away before its death, or 0.
static LEFT: AtomicUsize = AtomicUsize::new(0);

fn place(number: usize) -> Place {
    let stack = (&raw mut STACKS).cast::<Stack>().wrapping_add(number).cast::<u8>();
    // SAFETY: the last task that had this block is dead.
    let pointer = unsafe { POINTERS[number].prepare() };
    Place { top: stack.wrapping_add(size_of::<Stack>()), pointer }
}

/// A task's life, which has no end of its own.
extern "C" fn run_task(number: usize) -> ! {
    if !POINTERS[number % PLACES].enter() {
        WRONG.fetch_add(1, Relaxed);
    }
    // SAFETY: asks for a signal if this program's process ends before.
    let _ = unsafe { syscall!(Sysno::prctl, PR_SET_PDEATHSIG, SIGKILL) };
    let mut random = Random(0x9e37_79b9 ^ number as u32);
    let mut blocks = [(); BLOCKS].map(|()| make(&HEAP, SIZE));
    LEFT.store(make(&HEAP, SIZE).expose_provenance(), Release);
    BEGUN.store(true, Release);
    loop {
        let block = &mut blocks[random.below(BLOCKS)];
        verify_and_free(&HEAP, *block);
        *block = make(&HEAP, SIZE);
    }
}

extern "C" fn run_survivor(number: usize) -> ! {
    if !POINTERS[PLACES + number].enter() {
        WRONG.fetch_add(1, Relaxed);
    }
    FIRSTS.make(&HEAP, number);
    let mut random = Random(0x1234_5678 ^ number as u32);
    let mut blocks = [ptr::null_mut::<u8>(); BLOCKS];
    while !OVER.load(Relaxed) {
        let block = &mut blocks[random.below(BLOCKS)];
        if !block.is_null() {
            verify_and_free(&HEAP, *block);
        }
        *block = make(&HEAP, LEAST + random.below(20_000));
        OPERATIONS[number].fetch_add(1, Relaxed);
    }
    blocks.into_iter().filter(|block| !block.is_null()).for_each(|block| verify_and_free(&HEAP, block));
    ENDED.fetch_add(1, Release);
    clone::exit()
}

/// Starts a task, lets it work for a moment, and kills it.
fn kill_one(number: usize, random: &mut Random) -> Result<(), Failure> {
    BEGUN.store(false, Relaxed);
    // SAFETY: the task that had this place before is dead.
    let task = unsafe { clone::start_task(place(number % PLACES), run_task, number) };
    let task = task.ok_or(Failure::new("a task was not started", number))?;
    wait_until(|| BEGUN.load(Acquire));
    (0..random.below(3000)).for_each(|step| _ = black_box(step));
    // SAFETY: kills a task of this program and waits for its end; no memory is passed.
    let killed = unsafe {
        let killed = syscall!(Sysno::kill, task, SIGKILL);
        killed.and_then(|_| syscall!(Sysno::wait4, task, 0, 0, 0))
    };
    ensure(killed == Ok(task), "a task was not killed", killed.unwrap_or(0))
}

/// The others go on, and so does this thread: it frees a block of the dead task.
fn go_on(number: usize) -> Result<(), Failure> {
    verify_and_free(&HEAP, ptr::with_exposed_provenance_mut(LEFT.swap(0, AcqRel)));
    verify_and_free(&HEAP, make(&HEAP, SIZE));
    for operations in &OPERATIONS {
        let before = operations.load(Relaxed);
        wait_until(|| operations.load(Relaxed) - before >= PROGRESS);
    }
    if number.is_multiple_of(64) {
        ensure(HEAP.check().is_ok(), "the heap is corrupt after a kill", number)?;
    }
    Ok(())
}

/// The director's part. Returns how many blocks are left.
fn kill_all(kills: usize) -> Result<usize, Failure> {
    // The director is the first to use the heap, and lives to the end.
    verify_and_free(&HEAP, make(&HEAP, SIZE));
    for number in 0..SURVIVORS {
        // SAFETY: each has a stack and a pointer of its own, which live as long as the process.
        let started = unsafe { clone::start(place(PLACES + number), run_survivor, number) };
        ensure(started, "a thread was not started", number)?;
    }
    FIRSTS.make(&HEAP, SURVIVORS);
    FIRSTS.judge(&HEAP)?;
    let mut random = Random(0x2545_f491);
    for number in 0..kills {
        kill_one(number, &mut random)?;
        go_on(number)?;
    }
    OVER.store(true, Relaxed);
    wait_until(|| ENDED.load(Acquire) == SURVIVORS);
    ensure(WRONG.load(Relaxed) == 0, "blocks were damaged or refused", WRONG.load(Relaxed))?;
    ensure(HEAP.check().is_ok(), "the heap is corrupt", 0)?;
    let live = HEAP.stats().live_blocks;
    ensure(live <= kills * BLOCKS && live >= kills * (BLOCKS - 1), "not what the dead have left", live)?;
    Ok(live)
}

/// Kills so many tasks.
pub(crate) fn run(kills: usize, output: &mut Output) -> Result<(), Failure> {
    let timer = [0, 0, PATIENCE * (1 + kills / KILLS), 0];
    // SAFETY: the kernel reads two times of two words each. By default the signal ends the process.
    let _ = unsafe { syscall!(Sysno::setitimer, 0, timer.as_ptr(), 0) };
    let live = director::direct(kill_all, kills)?;
    let _ = writeln!(output, "{kills} tasks killed, {live} blocks of theirs are left");
    Ok(())
}
