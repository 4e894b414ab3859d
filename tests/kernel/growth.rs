//! Growth and return on a break that nothing else moves.

use super::ledger::{Ledger, layout, some_layout};
use super::system::{current_break, resident};
use hmalloc::brk::{Brk, Linux};
use hmalloc::{BlockState, Heap, PAGE};
use support::calls::{KIB, MIB};
use support::child::{ARGUMENT, command, run, scenario};
use support::leaves::least_metadata;
use support::packages::program;
use support::pattern;
use support::random::Random;

/// What an empty heap may keep below the break after `trim(0)`: what aligns its start, and its first leaf.
fn remains() -> usize {
    PAGE + least_metadata(Linux.page_size())
}

/// Random operations on blocks of all kinds; contents are verified, and the whole heap every now and then.
fn churn(heap: &mut Heap<Linux>, operations: usize, size_bits: usize) {
    let (mut ledger, mut random) = (Ledger::new(400), Random::new(1));
    let others = heap.stats().live_blocks;
    for operation in 0..operations {
        let index = random.below(ledger.live.len().max(1));
        match random.below(10) {
            _ if ledger.live.is_empty() => ledger.allocate(heap, some_layout(&mut random, size_bits)).expect("memory"),
            0..=3 if ledger.live.len() < 400 => {
                ledger.allocate(heap, some_layout(&mut random, size_bits)).expect("memory")
            }
            4 if ledger.live.len() < 400 => {
                ledger.allocate_zeroed(heap, some_layout(&mut random, size_bits)).expect("memory")
            }
            5 => ledger.resize(heap, index, some_layout(&mut random, size_bits).size()),
            6 if operation % 64 == 0 => drop(heap.trim(random.below(MIB))),
            _ => ledger.free(heap, index),
        }
        if operation % 128 == 0 {
            assert_eq!(heap.check(), Ok(()));
            assert_eq!(heap.stats().live_blocks, others + ledger.live.len());
        }
    }
    ledger.free_all(heap);
    assert_eq!(heap.check(), Ok(()));
    assert_eq!(heap.stats().live_blocks, others);
}

#[test]
fn blocks_keep_their_contents_and_the_break_comes_back() {
    scenario(&blocks_keep_their_contents_and_the_break_comes_back, || {
        let start = current_break();
        let mut heap = Heap::new(Linux);
        churn(&mut heap, 6_000, 18);
        let stats = heap.stats();
        assert!(stats.peak_heap_bytes > MIB && stats.mapped_bytes == 0 && stats.foreign_bytes == 0, "{stats:?}");
        heap.trim(0);
        assert_eq!(heap.check(), Ok(()));
        assert!((start..=start + remains()).contains(&current_break()), "{:#x} from {start:#x}", current_break());
        // Once more from there: what was returned is zero again where zero is asked for.
        churn(&mut heap, 2_000, 18);
    });
}

#[test]
fn the_break_follows_what_is_in_use() {
    scenario(&the_break_follows_what_is_in_use, || {
        let start = current_break();
        let mut heap = Heap::new(Linux);
        let mut ledger = Ledger::new(64);
        for _ in 0..64 {
            ledger.allocate(&mut heap, layout(MIB)).expect("memory");
        }
        let full = current_break();
        assert!(full >= start + 64 * MIB);
        let stats = heap.stats();
        assert_eq!(full, start.next_multiple_of(PAGE) + stats.heap_bytes - stats.aside_bytes);
        ledger.free_all(&mut heap);
        assert!(current_break() <= start + 4 * MIB, "most of it is returned unasked");
        // Beside a block that large, less is returned unasked.
        let large = heap.allocate(layout(256 * MIB)).expect("memory");
        let free = heap.allocate(layout(12 * MIB)).expect("memory");
        // SAFETY: the block is not used.
        assert_eq!(unsafe { heap.free(free.as_ptr()) }, Ok(()));
        let before = current_break();
        let top = heap.blocks().last().expect("blocks");
        let free = if top.state == BlockState::Free { top.size } else { 0 };
        let given = heap.trim(512 * KIB);
        assert!(before - current_break() <= given, "what comes off the break is part of what was given");
        let top = heap.blocks().last().expect("blocks");
        assert_eq!((top.state, top.address + top.size), (BlockState::Free, current_break()));
        assert!(top.size <= 512 * KIB && top.size >= free.min(256 * KIB), "{top:?} of {free}");
        // SAFETY: the block is not used.
        assert_eq!(unsafe { heap.free(large.as_ptr()) }, Ok(()));
        heap.trim(0);
        assert!(current_break() <= start + remains());
        assert_eq!(heap.check(), Ok(()));
    });
}

#[test]
fn a_block_at_the_top_pins_addresses_but_not_memory() {
    scenario(&a_block_at_the_top_pins_addresses_but_not_memory, || {
        let mut heap = Heap::new(Linux);
        let mut ledger = Ledger::new(64);
        let empty = resident();
        for _ in 0..64 {
            ledger.allocate(&mut heap, layout(MIB)).expect("memory");
        }
        let mut pin = Ledger::new(1);
        pin.allocate(&mut heap, layout(MIB)).expect("memory");
        let pinned = pin.live[0].payload.addr().get();
        assert!(ledger.live.iter().all(|entry| entry.payload.addr().get() < pinned), "the pin is above all others");
        assert!(resident() >= empty + 64 * MIB, "every block was written");
        ledger.free_all(&mut heap);
        heap.trim(0);
        assert!(current_break() > pinned, "the pin keeps the break up");
        assert!(resident() <= empty + 2 * MIB, "{} KiB remain", (resident() - empty) / KIB);
        assert_eq!(heap.check(), Ok(()));
        // The pages that were returned are zero again.
        for _ in 0..64 {
            ledger.allocate_zeroed(&mut heap, layout(MIB)).expect("memory");
        }
        assert!(ledger.live.iter().all(|entry| entry.payload.addr().get() < pinned), "the addresses are used again");
        pin.verify();
        ledger.free_all(&mut heap);
        pin.free_all(&mut heap);
        assert_eq!(heap.stats().live_blocks, 0);
    });
}

#[test]
fn zeroed_memory_is_not_written_again() {
    scenario(&zeroed_memory_is_not_written_again, || {
        let mut heap = Heap::new(Linux);
        let empty = resident();
        let fresh = heap.allocate_zeroed(layout(64 * MIB)).expect("memory");
        assert!(resident() < empty + MIB, "fresh memory stays untouched");
        // SAFETY: the block is 64 MiB long, and zeroed by promise.
        let bytes = unsafe { std::slice::from_raw_parts_mut(fresh.as_ptr(), 64 * MIB) };
        assert_eq!(pattern::first_other_than(bytes, 0), None);
        bytes.fill(7);
        // SAFETY: `bytes` is used no more.
        assert_eq!(unsafe { heap.free(fresh.as_ptr()) }, Ok(()));
        let used = heap.allocate_zeroed(layout(64 * MIB)).expect("memory");
        // SAFETY: as above.
        let bytes = unsafe { std::slice::from_raw_parts(used.as_ptr(), 64 * MIB) };
        assert_eq!(pattern::first_other_than(bytes, 0), None, "memory used before is cleared");
    });
}

#[test]
fn locked_memory_cannot_be_discarded_and_is_still_cleared() {
    scenario(&locked_memory_cannot_be_discarded_and_is_still_cleared, || {
        // As much as an unprivileged process may lock.
        const LOCKED: usize = 4 * MIB;
        let mut heap = Heap::new(Linux);
        let mut ledger = Ledger::new(2);
        ledger.allocate(&mut heap, layout(LOCKED)).expect("memory");
        ledger.allocate(&mut heap, layout(PAGE * 2)).expect("memory");
        let payload = ledger.live[0].payload.as_ptr().cast::<libc::c_void>();
        // SAFETY: the block is live; locking and unlocking change no bytes, and a refused discard none either.
        unsafe {
            assert_eq!(libc::mlock(payload, LOCKED), 0, "RLIMIT_MEMLOCK allows {LOCKED} bytes");
            assert_eq!(libc::madvise(payload, LOCKED, libc::MADV_DONTNEED), -1, "the kernel keeps locked pages");
        }
        let locked = resident();
        ledger.free(&mut heap, 0);
        heap.trim(0);
        assert!(resident() + MIB > locked, "nothing of it was returned");
        assert_eq!(heap.check(), Ok(()));
        ledger.allocate_zeroed(&mut heap, layout(LOCKED)).expect("memory");
        assert_eq!(ledger.live[1].payload.as_ptr().cast(), payload, "the same memory is used again");
        ledger.free_all(&mut heap);
    });
}

#[test]
fn a_heap_outgrows_the_small_break_under_valgrind() {
    let test = &a_heap_outgrows_the_small_break_under_valgrind;
    if std::env::var_os(ARGUMENT).is_some() {
        scenario(test, || {
            let mut heap = Heap::new(Linux);
            let mut ledger = Ledger::new(32);
            for _ in 0..32 {
                ledger.allocate(&mut heap, layout(MIB)).expect("memory");
            }
            assert!(heap.stats().map_calls > 0, "valgrind's break ends after 8 MiB");
            churn(&mut heap, 300, 16);
            ledger.free_all(&mut heap);
            heap.trim(0);
            assert_eq!((heap.check(), heap.stats().mapped_bytes), (Ok(()), 0));
        });
    }
    let valgrind = program(&["valgrind"], "valgrind");
    let valgrind = valgrind.to_str().expect("a path in UTF-8");
    let ended = run(&mut command(&[valgrind, "--tool=none", "--quiet"], test, ""));
    assert!(ended.finished, "{ended:#?}");
}

/// Two heaps on one break, whose metadata does not meet, although both look for a room in the same places.
#[test]
fn the_metadata_of_two_heaps_lies_apart() {
    scenario(&the_metadata_of_two_heaps_lies_apart, || {
        let mut heaps = [Heap::new(Linux), Heap::new(Linux)];
        for _ in 0..3 {
            let mut ledgers = [Ledger::new(8), Ledger::new(8)];
            for _ in 0..8 {
                for (heap, ledger) in heaps.iter_mut().zip(&mut ledgers) {
                    ledger.allocate(heap, layout(MIB)).expect("memory");
                }
            }
            for (heap, ledger) in heaps.iter_mut().zip(&mut ledgers) {
                let stats = heap.stats();
                assert!(stats.mapped_bytes == 0 && stats.aside_bytes > 0, "{stats:?}");
                ledger.free_all(heap);
            }
            // The first returns its metadata, and the second may not take its place.
            heaps.iter_mut().for_each(|heap| _ = heap.trim(0));
            assert!(heaps.iter().all(|heap| heap.check() == Ok(())));
        }
    });
}
