//! At the limit: how much of it is used, and that no free slot and no free page is overlooked.

use super::limits::{LIMITS, fill, limited};
use hmalloc::{Heap, PAGE, SpanKind};
use std::ptr::NonNull;
use support::arena::Arena;
use support::calls::{MIB, free, get, layout};
use support::classes::classes;

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

/// How much of a full heap is payload. What is lost is metadata, tails of slabs, and the last stretch that is too short.
#[test]
fn a_full_heap_is_mostly_payload() {
    let small = [(16, 97), (64, 97), (100, 86), (1000, 92), (1024, 97), (4096, 97), (10_000, 92), (16_384, 97)];
    let odd = [(20_000, 87), (24_000, 89), (28_000, 90), (33_000, 69), (40_000, 84), (48_000, 89), (57_344, 93)];
    for (size, percent) in small.into_iter().chain(odd) {
        let mut arena = Arena::new(8 * MIB);
        let mut heap = Heap::new(arena.brk());
        heap.brk_mut().set_cap(4 * MIB);
        let requested = fill(&mut heap, size).len() * size;
        let used = requested * 100 / (4 * MIB);
        assert!(used >= percent, "{used} % of the arena hold blocks of {size} bytes");
        assert!(used <= 100);
    }
}

/// What blocks of 20,000 bytes and the like lose in a small heap, guests and short slabs, a large one does not.
#[test]
fn a_full_large_heap_is_payload_at_every_size() {
    for size in [1024, 20_000, 24_500, 28_600, 40_000, 49_000, 57_000] {
        let mut arena = Arena::new(72 * MIB);
        let mut heap = Heap::new(arena.brk());
        heap.brk_mut().set_cap(64 * MIB);
        let used = fill(&mut heap, size).len() * size * 100 / (64 * MIB);
        assert!(used >= 95, "{used} % of the arena hold blocks of {size} bytes");
    }
}

/// A growth step that does not fit is no reason to fail: what was asked for may still fit.
#[test]
fn the_last_bytes_below_the_cap_are_used() {
    let mut arena = Arena::new(8 * MIB);
    let mut heap = Heap::new(arena.brk());
    // The heap's first page is metadata, and everything else fits exactly.
    heap.brk_mut().set_cap(PAGE + 10 * PAGE);
    let ten: Vec<NonNull<u8>> = fill(&mut heap, PAGE);
    assert_eq!(ten.len(), 10, "all pages but the first are payload");
    assert_eq!(heap.stats().free_bytes, 0);
}

#[test]
fn after_running_out_one_free_block_is_enough() {
    let large = [56 * 1024 + 1, 60_000, 100_000, 300_000, MIB];
    for size in classes().into_iter().chain(large) {
        let mut arena = Arena::new(4 * MIB);
        let mut heap = Heap::new(arena.brk());
        heap.brk_mut().set_cap(2 * MIB);
        let payloads = fill(&mut heap, size);
        assert!(!payloads.is_empty(), "no room for {size} bytes");
        for payload in [payloads[payloads.len() / 2], payloads[0], payloads[payloads.len() - 1]] {
            free(&mut heap, payload);
            let again = get(&mut heap, size).unwrap_or_else(|| panic!("{size} bytes do not fit where they were"));
            assert_eq!(again, payload, "there is room for {size} bytes in one place only");
            assert!(heap.allocate(layout(size, 8)).is_err());
        }
        assert_eq!(heap.check(), Ok(()));
    }
}

/// Every slot that was freed is found, whether the heap expects the refusal or not.
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

/// Memory is returned while it is short. The slots that a class leaves then are found again.
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
