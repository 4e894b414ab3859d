//! A heap with a limit in bytes.

use hmalloc::brk::{Automatic, Brk, Emulated, Limited, Reserved};
use hmalloc::{Futex, Heap, Hmalloc, LocalHeap, OutOfMemory};
use std::alloc::Layout;
use std::mem::MaybeUninit;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 1).expect("a layout")
}

/// Fills a heap with blocks of a size. What it has is never beyond the limit, most of it is blocks at the end, and what was freed
/// is there again.
fn fill<B: Brk>(heap: &mut Heap<Limited<B>>, limit: usize, size: usize, part: f64) {
    let mut blocks = Vec::new();
    while let Ok(block) = heap.allocate(layout(size)) {
        blocks.push(block);
        assert!(heap.brk().used() <= limit);
        // To count is a walk over the heap.
        if size < 10_000 && !blocks.len().is_multiple_of(4096) {
            continue;
        }
        let stats = heap.stats();
        assert!(stats.heap_bytes <= limit, "{stats:?}");
        // What is not counted as the heap's is where pages were aligned.
        assert!(stats.heap_bytes <= heap.brk().used() && heap.brk().used() - stats.heap_bytes < 1 << 20);
    }
    let live = heap.stats().live_bytes;
    assert!(live as f64 > limit as f64 * part, "{live} of {limit} in blocks of {size}");
    assert_eq!(heap.allocate(layout(size)), Err(OutOfMemory));
    for block in blocks {
        // SAFETY: the block is not used any more.
        unsafe { heap.free(block.as_ptr()) }.expect("a block");
    }
    assert_eq!(heap.check(), Ok(()));
}

#[test]
fn a_limit_holds_and_can_be_used_up() {
    for limit in [1 << 20, 5_000_000, 50 << 20] {
        let mut heap = Heap::new(Limited::new(Reserved::new(), limit));
        for (size, part) in [(64, 0.9), (1000, 0.9), (50_000, 0.8), (200_000, 0.6)] {
            fill(&mut heap, limit, size, part);
        }
        // In regions.
        let mut heap = Heap::new(Limited::new(Reserved::with_addresses(1), limit));
        fill(&mut heap, limit, 1000, 0.7);
    }
}

#[test]
fn a_limit_can_change_and_a_released_heap_begins_anew() {
    let mut heap = Heap::new(Limited::new(Reserved::new(), 1 << 20));
    assert_eq!(heap.allocate(layout(2 << 20)), Err(OutOfMemory));
    heap.brk().set_limit(4 << 20);
    assert!(heap.allocate(layout(2 << 20)).is_ok());
    heap.brk().set_limit(1 << 20);
    assert_eq!((heap.allocate(layout(100_000)), heap.brk().limit()), (Err(OutOfMemory), 1 << 20));
    // SAFETY: no block is used.
    unsafe { heap.release() };
    assert_eq!(heap.brk().used(), 0);
    assert!(heap.allocate(layout(900_000)).is_ok());
}

/// A source that gives back piece by piece: all of it counts as given back.
#[test]
fn what_is_given_back_by_parts_does_not_count() {
    let mut arena = vec![MaybeUninit::uninit(); 32 << 20];
    let mut heap = Heap::new(Limited::new(Emulated::new(&mut arena), 16 << 20));
    for _ in 0..5 {
        assert!(heap.allocate(layout(15 << 20)).is_ok());
        // SAFETY: no block is used.
        unsafe { heap.release() };
        assert!(heap.brk().used() < 32 << 10, "{}", heap.brk().used());
    }
}

#[test]
fn threads_have_one_limit() {
    static HEAP: Hmalloc<Futex, Limited<Automatic>> = Hmalloc::with_source(Limited::new(Automatic::new(), 16 << 20));
    let taken = std::thread::scope(|scope| {
        let thread = || (0..).take_while(|_| HEAP.allocate(layout(1000)).is_ok()).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(thread)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends")).sum::<usize>()
    });
    let stats = HEAP.stats();
    assert!(stats.heap_bytes <= 16 << 20 && taken > 14_000, "{taken} {stats:?}");
    assert_eq!(HEAP.check(), Ok(()));
}

#[test]
fn a_tenant_meets_its_own_limit_and_no_other() {
    let (first, second) = (LocalHeap::with_limit(1 << 20), LocalHeap::with_limit(1 << 20));
    while first.allocate(layout(1000)).is_ok() {}
    assert!(second.allocate(layout(900_000)).is_ok());
}
