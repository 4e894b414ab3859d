//! A kernel that refuses: limits, mappings in the way, filters.

use super::ledger::{Ledger, Picture, layout};
use super::system::{address_space, block_the_break, current_break, data, limit_data, refuse, unblock_the_break};
use hmalloc::brk::Linux;
use hmalloc::{BlockState, Heap, OutOfMemory, PAGE};
use support::calls::{KIB, MIB};
use support::child::scenario;

/// Blocks of many kinds, so that there is something to lose.
fn some_blocks(heap: &mut Heap<Linux>) -> Ledger {
    let mut ledger = Ledger::new(400);
    for round in 0..100 {
        ledger.allocate(heap, layout(round * 7)).expect("memory");
        ledger.allocate(heap, layout(round * 300)).expect("memory");
        ledger.allocate(heap, layout(40 * KIB)).expect("memory");
    }
    (0..100).for_each(|index| ledger.free(heap, index));
    ledger
}

#[test]
fn a_data_limit_below_growth_answers_out_of_memory() {
    scenario(&a_data_limit_below_growth_answers_out_of_memory, || {
        let mut heap = Heap::new(Linux);
        let mut ledger = some_blocks(&mut heap);
        let before = Picture::of(&heap);
        // The kernel counts private mappings, too: the fallback is refused with the break.
        limit_data(Some(data() + MIB));
        for _ in 0..3 {
            assert_eq!(heap.allocate(layout(16 * MIB)), Err(OutOfMemory));
            assert_eq!(heap.allocate_zeroed(layout(16 * MIB)), Err(OutOfMemory));
            assert_eq!(Picture::of(&heap), before);
        }
        ledger.verify();
        // What is free is still handed out, until even a small block finds no room.
        while ledger.live.len() < 399 && ledger.allocate(&mut heap, layout(32 * KIB)).is_ok() {}
        assert!(ledger.live.len() < 399, "the limit is met at last");
        ledger.verify();
        assert_eq!(heap.check(), Ok(()));
        limit_data(None);
        ledger.allocate(&mut heap, layout(16 * MIB)).expect("the limit is lifted");
        ledger.free_all(&mut heap);
        assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 0));
    });
}

#[test]
fn a_data_limit_below_what_is_used_refuses_lowering() {
    scenario(&a_data_limit_below_what_is_used_refuses_lowering, || {
        let mut heap = Heap::new(Linux);
        let mut ledger = Ledger::new(5);
        (0..4).for_each(|_| ledger.allocate(&mut heap, layout(200 * KIB)).expect("memory"));
        // One free stretch at the top and nothing else that could be returned.
        (0..3).for_each(|_| ledger.free(&mut heap, ledger.live.len() - 1));
        let before = Picture::of(&heap);
        limit_data(Some(0));
        assert_eq!(heap.trim(0), 0);
        assert_eq!(Picture::of(&heap), before);
        assert_eq!(heap.check(), Ok(()));
        ledger.allocate(&mut heap, layout(300 * KIB)).expect("the top is still there");
        ledger.free(&mut heap, 1);
        limit_data(None);
        let high = current_break();
        let given = heap.trim(0);
        assert!(given >= 500 * KIB && high - current_break() == given, "{given}");
        ledger.free_all(&mut heap);
        assert_eq!(heap.check(), Ok(()));
    });
}

#[test]
fn a_mapping_above_the_break_leads_to_regions() {
    scenario(&a_mapping_above_the_break_leads_to_regions, || {
        let mut heap = Heap::new(Linux);
        let mut ledger = some_blocks(&mut heap);
        let (blocker, break_before, space_before) = (block_the_break(), current_break(), address_space());
        for round in 0..64 {
            ledger.allocate(&mut heap, layout(MIB)).expect("a region");
            ledger.allocate_zeroed(&mut heap, layout(round * 100)).expect("a region");
        }
        assert_eq!(current_break(), break_before);
        let stats = heap.stats();
        assert!(stats.mapped_bytes >= 60 * MIB && stats.mapped_bytes < 128 * MIB, "{stats:?}");
        assert!((1..32).contains(&stats.map_calls), "regions grow with the heap: {stats:?}");
        assert_eq!(heap.check(), Ok(()));
        ledger.free_all(&mut heap);
        heap.trim(0);
        assert_eq!((heap.check(), heap.stats().mapped_bytes), (Ok(()), 0));
        assert!(address_space() <= space_before + MIB, "the regions are unmapped");
        // With the mapping gone the break is used again.
        unblock_the_break(blocker);
        ledger.allocate(&mut heap, layout(16 * MIB)).expect("memory");
        assert_eq!(heap.stats().mapped_bytes, 0);
        ledger.free_all(&mut heap);
    });
}

#[test]
fn a_gibibyte_fits_behind_a_blocked_break() {
    scenario(&a_gibibyte_fits_behind_a_blocked_break, || {
        block_the_break();
        let mut heap = Heap::new(Linux);
        let sizes = [512 * MIB, 256 * MIB, 128 * MIB, 64 * MIB, 64 * MIB];
        let payloads = sizes.map(|size| {
            let payload = heap.allocate(layout(size)).expect("a region");
            // SAFETY: the block is `size` bytes long.
            unsafe {
                payload.write(1);
                payload.add(size - 1).write(2);
            }
            payload
        });
        let mut small = Ledger::new(1000);
        (0..1000).for_each(|round| small.allocate(&mut heap, layout(round)).expect("a region"));
        let stats = heap.stats();
        assert!(stats.live_bytes >= 1 << 30 && stats.mapped_bytes == stats.heap_bytes, "{stats:?}");
        assert_eq!(heap.check(), Ok(()));
        small.free_all(&mut heap);
        for (payload, size) in payloads.into_iter().zip(sizes) {
            // SAFETY: both ends of the block were written above.
            assert_eq!(unsafe { (payload.read(), payload.add(size - 1).read()) }, (1, 2));
            // SAFETY: the block is not used any more.
            assert_eq!(unsafe { heap.free(payload.as_ptr()) }, Ok(()));
        }
        heap.trim(0);
        assert_eq!((heap.check(), heap.stats().heap_bytes), (Ok(()), 0));
    });
}

/// Filters answer with an errno where the kernel answers with the old break; both happen.
#[test]
fn a_filter_that_refuses_brk_leads_to_regions() {
    scenario(&a_filter_that_refuses_brk_leads_to_regions, || {
        refuse([libc::SYS_brk], libc::EPERM);
        assert_eq!(current_break(), usize::MAX, "the C library's -1");
        let mut heap = Heap::new(Linux);
        let mut ledger = some_blocks(&mut heap);
        let stats = heap.stats();
        assert!(stats.mapped_bytes == stats.heap_bytes && stats.map_calls > 0, "{stats:?}");
        assert_eq!(heap.check(), Ok(()));
        ledger.free_all(&mut heap);
        heap.trim(0);
        assert_eq!((heap.check(), heap.stats().heap_bytes), (Ok(()), 0));
    });
}

#[test]
fn a_filter_that_comes_later_leads_to_regions() {
    scenario(&a_filter_that_comes_later_leads_to_regions, || {
        let mut heap = Heap::new(Linux);
        let mut ledger = some_blocks(&mut heap);
        refuse([libc::SYS_brk], libc::ENOMEM);
        (0..100).for_each(|_| ledger.allocate(&mut heap, layout(100 * KIB)).expect("a region"));
        let stats = heap.stats();
        assert!(stats.mapped_bytes > 0 && stats.mapped_bytes < stats.heap_bytes, "{stats:?}");
        assert_eq!(heap.check(), Ok(()));
        ledger.free_all(&mut heap);
        heap.trim(0);
        assert_eq!((heap.check(), heap.stats().mapped_bytes), (Ok(()), 0));
    });
}

#[test]
fn a_filter_that_refuses_everything_leaves_the_heap_as_it_was() {
    scenario(&a_filter_that_refuses_everything_leaves_the_heap_as_it_was, || {
        let mut heap = Heap::new(Linux);
        let mut ledger = some_blocks(&mut heap);
        let mut unborn = Heap::new(Linux);
        refuse([libc::SYS_brk, libc::SYS_mmap, libc::SYS_munmap, libc::SYS_madvise], libc::EPERM);
        let before = Picture::of(&heap);
        for size in [8 * MIB, 64 * MIB, isize::MAX as usize - 8] {
            assert_eq!(heap.allocate(layout(size)), Err(OutOfMemory));
            assert_eq!(unborn.allocate(layout(size)), Err(OutOfMemory));
        }
        assert_eq!(unborn.allocate(layout(1)), Err(OutOfMemory));
        assert_eq!((unborn.check(), unborn.stats().heap_bytes), (Ok(()), 0));
        assert!(unborn.blocks().next().is_none());
        assert_eq!(Picture::of(&heap), before);
        assert_eq!(heap.trim(0), 0, "nothing can be returned either");
        assert_eq!(Picture::of(&heap), before);
        ledger.verify();
        // The heap serves what fits into what it has.
        let free: usize = heap.blocks().filter(|block| block.state == BlockState::Free).map(|block| block.size).sum();
        assert!(free >= 4 * PAGE);
        ledger.allocate(&mut heap, layout(2 * PAGE)).expect("free memory");
        ledger.free_all(&mut heap);
        assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 0));
    });
}
