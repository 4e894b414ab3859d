//! Requests at the limits: of memory, of alignment, of size, and of what is known to be zero.

use hmalloc::brk::{Brk, Emulated};
use hmalloc::{Block, Heap, OutOfMemory, PAGE, ResizeError};
use std::alloc::Layout;
use std::collections::BTreeSet;
use std::ptr::NonNull;
use support::arena::Arena;
use support::calls::{MIB, free, get, layout};
use support::pattern::first_other_than;
use support::setup::Setup;
use support::subject::EmulatedHeap;

/// The usable sizes of small blocks: one for each size class. The first few of a size may get larger ones.
fn classes() -> Vec<usize> {
    let mut arena = Arena::new(16 * MIB);
    let mut heap = Heap::new(arena.brk());
    let mut sizes = BTreeSet::new();
    let mut size = 1;
    while size <= 56 << 10 {
        let payloads: Vec<_> = (0..20).map(|_| get(&mut heap, size).expect("room")).collect();
        let usable = heap.usable_size(payloads[19].as_ptr()).expect("a live payload");
        sizes.insert(usable);
        payloads.into_iter().for_each(|payload| free(&mut heap, payload));
        size = usable + 1;
    }
    assert!(sizes.len() > 40, "a heap with so few classes wastes memory: {sizes:?}");
    sizes.into_iter().collect()
}

/// Fills a heap under a cap with blocks of `size` bytes.
fn fill(heap: &mut EmulatedHeap<'_>, size: usize) -> Vec<NonNull<u8>> {
    std::iter::from_fn(|| get(heap, size)).collect()
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
fn every_alignment_is_served() {
    let setup = Setup { offset: 272, ..Setup::plain(64 * MIB) };
    setup.run(|world| {
        for log in 0..=20 {
            let mut payloads = Vec::new();
            for size in [0, 1, 24, 100, 1000, 5000, 16_384, 16_385, 40_000, 57_344, 57_345, 100_000] {
                payloads.push(world.allocate(layout(size, 1 << log))?.ok_or("room")?);
                let zeroed = world.allocate_zeroed(layout(size, 1 << log))?.ok_or("room")?;
                payloads.push(world.resize(zeroed, layout(size * 2 + 1, 1 << log))?.ok_or("room")?);
            }
            payloads.into_iter().try_for_each(|payload| world.free_sized(payload))?;
        }
        Ok(())
    });
}

/// Resizing may ask for more alignment than the block has.
#[test]
fn resizing_reaches_a_larger_alignment() {
    Setup::plain(64 * MIB).run(|world| {
        for size in [10, 1000, 40_000, 60_000] {
            // Two blocks, so that at most one is aligned by chance.
            for _ in 0..2 {
                let payload = world.allocate(layout(size, 8))?.ok_or("room")?;
                world.resize(payload, layout(size, MIB))?.ok_or("room")?;
            }
        }
        Ok(())
    });
}

#[test]
fn empty_requests_get_blocks_of_their_own() {
    Setup::plain(4 * MIB).run(|world| {
        let mut starts = BTreeSet::new();
        for log in 0..8 {
            starts.insert(world.allocate(layout(0, 1 << log))?.ok_or("room")?);
            starts.insert(world.allocate_zeroed(layout(0, 1 << log))?.ok_or("room")?);
            let payload = world.allocate(layout(100_000, 8))?.ok_or("room")?;
            starts.insert(world.resize(payload, layout(0, 1 << log))?.ok_or("room")?);
        }
        assert_eq!(starts.len(), 24);
        Ok(())
    });
}

#[test]
fn impossible_sizes_change_nothing() {
    let mut arena = Arena::new(4 * MIB);
    let mut heap = Heap::new(arena.brk());
    let payload = get(&mut heap, 100).expect("room");
    let most = isize::MAX as usize;
    let before: Vec<Block> = heap.blocks().collect();
    let calls = heap.brk().calls();
    for align_log in 0..usize::BITS - 1 {
        let align = 1_usize << align_log;
        for size in [most, most - 15, most - PAGE, most - MIB, most / 2, 1 << 47, 5 * MIB] {
            let Ok(layout) = Layout::from_size_align(size.min((most + 1) - align), align) else { continue };
            if layout.size() < 5 * MIB {
                continue;
            }
            assert_eq!(heap.allocate(layout), Err(OutOfMemory), "{layout:?}");
            assert_eq!(heap.allocate_zeroed(layout), Err(OutOfMemory), "{layout:?}");
            // SAFETY: the payload is live, and stays so when it cannot be resized.
            let resized = unsafe { heap.resize(payload.as_ptr(), layout) };
            assert_eq!(resized, Err(ResizeError::OutOfMemory), "{layout:?}");
        }
        if align > 4 * MIB {
            let aligned = heap.allocate(layout(1, align));
            let lucky = aligned.is_ok_and(|payload| payload.addr().get().is_multiple_of(align));
            assert!(aligned == Err(OutOfMemory) || lucky, "alignment {align}: {aligned:?}");
        }
    }
    assert_eq!(before, heap.blocks().collect::<Vec<_>>());
    assert_eq!(heap.check(), Ok(()));
    assert!(heap.brk().calls() - calls < 2000 * 3, "an impossible size is not tried over and over");
    free(&mut heap, payload);
}

/// What the emulated break has to do for [`zeroed_memory_is_zero_after_lowering`] to mean anything: bytes that were
/// given up come back stale in the page where the lowered break stood, and zero in whole pages.
#[test]
fn a_dirty_break_returns_stale_bytes() {
    for page in [4096, 65_536] {
        let mut arena = Arena::new(4 * MIB);
        let start = arena.start();
        let mut brk: Emulated<'_> = arena.brk();
        brk.set_page_size(page);
        brk.set_dirty(true);
        let (low, high) = (start + page + 100, start + 5 * page);
        // SAFETY: nobody uses what lies above.
        unsafe {
            brk.move_break(brk.current(), high).expect("room");
            brk.move_break(high, low).expect("a way down");
            brk.move_break(low, high).expect("room");
        }
        // SAFETY: both ranges are in the arena, below the break, and nobody else's.
        let bytes = |from: usize, to: usize| unsafe {
            std::slice::from_raw_parts(std::ptr::with_exposed_provenance::<u8>(from), to - from)
        };
        assert_eq!(first_other_than(bytes(low, start + 2 * page), 0), Some(0), "the rest of the page is stale");
        assert_eq!(first_other_than(bytes(start + 2 * page, high), 0), None, "whole pages are zero");
    }
}

#[test]
fn zeroed_memory_is_zero_after_lowering() {
    for page in [4096, 65_536] {
        for offset in [0, 16, 5000, 60_000] {
            let setup = Setup { offset, page, dirty: true, ..Setup::plain(32 * MIB) };
            setup.run(|world| {
                let mut kept = Vec::new();
                for round in 0..30 {
                    // Odd counts of pages, so that the break comes to stand within the kernel's larger pages.
                    let large = world.allocate(layout((2 * round + 1) * PAGE, 8))?.ok_or("room")?;
                    kept.push(world.allocate_zeroed(layout(PAGE, 8))?.ok_or("room")?);
                    let top = world.allocate_zeroed(layout(700_000, 8))?.ok_or("room")?;
                    world.free(top)?;
                    world.trim(round % 3 * PAGE)?;
                    world.free(large)?;
                }
                Ok(())
            });
        }
    }
}

/// A vector that grows by little at a time is copied a few times per doubling, not once per size class.
#[test]
fn a_block_that_grows_by_little_moves_seldom() {
    let mut arena = Arena::new(4 * MIB);
    let mut heap = Heap::new(arena.brk());
    let (mut payload, mut moves) = (get(&mut heap, 128).expect("room"), 0);
    for size in (136..=57_344).step_by(8) {
        // SAFETY: the block is live, and only what the heap answers is used from here on.
        let grown = unsafe { heap.resize(payload.as_ptr(), layout(size, 8)) }.expect("room");
        moves += usize::from(grown != payload);
        payload = grown;
    }
    // Nine doublings of up to eight classes each.
    assert!(moves <= 9 * 4, "{moves} moves");
}

/// Free spans that are too short for a slab of the usual length are used all the same before the break rises.
#[test]
fn slabs_take_short_free_spans_before_the_break_rises() {
    let mut arena = Arena::new(64 * MIB);
    let mut heap = Heap::new(arena.brk());
    // A heap so large that slabs are several pages long, every other page of which is free.
    let two_pages = layout(2 * PAGE, 2 * PAGE);
    let pages: Vec<_> = (0..2000).map(|_| heap.allocate(two_pages).expect("room")).collect();
    pages.iter().step_by(2).for_each(|&payload| free(&mut heap, payload));
    let (calls, free_bytes) = (heap.brk().calls(), heap.stats().free_bytes);
    let small = free_bytes / 2 / 1024;
    assert!((0..small).all(|_| get(&mut heap, 1024).is_some()));
    assert_eq!(heap.brk().calls(), calls, "the break rose while {free_bytes} bytes were free");
}
