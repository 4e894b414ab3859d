//! Heaps in bytes of the program's own, and locks of its own.

use hmalloc::brk::{Arena, Bytes};
use hmalloc::{Heap, Hmalloc, Lock, SingleThreaded, Turn};
use std::alloc::Layout;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 1).expect("a layout")
}

/// Bytes that hold something else than zeros become a heap whose zeroed blocks are zero.
#[test]
fn any_range_becomes_a_heap() {
    for (lead, bytes) in [(0, 64 << 10), (1, 100_000), (5000, 1 << 20), (16, 4 << 20), (3, 0), (0, 10_000)] {
        let range: &mut [u8] = vec![0xa5; lead + bytes + 100].leak();
        let start = range.as_mut_ptr();
        // SAFETY: nothing else uses the bytes.
        let mut heap = Heap::new(unsafe { Bytes::over(start.add(lead), bytes) });
        let mut blocks = Vec::new();
        while let Ok(block) = heap.allocate_zeroed(layout(700 + blocks.len())) {
            // SAFETY: the block is so long.
            let content = unsafe { std::slice::from_raw_parts_mut(block.as_ptr(), 700 + blocks.len()) };
            assert!(content.iter().all(|&byte| byte == 0));
            content.fill(0x5a);
            let end = block.as_ptr().addr() + content.len();
            assert!(block.as_ptr().addr() >= start.addr() + lead && end <= start.addr() + lead + bytes);
            blocks.push(block);
        }
        assert_eq!(blocks.is_empty(), bytes <= 10_000, "{bytes}");
        for block in blocks {
            // SAFETY: the block is not used any more.
            unsafe { heap.free(block.as_ptr()) }.expect("a block");
        }
        assert_eq!(heap.check(), Ok(()));
        // SAFETY: what lies around was not used.
        let around = unsafe {
            [std::slice::from_raw_parts(start, lead), std::slice::from_raw_parts(start.add(lead + bytes), 100)]
        };
        assert!(around.iter().all(|bytes| bytes.iter().all(|&byte| byte == 0xa5)));
    }
}

/// What the documentation of `Arena` says of small ones.
#[test]
fn the_smallest_arenas_hold_what_is_said() {
    fn count<const N: usize>(arena: &'static Arena<N>, size: usize) -> usize {
        let mut heap = Heap::new(Bytes::new(arena));
        (0..).take_while(|_| heap.allocate(layout(size)).is_ok()).count()
    }
    static TOO_SMALL: Arena<{ 28 << 10 }> = Arena::new();
    static LEAST: Arena<{ 64 << 10 }> = Arena::new();
    static LARGER: Arena<{ 128 << 10 }> = Arena::new();
    static MEBIBYTE: Arena<{ 1 << 20 }> = Arena::new();
    assert_eq!(count(&TOO_SMALL, 100), 0);
    assert!(count(&LEAST, 100) >= 128);
    // How much is lost depends on where the arenas lie.
    let held = (count(&LARGER, 1000), count(&MEBIBYTE, 1000));
    assert!(held.0 >= 64 && held.1 >= 850, "{held:?}");
}

/// A lock as the documentation of `Lock` shows it, with a witness of who holds it.
#[derive(Debug, Default)]
struct Spin {
    held: AtomicBool,
}

// SAFETY: the flag goes from false to true for one caller at a time.
unsafe impl Lock for Spin {
    fn try_lock(&self) -> bool {
        self.held.compare_exchange(false, true, Acquire, Relaxed).is_ok()
    }
    fn wait(&self) -> Turn {
        while !self.try_lock() {
            std::thread::yield_now();
        }
        Turn::Taken
    }
    unsafe fn unlock(&self) -> bool {
        self.held.store(false, Release);
        false
    }
    fn wake(&self) {}
    fn lend(&self, _: bool) {}
}

#[test]
fn threads_take_turns_by_a_lock_of_the_programs_own() {
    static ARENA: Arena<{ 8 << 20 }> = Arena::new();
    static HEAP: Hmalloc<Spin, Bytes> = Hmalloc::with_lock(Spin { held: AtomicBool::new(false) }, Bytes::new(&ARENA));
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            scope.spawn(move || {
                for round in 0..20_000_usize {
                    let size = (round * 7 + thread) % 3000 + 1;
                    let block = HEAP.allocate(layout(size)).expect("memory").as_ptr();
                    // SAFETY: a block of this size, which is freed after that.
                    unsafe {
                        block.write_bytes(thread as u8, size);
                        assert_eq!((block.read(), block.add(size - 1).read()), (thread as u8, thread as u8));
                        HEAP.free(block, |misuse| panic!("{misuse}"));
                    }
                }
            });
        }
    });
    assert_eq!((HEAP.check(), HEAP.stats().live_blocks), (Ok(()), 0));
}

#[test]
fn one_thread_needs_no_lock() {
    static ARENA: Arena<{ 1 << 20 }> = Arena::new();
    // SAFETY: this test is the only one to use it.
    static HEAP: Hmalloc<SingleThreaded, Bytes> = unsafe { Hmalloc::single_threaded_with_source(Bytes::new(&ARENA)) };
    assert!(HEAP.allocate(layout(100)).is_ok());
}
