//! Where the break goes: how often it moves, how far it is lowered again, and that a trim says so.

use hmalloc::{BlockState, Heap, PAGE};
use std::ptr::NonNull;
use support::arena::Arena;
use support::calls::{MIB, free, get, layout};
use support::leaves::least_metadata;
use support::oracle::Verdict;
use support::setup::Setup;
use support::world::EmulatedWorld;

/// What an empty, trimmed heap may keep below the break: the way to the first page boundary, and the first leaf.
pub(crate) const BOUND: usize = PAGE + least_metadata(4096);

/// An order in which to free `count` blocks.
fn orders(count: usize) -> [Vec<usize>; 4] {
    let forth: Vec<usize> = (0..count).collect();
    let back = forth.iter().rev().copied().collect();
    let evens_first = forth.iter().step_by(2).chain(forth.iter().skip(1).step_by(2)).copied().collect();
    let mut shuffled = forth.clone();
    shuffled.sort_by_key(|index| index.wrapping_mul(2_654_435_761) % 65_521);
    [forth, back, evens_first, shuffled]
}

#[test]
fn an_empty_heap_gives_the_break_back() {
    let mixes: [&dyn Fn(usize) -> usize; 5] =
        [&|_| 24, &|index| 1 << (index % 15), &|index| index * 61, &|index| 20_000 + index * 10, &|index| {
            index % 3 * 300_000
        }];
    for (mix, size) in mixes.iter().enumerate() {
        for (order, indices) in orders(400).iter().enumerate() {
            let setup = Setup { offset: 1000 * order, ..Setup::plain(200 * MIB) };
            let mut arena = setup.memory();
            let start = arena.start();
            let mut heap = Heap::new(arena.brk());
            let payloads: Vec<NonNull<u8>> = (0..400).map(|index| get(&mut heap, size(index)).expect("room")).collect();
            indices.iter().for_each(|index| free(&mut heap, payloads[*index]));
            heap.trim(0);
            let left = heap.brk().current() - start;
            assert!(left <= BOUND, "{left} bytes left after mix {mix} in order {order}");
            assert_eq!(heap.check(), Ok(()));
            assert_eq!((heap.stats().live_blocks, heap.stats().live_bytes), (0, 0));
            assert!(get(&mut heap, size(7)).is_some(), "an emptied heap serves again");
        }
    }
}

/// A first request that needs more than one leaf leaves no more than a small one.
#[test]
fn a_large_first_request_leaves_no_more_than_a_small_one() {
    for size in [MIB, 3 * MIB, 16 * MIB, 60 * MIB, 65 * MIB] {
        let mut arena = Arena::new(128 * MIB);
        let start = arena.start();
        let mut heap = Heap::new(arena.brk());
        let payload = get(&mut heap, size).expect("room");
        free(&mut heap, payload);
        heap.trim(0);
        let left = heap.brk().current() - start;
        assert!(left <= BOUND, "{left} bytes left of {size}");
        assert_eq!((heap.check(), heap.stats().free_bytes), (Ok(()), 0));
        // What was returned with the rest is made anew when it is needed.
        let payload = get(&mut heap, size).expect("room");
        assert_eq!(heap.check(), Ok(()));
        free(&mut heap, payload);
    }
}

/// What a heap without a clock does with the same block at its end, over and over: how often the break moves in 1000
/// rounds, and how much is free afterwards.
fn loop_at_the_edge(live: usize, size: usize) -> (usize, usize) {
    let mut arena = Arena::new(128 * MIB);
    let mut heap = Heap::new(arena.brk());
    let pin = get(&mut heap, live).expect("room");
    for _ in 0..1000 {
        let payload = get(&mut heap, size).expect("room");
        free(&mut heap, payload);
    }
    let (calls, free_bytes) = (heap.brk().calls(), heap.stats().free_bytes);
    assert_eq!(heap.stats().brk_calls, calls);
    free(&mut heap, pin);
    assert_eq!(heap.check(), Ok(()));
    (calls, free_bytes)
}

/// After a few mistakes the heap keeps as much as lives beside it.
#[test]
fn a_loop_at_the_edge_moves_the_break_a_bounded_number_of_times() {
    for size in [100, 20_000, 256 << 10, MIB, 2 * MIB, 5 * MIB, 17 * MIB, 40 * MIB] {
        let (calls, _) = loop_at_the_edge(size + 6 * MIB, size);
        assert!(calls <= 16, "{calls} moves of the break for blocks of {size} bytes");
    }
    for size in [100, 20_000, 256 << 10, MIB - 4 * PAGE] {
        let (calls, _) = loop_at_the_edge(3 * PAGE, size);
        assert!(calls <= 4, "{calls} moves of the break for blocks of {size} bytes and nothing else");
    }
}

/// Where next to nothing lives beside it, what is freed is returned each time, in one call: no round is known to be the
/// last.
#[test]
fn a_loop_that_leaves_nothing_behind_keeps_nothing() {
    for size in [2 * MIB, 5 * MIB, 17 * MIB] {
        let (calls, left) = loop_at_the_edge(3 * PAGE, size);
        assert!(left <= 2 * MIB + size / 64, "{left} bytes are kept for blocks of {size} bytes");
        assert!(calls <= 2 * 1000 + 2, "{calls} moves of the break for blocks of {size} bytes");
    }
}

/// A clock shows that the rounds are short, and many. Then the heap keeps what they need, until a second has passed.
#[test]
fn a_fast_loop_keeps_what_it_needs_for_a_second() {
    for size in [2 * MIB, 5 * MIB, 17 * MIB] {
        let mut arena = Arena::new(128 * MIB);
        let mut heap = Heap::new(arena.brk());
        for round in 0..2000 {
            heap.brk_mut().set_clock(1000 + round / 10);
            let payload = get(&mut heap, size).expect("room");
            free(&mut heap, payload);
        }
        let calls = heap.brk().calls();
        assert!(calls <= 10, "{calls} moves of the break for blocks of {size} bytes");
        assert!(heap.stats().heap_bytes >= size);
        heap.brk_mut().set_clock(10_000);
        for _ in 0..200 {
            let payload = get(&mut heap, 4 * PAGE).expect("room");
            free(&mut heap, payload);
        }
        let left = heap.stats().heap_bytes;
        assert!(left <= 2 * MIB + size / 64, "{left} bytes are kept for blocks of {size} bytes, seconds later");
        assert_eq!(heap.check(), Ok(()));
    }
}

/// A vector that doubles from 32 bytes, dropped and grown again.
#[test]
fn doubling_vectors_move_the_break_a_bounded_number_of_times() {
    for (largest, most) in [(512 << 10, 20), (8 * MIB, 100)] {
        let mut arena = Arena::new(128 * MIB);
        let mut heap = Heap::new(arena.brk());
        heap.brk_mut().set_clock(1000);
        for _ in 0..200 {
            let mut size = 32;
            let mut payload = get(&mut heap, size).expect("room");
            while size < largest {
                size *= 2;
                // SAFETY: the old payload is forgotten for the new one.
                payload = unsafe { heap.resize(payload.as_ptr(), layout(size, 8)) }.expect("room");
            }
            free(&mut heap, payload);
        }
        let calls = heap.brk().calls();
        assert!(calls <= most, "{calls} moves of the break for vectors of {largest} bytes");
    }
}

/// Interleaved growth of several vectors, a stack of blocks that comes and goes, at the edge.
#[test]
fn a_stack_at_the_edge_moves_the_break_a_bounded_number_of_times() {
    let mut arena = Arena::new(128 * MIB);
    let mut heap = Heap::new(arena.brk());
    heap.brk_mut().set_clock(1000);
    for _ in 0..1000 {
        let payloads: Vec<NonNull<u8>> = (0..30).map(|_| get(&mut heap, 200_000).expect("room")).collect();
        payloads.into_iter().rev().for_each(|payload| free(&mut heap, payload));
    }
    let calls = heap.brk().calls();
    assert!(calls <= 100, "{calls} moves of the break");
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

#[test]
fn trim_gives_back_what_it_says_and_keeps_what_it_is_told() {
    Setup::plain(64 * MIB).run(trims);
}

/// The free bytes below the break.
fn free_top(world: &EmulatedWorld<'_>) -> usize {
    let top = world.last.blocks.last().filter(|block| block.state == BlockState::Free);
    top.map_or(0, |block| block.size)
}

fn trims(world: &mut EmulatedWorld<'_>) -> Verdict {
    world.allocate(layout(100, 8))?;
    for keep in [0, 1, PAGE, 3 * PAGE + 1, 600_000] {
        let large = world.allocate(layout(900_000, 8))?.ok_or("room")?;
        world.free(large)?;
        let before = free_top(world);
        assert!(before >= 900_000, "a heap that small keeps its top");
        let given = world.trim(keep)?;
        let left = free_top(world);
        assert_eq!(given, before - left);
        assert!(left >= keep, "{left} bytes left when {keep} were to be kept");
        assert!(left <= keep + 2 * PAGE, "{left} bytes left when only {keep} were to be kept");
        assert_eq!(world.trim(keep)?, 0, "there is nothing more to return");
    }
    Ok(())
}

#[test]
fn refused_lowering_changes_nothing() {
    Setup::plain(64 * MIB).run(|world| {
        let small = world.allocate(layout(100, 8))?.ok_or("room")?;
        let large = world.allocate(layout(20 * MIB, 8))?.ok_or("room")?;
        world.brk().refuse_lowering(true);
        // A heap that returns so much by itself is refused as well, and goes on.
        world.free(large)?;
        let before = world.last.clone();
        assert_eq!(world.trim(0)?, 0);
        world.last.unchanged_since(&before)?;
        let again = world.allocate(layout(20 * MIB, 8))?.ok_or("room that was never returned")?;
        assert_eq!(again, large);
        world.free(again)?;
        world.brk().refuse_lowering(false);
        assert!(world.trim(0)? >= 20 * MIB);
        world.free(small)?;
        Ok(())
    });
}

#[test]
fn the_statistics_remember_the_peak_and_count_the_moves() {
    let mut arena = Arena::new(64 * MIB);
    let mut heap = Heap::new(arena.brk());
    assert_eq!(heap.stats().heap_bytes, 0);
    assert_eq!(heap.brk().calls(), 0, "a heap that serves nothing asks for nothing");
    let start = heap.brk().current();
    let mut peak = 0;
    for size in [100, 10 * MIB, MIB, 20 * MIB, 5] {
        let payload = get(&mut heap, size).expect("room");
        assert_eq!(heap.stats().heap_bytes - heap.stats().aside_bytes, heap.brk().current() - start);
        peak = peak.max(heap.stats().heap_bytes);
        free(&mut heap, payload);
        heap.trim(0);
        assert_eq!(heap.stats().heap_bytes - heap.stats().aside_bytes, heap.brk().current() - start);
        assert_eq!(heap.stats().peak_heap_bytes, peak);
        assert_eq!(heap.stats().brk_calls, heap.brk().calls());
    }
    assert!(peak >= 20 * MIB && heap.stats().heap_bytes <= BOUND);
}
