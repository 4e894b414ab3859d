//! At the limit: how much of it is used, how often the kernel is asked, and that no free slot is overlooked.

use hmalloc::brk::Emulated;
use hmalloc::{Heap, PAGE, SpanKind};
use std::ptr::NonNull;
use support::arena::Arena;
use support::calls::{MIB, free, get};

/// A limit on the break, or on mappings beside a break that cannot move.
#[derive(Debug, Clone, Copy)]
enum Limit {
    Break(usize),
    Mappings(usize),
}

fn limited<'a>(arena: &'a mut Arena, limit: Limit) -> Heap<Emulated<'a>> {
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
fn fill(heap: &mut Heap<Emulated<'_>>, size: usize) -> Vec<NonNull<u8>> {
    std::iter::from_fn(|| get(heap, size)).collect()
}

/// How often the kernel has been asked for memory.
fn asked(heap: &Heap<Emulated<'_>>) -> usize {
    heap.stats().brk_calls + heap.stats().map_calls
}

const LIMITS: [Limit; 2] = [Limit::Break(48 * MIB), Limit::Mappings(48 * MIB)];

#[test]
fn blocks_of_all_sizes_reach_the_limit() {
    for limit in LIMITS {
        for (size, slot) in [(100, 112), (1000, 1024), (20_000, 20_480), (70_000, 5 * PAGE)] {
            let mut arena = Arena::new(100 * MIB);
            let mut heap = limited(&mut arena, limit);
            let reached = fill(&mut heap, size).len() * slot;
            assert!(reached * 100 >= 48 * MIB * 95, "{limit:?}: blocks of {size} bytes fill {reached} bytes");
            assert_eq!(heap.check(), Ok(()));
        }
    }
}

/// After refusals the heap knows better than to ask for more than it needs.
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
            // A block for a block needs no kernel.
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

/// Every slot that was freed is found, be the refusal expected or not.
#[test]
fn the_last_slots_are_found() {
    for sudden in [false, true] {
        for every in [3, 20, 400] {
            let mut arena = Arena::new(64 * MIB);
            let mut brk = arena.brk();
            brk.set_cap(if sudden { usize::MAX } else { 24 * MIB });
            let mut heap = Heap::new(brk);
            let blocks: Vec<_> = match sudden {
                false => fill(&mut heap, 200),
                true => (0..80_000).map(|_| get(&mut heap, 200).expect("room")).collect(),
            };
            heap.brk_mut().set_cap(0);
            while get(&mut heap, 200).is_some() {}
            let freed = blocks.iter().step_by(every).map(|&block| free(&mut heap, block)).count();
            let found = fill(&mut heap, 200).len();
            assert!(found >= freed, "{found} of {freed} slots were found, one of {every} freed, sudden: {sudden}");
            assert_eq!(heap.check(), Ok(()));
        }
    }
}

/// A few slots of many slabs, freed long before memory is short.
#[test]
fn slots_that_were_freed_before_are_found() {
    let mut arena = Arena::new(64 * MIB);
    let mut heap = Heap::new(arena.brk());
    let blocks: Vec<_> = (0..100_000).map(|_| get(&mut heap, 200).expect("room")).collect();
    // One of 40 is too few for a slab to be used again.
    let freed = blocks.iter().step_by(40).map(|&block| free(&mut heap, block)).count();
    let before = heap.stats().heap_bytes;
    heap.brk_mut().fail_after(0);
    let found = fill(&mut heap, 200).len();
    assert!(found >= freed, "{found} of {freed} slots were found");
    assert_eq!((heap.stats().heap_bytes, heap.check()), (before, Ok(())));
}

/// Regions in which nothing lives any more make room for a longer one.
#[test]
fn free_regions_do_not_keep_a_large_block_out() {
    let mut arena = Arena::new(100 * MIB);
    let mut heap = limited(&mut arena, Limit::Mappings(48 * MIB));
    for _ in 0..3 {
        let blocks = fill(&mut heap, 100_000);
        blocks.into_iter().for_each(|block| free(&mut heap, block));
        let large = get(&mut heap, 40 * MIB).expect("nothing else lives");
        free(&mut heap, large);
        assert_eq!(heap.check(), Ok(()));
    }
}

/// Wishes that are halved leave few and large regions.
#[test]
fn regions_are_few() {
    let mut arena = Arena::new(100 * MIB);
    let mut heap = limited(&mut arena, Limit::Mappings(48 * MIB));
    fill(&mut heap, 1000);
    let regions = heap.spans().filter(|span| span.kind == SpanKind::Metadata).count() - 1;
    assert!(regions <= 24, "{regions} regions");
}

/// Memory that goes back while it is short hides no slot: what a class leaves then is found again.
#[test]
fn slots_are_found_after_memory_went_back() {
    for few in 1..4 {
        let mut arena = Arena::new(24 * MIB);
        let mut brk = arena.brk();
        brk.allow_discard(true);
        brk.set_cap(16 * MIB);
        brk.refuse_lowering(true);
        let mut heap = Heap::new(brk);
        let large = get(&mut heap, 6 * MIB).expect("room");
        get(&mut heap, 4 * PAGE).expect("room");
        let small = fill(&mut heap, 320);
        (0..few).for_each(|index| free(&mut heap, small[small.len() / 2 - index * 2]));
        get(&mut heap, 320).expect("one of those slots");
        free(&mut heap, large);
        for size in [3 * MIB, MIB, 300_000, 4 * PAGE] {
            fill(&mut heap, size);
        }
        let slots = heap.spans().map(|span| match span.kind {
            SpanKind::Slab { slot: 320, capacity, live, .. } => capacity - live,
            _ => 0,
        });
        let slots: usize = slots.sum();
        let found = fill(&mut heap, 320).len();
        assert!(found >= slots, "{found} of {slots} free slots are found");
        assert_eq!(heap.check(), Ok(()));
    }
}
