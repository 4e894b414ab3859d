//! Where the break goes: how far it comes back, how often it moves, and what the heap does when it may not.

use hmalloc::{BlockState, Heap, PAGE};
use std::ptr::NonNull;
use support::arena::Arena;
use support::calls::{MIB, free, get, layout};
use support::leaves::least_metadata;
use support::oracle::Verdict;
use support::setup::Setup;
use support::watched::{Call, Watched};
use support::world::EmulatedWorld;

/// What an empty, trimmed heap may keep below the break: the way to the first page boundary, and the first leaf.
const BOUND: usize = PAGE + least_metadata(4096);

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

/// A first request so large that one leaf does not do leaves no more than a small one.
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
        // What was given up with the rest is made anew when it is needed.
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

/// The first few mistakes teach the heap to keep as much as lives beside it.
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

/// Where next to nothing lives beside it, what is freed goes back each time, in one call: nobody knows which round is the
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
        assert_eq!(world.trim(keep)?, 0, "there is nothing more to give back");
    }
    Ok(())
}

#[test]
fn refused_lowering_changes_nothing() {
    Setup::plain(64 * MIB).run(|world| {
        let small = world.allocate(layout(100, 8))?.ok_or("room")?;
        let large = world.allocate(layout(20 * MIB, 8))?.ok_or("room")?;
        world.brk().refuse_lowering(true);
        // A heap that gives so much back by itself is refused as well, and does not mind.
        world.free(large)?;
        let before = world.last.clone();
        assert_eq!(world.trim(0)?, 0);
        world.last.unchanged_since(&before)?;
        let again = world.allocate(layout(20 * MIB, 8))?.ok_or("room that was never given back")?;
        assert_eq!(again, large);
        world.free(again)?;
        world.brk().refuse_lowering(false);
        assert!(world.trim(0)? >= 20 * MIB);
        world.free(small)?;
        Ok(())
    });
}

#[test]
fn a_foreign_raise_is_fenced_and_never_lowered() {
    for bytes in [1, 100, 4096, PAGE, PAGE + 1, MIB] {
        let setup = Setup { offset: 48, ..Setup::plain(16 * MIB) };
        setup.run(|world| {
            let below = world.allocate(layout(1000, 8))?.ok_or("room")?;
            world.foreign_raise(bytes)?;
            let (from, to) = world.oracle.foreign[0];
            let above = world.allocate(layout(3 * MIB, 8))?.ok_or("room")?;
            assert!(below < from && to <= above, "{below:#x} {from:#x} {to:#x} {above:#x}");
            let foreign = world.last.stats.foreign_bytes;
            assert!((bytes..=bytes + 2 * PAGE).contains(&foreign), "{foreign} bytes are fenced for {bytes}");
            world.free(above)?;
            world.free(below)?;
            world.trim(0)?;
            assert!(world.break_now() >= to, "the break is in someone else's memory");
            assert!(world.break_now() - to <= BOUND, "what lies above the fence is given back");
            world.foreign_intact()?;
            // The pages below the fence serve again.
            let again = world.allocate(layout(1000, 8))?.ok_or("room")?;
            assert!(again < from, "{again:#x} is above {from:#x}");
            Ok(())
        });
    }
}

#[test]
fn a_foreign_raise_that_is_undone_leaves_no_trace() {
    Setup::plain(16 * MIB).run(|world| {
        world.allocate(layout(1000, 8))?;
        world.foreign_raise(100_000)?;
        world.foreign_lower(100_000)?;
        world.allocate(layout(3 * MIB, 8))?;
        assert_eq!(world.last.stats.foreign_bytes, 0);
        let tiles = world.last.blocks.windows(2).all(|pair| pair[0].address + pair[0].size == pair[1].address);
        assert!(tiles, "{:x?}", world.last.blocks);
        Ok(())
    });
}

/// Someone lowers the break into the heap's free top. What is gone is gone; nothing live is lost with it.
#[test]
fn a_foreign_lowering_into_the_free_top_is_survived() {
    for bytes in [1, 4096, PAGE, 100_000] {
        let mut arena = Arena::new(16 * MIB);
        let end = arena.end();
        let mut heap = Heap::new(arena.brk());
        let kept = get(&mut heap, 1000).expect("room");
        let large = get(&mut heap, 400_000).expect("room");
        free(&mut heap, large);
        let before = heap.brk().current();
        // SAFETY: what lies there is free, and the heap is asked for nothing before it has looked at the break.
        unsafe { heap.brk_mut().foreign_move_below(-isize::try_from(bytes).expect("a small move")) };
        let lowered = heap.brk().current();
        assert_eq!(lowered, before - bytes);
        // More than there is free, so that the heap has to ask for the break and sees that it is not where it was.
        let payload = get(&mut heap, 2 * MIB).expect("room");
        let start = payload.addr().get();
        assert!(start + 2 * MIB <= heap.brk().current() && heap.brk().current() <= end);
        assert_eq!(heap.check(), Ok(()), "after a foreign lowering by {bytes}");
        let rest = get(&mut heap, 300_000).expect("room");
        assert!(rest.addr().get() + 300_000 <= heap.brk().current());
        [kept, payload, rest].into_iter().for_each(|payload| free(&mut heap, payload));
        heap.trim(0);
        assert_eq!(heap.check(), Ok(()), "trimmed after a foreign lowering by {bytes}");
    }
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

#[test]
fn a_refused_break_falls_back_to_mappings() {
    let setup = Setup { mappings: 16 * MIB, ..Setup::plain(32 * MIB) };
    for moves in 0..3 {
        setup.run(|world| {
            world.brk().fail_after(moves);
            let mut payloads = Vec::new();
            for size in [10, 5000, 50_000, 2 * MIB, 100, MIB] {
                payloads.push(world.allocate_zeroed(layout(size, 8))?.ok_or("room in a mapping")?);
            }
            assert!(world.last.stats.mapped_bytes >= MIB, "{:?}", world.last.stats);
            assert!(world.last.stats.map_calls >= 1, "{:?}", world.last.stats);
            payloads.into_iter().try_for_each(|payload| world.free(payload))?;
            world.trim(0)?;
            let left = world.last.stats.mapped_bytes;
            assert!(left <= 512 << 10, "{left} bytes stay mapped for an empty heap");
            Ok(())
        });
    }
}

/// One live block at the top pins the break. The pages below it are given back all the same.
#[test]
fn free_pages_below_a_pinned_top_are_given_back() {
    let setup = Setup { discard: true, ..Setup::plain(32 * MIB) };
    setup.run(|world| {
        let large = world.allocate(layout(8 * MIB, 8))?.ok_or("room")?;
        let pin = world.allocate(layout(100_000, 8))?.ok_or("room")?;
        world.free(large)?;
        world.trim(0)?;
        // The emulated break clears what is given back: the pages held a pattern, and hold nothing now.
        let middle = std::ptr::with_exposed_provenance::<u8>(large + 4 * MIB);
        // SAFETY: the byte lies in the arena, below the break, in a free span that no one writes to.
        assert_eq!(unsafe { middle.read_volatile() }, 0, "the free pages were kept");
        world.allocate_zeroed(layout(8 * MIB, 8))?;
        world.free(pin)?;
        Ok(())
    });
}

/// Nobody asks for it: a heap whose end has become free lowers the break, and keeps a part for what comes next.
#[test]
fn a_large_free_top_goes_back_unasked() {
    let mut arena = Arena::new(64 * MIB);
    let mut heap = Heap::new(arena.brk());
    let pin = get(&mut heap, 100).expect("room");
    let payload = get(&mut heap, 40 * MIB).expect("room");
    let high = heap.brk().current();
    free(&mut heap, payload);
    let given = high - heap.brk().current();
    assert!(given >= 20 * MIB, "only {given} bytes came back");
    assert!(heap.stats().free_bytes >= MIB / 8, "nothing is kept");
    free(&mut heap, pin);
    assert_eq!(heap.check(), Ok(()));
}

/// A block that stays above them keeps the break up, so the pages below are discarded instead.
#[test]
fn large_free_spans_below_a_block_are_discarded_unasked() {
    let mut arena = Arena::new(64 * MIB);
    let mut brk = arena.brk();
    brk.allow_discard(true);
    let mut heap = Heap::new(brk);
    let payload = get(&mut heap, 20 * MIB).expect("room");
    let pin = get(&mut heap, 20_000).expect("room");
    // SAFETY: the block is live and this long.
    unsafe { payload.write_bytes(7, 20 * MIB) };
    free(&mut heap, payload);
    // SAFETY: the arena outlives the heap, and its bytes have been written.
    let kept = (0..20 * MIB).step_by(PAGE).filter(|&offset| unsafe { payload.add(offset).read() } != 0).count();
    assert!(kept * PAGE <= MIB, "{kept} pages were kept");
    assert_eq!(heap.check(), Ok(()));
    free(&mut heap, pin);
}

#[test]
fn an_empty_region_is_unmapped_unasked() {
    let mut arena = Arena::new(64 * MIB);
    let mut brk = arena.brk();
    brk.allow_mappings(40 * MIB);
    let mut heap = Heap::new(brk);
    get(&mut heap, 100).expect("room");
    heap.brk_mut().fail_after(0);
    let payload = get(&mut heap, 20 * MIB).expect("a region");
    assert!(heap.brk().mapped() > 20 * MIB);
    free(&mut heap, payload);
    assert_eq!((heap.brk().mapped(), heap.stats().mapped_bytes, heap.check()), (0, 0, Ok(())));
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

/// Someone lowers the break to where the last block starts, right before that is freed: what is above it is not the heap's
/// any more, and nothing is asked of the kernel there.
#[test]
fn nothing_is_returned_above_a_break_that_was_lowered_to_the_top() {
    let mut arena = Arena::new(64 * MIB);
    let mut heap = Heap::new(Watched::new(arena.brk()));
    heap.brk_mut().brk.allow_discard(true);
    (0..2).for_each(|_| _ = get(&mut heap, 5 * MIB).expect("room"));
    let last = get(&mut heap, 8 * MIB).expect("room");
    let now = heap.brk().brk.current();
    let by = last.addr().get() as isize - now as isize;
    // SAFETY: nothing above the break is used then: the block is only freed, which looks at no byte of it.
    unsafe { heap.brk_mut().brk.foreign_move_below(by) };
    heap.brk_mut().log.clear();
    free(&mut heap, last);
    for call in &heap.brk().log {
        let Call::Discarded(range) = call else { continue };
        assert!(range.end <= last.addr().get(), "{range:x?} was discarded above the break");
    }
    assert_eq!(heap.check(), Ok(()));
}
