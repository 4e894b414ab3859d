//! A storm for a sanitizer: threads that come and go allocate, resize, hand over and free blocks, write all of them, and
//! look at the heap. Nothing but the heap is shared without an atomic.
//!
//!     storm OPERATIONS
//!
//! It is built by `main.rs` beside it, with an instrumented heap, and prints `survived` at its end.

use hmalloc::Hmalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::ptr::null_mut;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicPtr};
use std::thread;

static HEAP: Hmalloc = Hmalloc::new();
/// Places where any thread leaves a block and takes away what another has left.
static PLACES: [AtomicPtr<u8>; 32] = [const { AtomicPtr::new(null_mut()) }; 32];
const THREADS: usize = 3;
/// How many threads one after the other.
const LIVES: usize = 4;
/// Where a block's size stands in it.
const HEAD: usize = size_of::<usize>();

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).expect("a layout")
}

/// Writes all of a block that holds nothing yet.
fn write(block: *mut u8, size: usize) {
    assert!(!block.is_null(), "no memory");
    // SAFETY: the block is the caller's, and this long.
    unsafe {
        block.write_bytes(size as u8, size);
        block.cast::<usize>().write(size);
    }
}

/// The size of a block, whose content is as it was written.
fn verify(block: *mut u8) -> usize {
    // SAFETY: the block is the caller's; its size stands in it.
    let size = unsafe { block.cast::<usize>().read() };
    // SAFETY: the block is this long.
    let rest = unsafe { std::slice::from_raw_parts(block.add(HEAD), size - HEAD) };
    assert!(rest.iter().all(|&byte| byte == size as u8), "another one has written to a block of {size} bytes");
    size
}

fn make(random: &mut Random) -> *mut u8 {
    let limit = match random.below(64) {
        0 => 100_000,
        1..4 => 8000,
        _ => 300,
    };
    let size = HEAD + random.below(limit);
    // SAFETY: not 0 bytes.
    let block = unsafe { HEAP.alloc(layout(size)) };
    write(block, size);
    block
}

fn free(block: *mut u8) {
    if !block.is_null() {
        let size = verify(block);
        // SAFETY: the block is the caller's, who uses it no more.
        unsafe { HEAP.dealloc(block, layout(size)) };
    }
}

fn resize(block: *mut u8, size: usize) -> *mut u8 {
    let old = verify(block);
    // SAFETY: the block is the caller's, and has this layout.
    let block = unsafe { HEAP.realloc(block, layout(old), size) };
    write(block, size);
    block
}

/// A thread's life.
fn live(seed: usize, operations: usize) {
    let mut random = Random(seed as u64);
    let mut mine: Vec<*mut u8> = Vec::new();
    for _ in 0..operations {
        let block = make(&mut random);
        match random.below(4) {
            0 => free(PLACES[random.below(PLACES.len())].swap(block, AcqRel)),
            1 => mine.push(resize(block, HEAD + random.below(500))),
            _ => mine.push(block),
        }
        if mine.len() > 200 {
            let keep = random.below(100);
            mine.drain(keep..).for_each(free);
        }
    }
    mine.into_iter().for_each(free);
}

fn main() {
    let operations: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).expect("a number of operations");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let looker = scope.spawn(|| {
            let mut looks = 0;
            while !done.load(Relaxed) {
                assert_eq!(HEAP.check(), Ok(()));
                let stats = HEAP.stats();
                assert_eq!(stats.heap_bytes, stats.live_bytes + stats.free_bytes + stats.metadata_bytes);
                HEAP.trim(100_000);
                looks += 1;
            }
            looks
        });
        let run = |number: usize| {
            (0..LIVES).for_each(|life| {
                thread::spawn(move || live(number * LIVES + life, operations / LIVES)).join().expect("no panic");
            })
        };
        let threads: Vec<_> = (0..THREADS).map(|number| scope.spawn(move || run(number))).collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        done.store(true, Relaxed);
        println!("{} looks", looker.join().expect("no panic"));
    });
    PLACES.iter().for_each(|place| free(place.swap(null_mut(), AcqRel)));
    assert_eq!((HEAP.check(), HEAP.stats().live_blocks), (Ok(()), 0));
    println!("survived");
}
