//! What a program does before a request fails.

use hmalloc::brk::{Automatic, Limited};
use hmalloc::{BlockState, Futex, Hmalloc, LocalHeap};
use std::alloc::{GlobalAlloc, Layout};
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use support::child::scenario;

const LIMIT: usize = 16 << 20;
type Tight = Hmalloc<Futex, Limited<Automatic>>;

const fn tight(hook: fn(Layout) -> bool) -> Tight {
    Hmalloc::with_source(Limited::new(Automatic::new(), LIMIT)).with_hook(hook)
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 1).expect("a layout")
}

#[test]
fn a_request_that_would_fail_is_made_possible() {
    static CACHE: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    fn empty(wanted: Layout) -> bool {
        assert_eq!(wanted.size(), 2 << 20);
        CALLS.fetch_add(1, Relaxed);
        let cached = std::mem::take(&mut *CACHE.lock().expect("a lock"));
        // SAFETY: the blocks were in the cache alone.
        let free = |&block: &usize| unsafe { HEAP.free(std::ptr::with_exposed_provenance_mut(block), |_| panic!()) };
        cached.iter().for_each(free);
        !cached.is_empty()
    }
    static HEAP: Tight = tight(empty);
    let (one, two) = (layout(1 << 20), layout(2 << 20));
    // SAFETY: each gets a live block of the layout `one`.
    let requests: [unsafe fn(*mut u8) -> *mut u8; 4] = unsafe {
        [
            |_| HEAP.alloc(layout(2 << 20)),
            |_| HEAP.alloc_zeroed(layout(2 << 20)),
            |block| HEAP.realloc(block, layout(1 << 20), 2 << 20),
            |block| HEAP.resize(block, layout(2 << 20)).map_or(std::ptr::null_mut(), |block| block.as_ptr()),
        ]
    };
    for (number, request) in requests.into_iter().enumerate() {
        let mut fill: Vec<usize> = Vec::new();
        while let Ok(block) = HEAP.with(|heap| heap.allocate(one)) {
            fill.push(block.expose_provenance().get());
        }
        let kept = fill.remove(fill.len() / 2);
        assert!(fill.len() > 8 && CALLS.load(Relaxed) == number * 2);
        *CACHE.lock().expect("a lock") = fill;
        let kept = std::ptr::with_exposed_provenance_mut(kept);
        // SAFETY: a block of the layout `one`. With the second request there is nothing in the cache.
        unsafe {
            let block = request(kept);
            assert!(!block.is_null() && CALLS.load(Relaxed) == number * 2 + 1, "{number}");
            HEAP.dealloc(block, two);
            if number < 2 {
                HEAP.dealloc(kept, one);
            }
            let huge = HEAP.allocate(layout(2 << 20)).expect("memory");
            HEAP.with(|heap| while heap.allocate(one).is_ok() {});
            assert!(HEAP.allocate(two).is_err(), "the cache is empty");
            assert_eq!(CALLS.load(Relaxed), number * 2 + 2);
            HEAP.dealloc(huge.as_ptr(), two);
        }
        let live = HEAP.with(|heap| heap.blocks().filter(|block| block.state == BlockState::Used).collect::<Vec<_>>());
        // SAFETY: nothing uses them.
        live.iter().for_each(|block| unsafe {
            HEAP.free(std::ptr::with_exposed_provenance_mut(block.address), |_| panic!());
        });
    }
    assert_eq!(HEAP.check(), Ok(()));
}

/// A hook that always wants another attempt gets one, and its own requests never call it.
#[test]
fn a_hook_is_called_once_and_never_inside_itself() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    fn insist(_: Layout) -> bool {
        CALLS.fetch_add(1, Relaxed);
        assert!(HEAP.allocate(layout(30 << 20)).is_err());
        let block = HEAP.allocate(layout(1000)).expect("small blocks are there");
        // SAFETY: the block is not used any more.
        unsafe { HEAP.free(block.as_ptr(), |_| panic!()) };
        true
    }
    static HEAP: Tight = tight(insist);
    for calls in 1..4 {
        assert!(HEAP.allocate(layout(30 << 20)).is_err());
        assert_eq!(CALLS.load(Relaxed), calls);
    }
    // Nor for a heap that is lent.
    assert!(HEAP.with(|heap| heap.allocate(layout(30 << 20))).is_err());
    assert_eq!(CALLS.load(Relaxed), 3);
}

/// A hook that panics has left, and can be called again.
#[test]
fn a_hook_may_panic_where_its_caller_may() {
    fn panic(_: Layout) -> bool {
        panic!("out of memory");
    }
    let heap = LocalHeap::with_limit(1 << 20).with_hook(panic);
    for _ in 0..20 {
        let panicked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| heap.allocate(layout(2 << 20)).is_err()));
        assert!(panicked.is_err());
    }
    assert!(heap.allocate(layout(1000)).is_ok());
}

/// Threads whose requests fail at the same time are all in it, each once for each request.
#[test]
fn threads_are_in_the_hook_at_a_time() {
    static INSIDE: AtomicUsize = AtomicUsize::new(0);
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    fn meet(_: Layout) -> bool {
        CALLS.fetch_add(1, Relaxed);
        INSIDE.fetch_add(1, Relaxed);
        // Each waits for the other, so a lock around the hook would not do.
        while !INSIDE.load(Relaxed).is_multiple_of(2) {
            std::thread::yield_now();
        }
        false
    }
    static HEAP: Tight = tight(meet);
    scenario(&threads_are_in_the_hook_at_a_time, || {
        for round in 1..100 {
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| assert!(HEAP.allocate(layout(30 << 20)).is_err()));
                }
            });
            assert_eq!(CALLS.load(Relaxed), 2 * round);
        }
    });
}
