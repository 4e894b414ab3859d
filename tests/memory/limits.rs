//! What a limit costs: how often the kernel is asked for memory and refuses.

use hmalloc::brk::Emulated;
use hmalloc::{Heap, PAGE};
use std::ptr::NonNull;
use support::arena::Arena;
use support::calls::{MIB, free, get};

/// A limit on the break, or on mappings beside a break that cannot move.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    Break(usize),
    Mappings(usize),
}

pub(crate) fn limited<'a>(arena: &'a mut Arena, limit: Limit) -> Heap<Emulated<'a>> {
    let mut brk = arena.brk();
    match limit {
        Limit::Break(bytes) => brk.set_cap(bytes),
        Limit::Mappings(bytes) => {
            brk.allow_mappings(bytes);
            brk.fail_after(1);
        }
    }
    let mut heap = Heap::new(brk);
    get(&mut heap, 16).expect("the first raise is granted");
    heap
}

/// Allocates blocks of `size` bytes until there are no more.
pub(crate) fn fill(heap: &mut Heap<Emulated<'_>>, size: usize) -> Vec<NonNull<u8>> {
    std::iter::from_fn(|| get(heap, size)).collect()
}

/// How often the kernel has been asked for memory.
fn asked(heap: &Heap<Emulated<'_>>) -> usize {
    heap.stats().brk_calls + heap.stats().map_calls
}

pub(crate) const LIMITS: [Limit; 2] = [Limit::Break(48 * MIB), Limit::Mappings(48 * MIB)];

/// After refusals the heap asks for no more than it needs.
#[test]
fn a_refused_request_asks_little() {
    for limit in LIMITS {
        for size in [100, 1000, 20_000, 70_000] {
            let mut arena = Arena::new(100 * MIB);
            let mut heap = limited(&mut arena, limit);
            let blocks = fill(&mut heap, size);
            let before = asked(&heap);
            assert!(before < 400, "{limit:?}: {before} calls for 48 MiB in blocks of {size} bytes");
            for _ in 0..100 {
                assert_eq!(get(&mut heap, size), None);
            }
            let calls = asked(&heap) - before;
            // The break and a mapping are asked for, once each.
            assert!(calls <= 200, "{limit:?}: {calls} calls for 100 refused requests of {size} bytes");
            // A block that takes the place of a freed one needs no call.
            let before = asked(&heap);
            for step in 0..1000 {
                free(&mut heap, blocks[step * 7919 % blocks.len()]);
                assert!(get(&mut heap, size).is_some(), "{limit:?}: the slot of a block of {size} bytes");
                if step % 2 == 0 {
                    assert_eq!(get(&mut heap, size), None);
                }
            }
            let calls = asked(&heap) - before;
            assert!(calls <= 1050, "{limit:?}: {calls} calls for 500 refused requests of {size} bytes");
            assert_eq!(heap.check(), Ok(()));
        }
    }
}

/// What is refused once is asked for again: limits are lifted, and others free memory.
#[test]
fn a_need_is_asked_for_each_time() {
    for limit in LIMITS {
        let mut arena = Arena::new(100 * MIB);
        let mut heap = limited(&mut arena, limit);
        fill(&mut heap, 1000);
        assert_eq!(get(&mut heap, 1000), None);
        heap.brk_mut().set_cap(usize::MAX);
        heap.brk_mut().fail_after(usize::MAX);
        let before = asked(&heap);
        for _ in 0..10_000 {
            get(&mut heap, 1000).expect("the limit is lifted");
        }
        let calls = asked(&heap) - before;
        assert!(calls < 40, "{limit:?}: {calls} calls for 10 MB: steps grow again");
        assert_eq!(heap.check(), Ok(()));
    }
}

/// At a limit the heap asks for less, and remembers: of its raises, few are refused before one is granted, and when
/// nothing is left each request asks once.
#[test]
fn a_heap_at_its_limit_asks_seldom() {
    for (size, limit) in [(1000, 40 * MIB), (100_000, 40 * MIB + PAGE), (100_000, 3 * MIB)] {
        let mut arena = Arena::new(64 * MIB);
        let mut heap = Heap::new(arena.brk());
        heap.brk_mut().set_cap(limit);
        let (mut last, mut raises, mut worst) = (heap.brk().current(), 0, 0);
        let mut calls = 0;
        while get(&mut heap, size).is_some() {
            if heap.brk().current() != last {
                (last, raises) = (heap.brk().current(), raises + 1);
                worst = worst.max(heap.brk().calls() - calls);
            }
            calls = heap.brk().calls();
        }
        let used = heap.stats().live_bytes;
        assert!(used >= limit / 100 * 94, "{used} of {limit} bytes are used");
        let calls = heap.brk().calls();
        assert!(calls <= 2 * raises + 10, "{calls} calls for {raises} raises to {limit}");
        assert!(worst <= 8, "{worst} calls for one raise");
        for _ in 0..100 {
            assert_eq!(get(&mut heap, 200_000), None);
        }
        let asked = heap.brk().calls() - calls;
        assert!(asked <= 105, "{asked} calls for 100 requests");
        // A limit that is lifted is noticed, and the steps are long again soon.
        heap.brk_mut().set_cap(usize::MAX);
        let calls = heap.brk().calls();
        while heap.brk().current() - arena_start(&heap) < limit + 8 * MIB {
            get(&mut heap, size.max(3000)).expect("room");
        }
        let calls = heap.brk().calls() - calls;
        assert!(calls <= 40, "{calls} calls for 8 MiB beyond {limit}");
        assert_eq!(heap.check(), Ok(()));
    }
}

/// Where the heap's first page is.
fn arena_start<B: hmalloc::brk::Brk>(heap: &Heap<B>) -> usize {
    heap.spans().next().expect("a span").address
}
