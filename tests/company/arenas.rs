//! Heaps over byte arrays of the program's own.

use hmalloc::brk::{Arena, Brk, Bytes, Refused};
use hmalloc::{Futex, Heap, Hmalloc, OutOfMemory};
use std::alloc::Layout;

const MIB: usize = 1 << 20;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).expect("a layout")
}

#[test]
fn what_is_raised_over_again_is_zero_again() {
    static ARENA: Arena<MIB> = Arena::new();
    let mut bytes = Bytes::new(&ARENA);
    let start = bytes.query().expect("the arena is free");
    let first = std::ptr::with_exposed_provenance_mut::<u8>(start);
    let mut end = start;
    for (to, lowered) in [(5000, 100), (MIB, 0), (MIB, 4096), (70_000, 69_999), (MIB, 1), (MIB, MIB)] {
        // SAFETY: a raise.
        assert_eq!(unsafe { bytes.move_break(end, start + to) }, Ok(()));
        for at in end - start..to {
            // SAFETY: below the break.
            assert_eq!(unsafe { first.add(at).replace(0xEE) }, 0, "the byte at {at}, raised from {end:#x} to {to}");
        }
        end = start + lowered;
        // SAFETY: what is above is not used.
        assert_eq!(unsafe { bytes.move_break(start + to, end) }, Ok(()));
    }
}

#[test]
fn a_move_that_cannot_be_is_refused_and_changes_nothing() {
    static ARENA: Arena<{ 8192 + 100 }> = Arena::new();
    let mut bytes = Bytes::new(&ARENA);
    let start = bytes.query().expect("the arena is free");
    // SAFETY: a raise.
    assert_eq!(unsafe { bytes.move_break(start, start + 4096) }, Ok(()));
    let moves = [
        (start + 4096, start + 8192 + 101),
        (start + 4096, usize::MAX),
        (start + 4096, start - 1),
        (start + 4096, 0),
        (start, start + 8192),
        (start + 4097, start),
    ];
    for (from, to) in moves {
        // SAFETY: the arena is not used.
        assert_eq!(unsafe { bytes.move_break(from, to) }, Err(Refused), "{from:#x} to {to:#x}");
        assert_eq!(bytes.query(), Ok(start + 4096));
    }
    // SAFETY: a raise.
    assert_eq!(unsafe { bytes.move_break(start + 4096, start + 8192 + 100) }, Ok(()), "to the last byte");
    assert_eq!(bytes.map(4096), Err(Refused));
}

#[test]
fn one_heap_has_the_arena_and_the_others_nothing() {
    static ARENA: Arena<MIB> = Arena::new();
    let mut second = Heap::new(Bytes::new(&ARENA));
    {
        let mut first = Heap::new(Bytes::new(&ARENA));
        assert!(first.allocate(layout(100)).is_ok());
        assert_eq!(second.allocate(layout(100)), Err(OutOfMemory));
        assert_eq!((second.check(), second.stats().heap_bytes), (Ok(()), 0));
    }
    // Its blocks may be in use still: a heap returns nothing when it is dropped.
    assert_eq!(second.allocate(layout(100)), Err(OutOfMemory));
}

/// The same with heaps that begin at the same time.
#[test]
fn of_many_threads_one_gets_the_arena() {
    static ARENAS: [Arena<{ 64 << 10 }>; 50] = [const { Arena::new() }; 50];
    for arena in &ARENAS {
        let start = std::sync::Barrier::new(4);
        let won = std::thread::scope(|scope| {
            let begin = || {
                let mut heap = Heap::new(Bytes::new(arena));
                start.wait();
                heap.allocate(layout(100)).is_ok()
            };
            let threads: [_; 4] = std::array::from_fn(|_| scope.spawn(begin));
            threads.map(|thread| thread.join().expect("a thread ends"))
        });
        assert_eq!(won.iter().filter(|&&won| won).count(), 1);
    }
}

#[test]
fn running_out_is_an_answer_and_freeing_helps() {
    static ARENA: Arena<{ 4 * MIB }> = Arena::new();
    static HEAP: Hmalloc<Futex, Bytes> = Hmalloc::with_source(Bytes::new(&ARENA));
    let mut rounds = Vec::new();
    for _ in 0..3 {
        let mut blocks = Vec::new();
        for size in [MIB, 100_000, 1000, 16] {
            while let Ok(block) = HEAP.allocate_zeroed(layout(size)) {
                // SAFETY: the block is `size` bytes long.
                unsafe {
                    assert!(std::slice::from_raw_parts(block.as_ptr(), size).iter().all(|&byte| byte == 0));
                    block.write_bytes(0xDD, size);
                }
                blocks.push(block);
            }
            assert_eq!(HEAP.check(), Ok(()));
        }
        let stats = HEAP.stats();
        assert!(stats.live_bytes >= 4 * MIB / 100 * 95 && stats.heap_bytes <= 4 * MIB, "{stats:?}");
        rounds.push(blocks.len());
        // SAFETY: they are not used any more.
        blocks.into_iter().for_each(|block| unsafe { HEAP.free(block.as_ptr(), |misuse| panic!("{misuse}")) });
        HEAP.trim(0);
        assert_eq!((HEAP.check(), HEAP.stats().live_blocks), (Ok(()), 0));
    }
    assert!(rounds.windows(2).all(|pair| pair[1].abs_diff(pair[0]) <= pair[0] / 20), "nothing leaks: {rounds:?}");
}
