//! Heaps that come and go leave nothing behind, and what that costs.

use hmalloc::brk::{Brk, Emulated, Limited, OwnBreak, Refused, Reserved, Source};
use hmalloc::{LocalHeap, ScopedHeap, SharedHeap};
use std::alloc::Layout;
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::Range;
use support::child::{observe, scenario};

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 1).expect("a layout")
}

/// How many mappings the process has, and how many pages of addresses.
fn mappings() -> (usize, usize) {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("/proc is mounted");
    let pages = std::fs::read_to_string("/proc/self/statm").expect("/proc is mounted");
    let pages = pages.split(' ').next().and_then(|pages| pages.parse().ok()).expect("a number");
    (maps.lines().count(), pages)
}

/// Runs `round` until the process has all that it will have, then many times more: neither the mappings nor the addresses of
/// the process grow. The slack is for what the C library keeps, stacks of threads above all.
fn leaves_nothing(rounds: usize, mut round: impl FnMut(usize)) {
    (0..20).for_each(&mut round);
    let before = mappings();
    (0..rounds).for_each(&mut round);
    let after = mappings();
    assert!(after.0 <= before.0 + 16 && after.1 <= before.1 + (64 << 20 >> 12), "{before:?} {after:?}");
}

/// Blocks of all kinds, none of which is freed.
fn fill<L: hmalloc::Lock, B: Brk>(heap: &ScopedHeap<L, B>, number: usize) {
    for size in [1, 100, 5000, 40_000, 70_000, 3 << 20] {
        let block = heap.allocate(layout(size + number % 7)).expect("memory");
        // SAFETY: so long is the block.
        unsafe { block.write_bytes(1, size.min(100)) };
    }
    if number.is_multiple_of(10) {
        (0..100).for_each(|_| _ = heap.allocate(layout(30_000)).expect("memory"));
    }
}

#[test]
fn ten_thousand_heaps_leave_no_mapping() {
    scenario(&ten_thousand_heaps_leave_no_mapping, || {
        leaves_nothing(10_000, |number| fill(&LocalHeap::new(), number));
        // A heap beyond its addresses, in regions.
        leaves_nothing(1000, |number| fill(&LocalHeap::with_source(Reserved::with_addresses(1)), number));
        leaves_nothing(1000, |number| fill(&SharedHeap::new(), number));
        // A source that gives back piece by piece.
        leaves_nothing(1000, |number| fill(&LocalHeap::with_source(OwnBreak::new()), number));
        let mut reset = LocalHeap::new();
        leaves_nothing(10_000, |number| {
            fill(&reset, number);
            reset.reset();
        });
    });
}

/// The control: heaps that are forgotten instead of dropped are seen.
#[test]
fn heaps_that_are_forgotten_are_seen() {
    scenario(&heaps_that_are_forgotten_are_seen, || {
        let seen = std::panic::catch_unwind(|| {
            leaves_nothing(100, |number| {
                let heap = LocalHeap::new();
                fill(&heap, number);
                std::mem::forget(heap);
            });
        });
        assert!(seen.is_err());
    });
}

#[test]
fn heaps_of_several_threads_leave_no_mapping() {
    // The C library's own heaps for threads would be seen, too.
    let one = [("MALLOC_ARENA_MAX", "1")];
    let ended = observe(&heaps_of_several_threads_leave_no_mapping, "", &one, |_| {
        leaves_nothing(100, |_| {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| (0..25).for_each(|number| fill(&LocalHeap::new(), number)));
                }
            });
            // Made in one thread, used in a second and dropped in a third; and one that two threads share.
            let (heap, shared) = (LocalHeap::new(), SharedHeap::new());
            fill(&heap, 1);
            let heap = std::thread::spawn(move || {
                fill(&heap, 2);
                heap
            });
            let heap = heap.join().expect("it ends");
            std::thread::scope(|scope| {
                (0..2).for_each(|number| {
                    _ = scope.spawn({
                        let shared = &shared;
                        move || fill(shared, number)
                    })
                });
            });
            std::thread::spawn(move || drop((heap, shared))).join().expect("it ends");
        });
    });
    assert!(ended.finished, "{ended:#?}");
}

/// A source that counts the calls which go to the kernel.
struct Counting<'a> {
    source: Reserved,
    calls: &'a Cell<usize>,
}

impl Counting<'_> {
    fn count(&self) {
        self.calls.set(self.calls.get() + 1);
    }
}

// SAFETY: all is passed on to a source that keeps the promises.
unsafe impl Brk for Counting<'_> {
    fn query(&self) -> Result<usize, Refused> {
        self.source.query()
    }
    unsafe fn move_break(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        self.count();
        // SAFETY: the caller's promise, as in all of these.
        unsafe { self.source.move_break(from, to) }
    }
    fn map(&mut self, bytes: usize) -> Result<usize, Refused> {
        self.count();
        self.source.map(bytes)
    }
    fn room(&mut self) -> Result<Range<usize>, Refused> {
        self.source.room()
    }
    fn map_at(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        self.count();
        self.source.map_at(start, bytes)
    }
    unsafe fn unmap(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        self.count();
        // SAFETY: as above.
        unsafe { self.source.unmap(start, bytes) }
    }
    unsafe fn release(&mut self) -> Result<(), Refused> {
        self.count();
        // SAFETY: as above.
        unsafe { self.source.release() }
    }
    unsafe fn discard(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        self.count();
        // SAFETY: as above.
        unsafe { self.source.discard(start, bytes) }
    }
    fn page_size(&self) -> usize {
        self.source.page_size()
    }
}

/// Giving back a heap takes calls for its mappings, not for its blocks.
#[test]
fn a_reset_takes_one_call_and_one_for_each_region() {
    let calls = Cell::new(0);
    for blocks in [10, 100_000] {
        let mut heap = LocalHeap::with_source(Counting { source: Reserved::new(), calls: &calls });
        (0..blocks).for_each(|number| _ = heap.allocate(layout(number % 300)).expect("memory"));
        let before = calls.get();
        heap.reset();
        assert_eq!(calls.get() - before, 1, "{blocks} blocks");
        let stats = heap.stats();
        assert_eq!((stats.heap_bytes, stats.live_blocks, stats.peak_heap_bytes, stats.brk_calls), (0, 0, 0, 0));
    }
    let mut heap = LocalHeap::with_source(Counting { source: Reserved::with_addresses(1), calls: &calls });
    (0..100).for_each(|_| _ = heap.allocate(layout(100_000)).expect("memory"));
    let (regions, before) = (heap.stats().map_calls, calls.get());
    heap.reset();
    assert!(regions > 1);
    assert_eq!(calls.get() - before, 1 + regions);
}

/// Where the source cannot give back all in one step, the break comes down to where the heap began.
#[test]
fn an_emulated_break_comes_down() {
    let mut arena = vec![MaybeUninit::uninit(); 32 << 20];
    let mut heap = LocalHeap::with_source(Limited::new(Emulated::new(&mut arena), 20 << 20));
    for _ in 0..3 {
        fill(&heap, 10);
        assert!(heap.stats().heap_bytes > 6 << 20);
        heap.reset();
        assert_eq!(heap.stats().heap_bytes, 0);
        assert_eq!(heap.check(), Ok(()));
    }
}

#[test]
fn a_heap_says_where_it_lives() {
    let heap = LocalHeap::new();
    fill(&heap, 0);
    let stats = heap.stats();
    assert_eq!((stats.source, stats.map_calls, heap.check()), (Source::Reserved, 0, Ok(())));
    assert!(stats.live_bytes > 6 << 20);
}
