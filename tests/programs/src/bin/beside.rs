//! This program's data in one thread, and in another one a neighbour that works at the program break.
//!
//!     beside malloc | trim | sbrk | raw ROUNDS
//!
//! `malloc`: the C library's, with blocks that lie at the break; `trim`: both heaps are trimmed all the time as well;
//! `sbrk`: the C library's break goes up and down; `raw`: the same by the system call, past the C library.

use company::{HEAP, KIB, Pile, Random, finish, number, word};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

static DONE: AtomicBool = AtomicBool::new(false);
/// How many rounds the neighbour made while the heap was busy.
static ROUNDS: AtomicUsize = AtomicUsize::new(0);

fn main() {
    let (mode, rounds) = (word(1), number(2));
    let trims = mode == "trim";
    let heap = thread::spawn(move || use_heap(rounds, trims));
    let mut random = Random::new(3);
    while !DONE.load(Relaxed) {
        match mode.as_str() {
            "malloc" | "trim" => use_malloc(&mut random, trims),
            "sbrk" => use_break(&mut random, sbrk),
            "raw" => use_break(&mut random, raw),
            other => panic!("no such neighbour: {other}"),
        }
        ROUNDS.fetch_add(1, Relaxed);
    }
    heap.join().expect("the heap's thread ends");
    finish();
}

fn use_heap(rounds: usize, trims: bool) {
    let mut pile = Pile::new(9);
    for round in 0.. {
        pile.churn(30, 400 * KIB);
        if trims {
            HEAP.trim(0);
        }
        // Goes on until both have had their turns.
        if round >= rounds && ROUNDS.load(Relaxed) >= rounds {
            break;
        }
    }
    pile.verify();
    DONE.store(true, Relaxed);
}

/// Blocks of the main thread's arena, which is at the break.
fn use_malloc(random: &mut Random, trims: bool) {
    let blocks: [(*mut u8, usize); 40] = std::array::from_fn(|_| {
        let size = 10_000 + random.below(100_000);
        // SAFETY: no preconditions.
        (unsafe { libc::malloc(size) }.cast(), size)
    });
    for (block, size) in blocks {
        assert!(!block.is_null());
        // SAFETY: the block is `size` bytes long.
        unsafe { block.write_bytes(5, size) };
    }
    for (block, size) in blocks {
        // SAFETY: the block was filled above, and is freed once.
        unsafe {
            assert!(
                std::slice::from_raw_parts(block, size).iter().all(|&byte| byte == 5),
                "the C library lost a block"
            );
            libc::free(block.cast());
        }
    }
    #[cfg(target_env = "gnu")]
    if trims {
        // SAFETY: no preconditions.
        unsafe { libc::malloc_trim(0) };
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = trims;
}

/// Raises the break in steps, and lowers it to where it was.
fn use_break(random: &mut Random, change: fn(isize) -> usize) {
    let steps: [usize; 8] = std::array::from_fn(|_| 1 + random.below(200_000));
    let starts = steps.map(|step| {
        let start = change(step as isize);
        // SAFETY: the kernel has just given these bytes to the caller.
        unsafe { std::ptr::with_exposed_provenance_mut::<u8>(start).write_bytes(7, step) };
        start
    });
    for (start, step) in starts.into_iter().zip(steps).rev() {
        // SAFETY: they are the caller's still.
        let taken = unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance::<u8>(start), step) };
        assert!(taken.iter().all(|&byte| byte == 7), "the neighbour lost what it took");
        assert_eq!(change(-(step as isize)), start + step, "nothing else moves the break");
    }
}

/// The C library's break. musl's refuses to move: then the kernel's is moved.
fn sbrk(by: isize) -> usize {
    if cfg!(not(target_env = "gnu")) {
        return raw(by);
    }
    // SAFETY: whoever raises the break owns what it is raised over.
    let before = unsafe { libc::sbrk(by as _) }.addr();
    assert_ne!(before, usize::MAX, "sbrk");
    before
}

/// The kernel's break, from where it is. Returns where that was.
fn raw(by: isize) -> usize {
    let before = brk(0);
    let to = before.checked_add_signed(by).expect("an address");
    assert_eq!(brk(to), to, "brk");
    before
}

fn brk(to: usize) -> usize {
    // SAFETY: as for `sbrk`.
    unsafe { libc::syscall(libc::SYS_brk, to) as usize }
}
