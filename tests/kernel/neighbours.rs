//! Others who use the break of the same process.

use super::ledger::{Ledger, layout, some_layout};
use super::system::{current_break, move_break};
use hmalloc::brk::Linux;
use hmalloc::{BlockState, Heap};
use support::calls::{KIB, MIB};
use support::child::{observe, scenario};
use support::random::Random;

/// What a neighbour writes into what it took.
const THEIRS: u8 = 0xC3;

/// A neighbour raises the break and uses what it got.
fn take(bytes: usize) -> &'static mut [u8] {
    let start = move_break(bytes as isize);
    // SAFETY: the kernel has just made these bytes the neighbour's, who never returns them while this is in use.
    let taken = unsafe { std::slice::from_raw_parts_mut(start as *mut u8, bytes) };
    taken.fill(THEIRS);
    taken
}

fn is_untouched(taken: &[u8]) -> bool {
    taken.iter().all(|&byte| byte == THEIRS)
}

#[test]
fn what_a_neighbour_takes_is_fenced() {
    scenario(&what_a_neighbour_takes_is_fenced, || {
        let before_all = take(12_345);
        let mut heap = Heap::new(Linux);
        let mut ledger = Ledger::new(256);
        let mut taken = Vec::with_capacity(16);
        for round in 0..16 {
            for _ in 0..8 {
                ledger.allocate(&mut heap, layout(40 * KIB)).expect("memory");
                ledger.allocate_zeroed(&mut heap, layout(100)).expect("memory");
            }
            taken.push(take(1000 * round + 1));
            assert_eq!(heap.check(), Ok(()));
        }
        ledger.verify();
        let stats = heap.stats();
        assert!(stats.foreign_bytes > 0 && stats.mapped_bytes == 0, "{stats:?}");
        let fences = || heap.blocks().filter(|block| block.state == BlockState::Foreign);
        assert_eq!(fences().map(|block| block.size).sum::<usize>(), stats.foreign_bytes);
        let ends: Vec<_> = fences().map(|block| block.address..block.address + block.size).collect();
        let top = heap.blocks().last().expect("blocks").address;
        for range in taken.iter().map(|bytes| bytes.as_ptr_range()).filter(|range| range.start.addr() < top) {
            let fenced = ends.iter().any(|fence| fence.contains(&range.start.addr()) && range.end.addr() <= fence.end);
            assert!(fenced, "{range:?} is not fenced by {ends:x?}");
        }
        ledger.free_all(&mut heap);
        heap.trim(0);
        assert!(taken.iter().all(|bytes| is_untouched(bytes)) && is_untouched(before_all));
        assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 0));
    });
}

#[test]
fn a_break_that_is_not_ours_is_not_lowered() {
    scenario(&a_break_that_is_not_ours_is_not_lowered, || {
        let mut heap = Heap::new(Linux);
        let mut ledger = Ledger::new(8);
        (0..8).for_each(|_| ledger.allocate(&mut heap, layout(MIB)).expect("memory"));
        let ours = current_break();
        let taken = take(100);
        ledger.free_all(&mut heap);
        heap.trim(0);
        assert_eq!(current_break(), ours + 100);
        assert!(is_untouched(taken));
        // The neighbour lowers it again; from then on the break is the heap's.
        move_break(-100);
        assert!(heap.trim(0) >= MIB);
        assert!(current_break() <= ours - MIB);
        assert_eq!(heap.check(), Ok(()));
    });
}

#[test]
fn up_and_down_between_two_calls_leaves_no_trace() {
    scenario(&up_and_down_between_two_calls_leaves_no_trace, || {
        let mut heap = Heap::new(Linux);
        let mut ledger = Ledger::new(64);
        for round in 0..64 {
            ledger.allocate(&mut heap, layout(200 * KIB)).expect("memory");
            take(10_000 + round);
            move_break(-(10_000 + round as isize));
        }
        ledger.verify();
        assert_eq!((heap.check(), heap.stats().foreign_bytes), (Ok(()), 0));
        ledger.free_all(&mut heap);
    });
}

#[test]
fn two_heaps_share_one_break() {
    scenario(&two_heaps_share_one_break, || {
        let mut heaps = [Heap::new(Linux), Heap::new(Linux)];
        let mut ledgers = [Ledger::new(200), Ledger::new(200)];
        let mut random = Random::new(7);
        for step in 0..4_000 {
            let turn = random.below(2);
            let (heap, ledger) = (&mut heaps[turn], &mut ledgers[turn]);
            match random.below(5) {
                0..=1 if ledger.live.len() < 200 => {
                    ledger.allocate(heap, some_layout(&mut random, 17)).expect("memory")
                }
                2 if ledger.live.len() < 200 => {
                    ledger.allocate_zeroed(heap, some_layout(&mut random, 17)).expect("memory")
                }
                3 if step % 16 == 0 => drop(heap.trim(0)),
                _ if ledger.live.is_empty() => {}
                _ => ledger.free(heap, random.below(ledger.live.len())),
            }
            if step % 64 == 0 {
                assert_eq!([heaps[0].check(), heaps[1].check()], [Ok(()); 2]);
            }
        }
        for (heap, ledger) in heaps.iter_mut().zip(&mut ledgers) {
            assert!(heap.stats().foreign_bytes > 0, "each sees the other");
            ledger.free_all(heap);
            assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 0));
        }
        // A block of one is no block of the other.
        let theirs = heaps[0].allocate(layout(64)).expect("memory");
        // SAFETY: the block is not used.
        assert!(unsafe { heaps[1].free(theirs.as_ptr()) }.is_err());
        // SAFETY: as above.
        assert_eq!(unsafe { heaps[0].free(theirs.as_ptr()) }, Ok(()));
    });
}

/// Every block the C library hands out in this scenario comes from the break, like ours.
#[test]
fn the_c_library_grows_by_the_same_break() {
    let test = &the_c_library_grows_by_the_same_break;
    let one_arena = [("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_THRESHOLD_", "1073741824")];
    let ended = observe(test, "", &one_arena, |_| {
        let mut heap = Heap::new(Linux);
        let mut ledger = Ledger::new(400);
        let mut theirs = Vec::with_capacity(400);
        let break_before = current_break();
        for round in 0..400 {
            ledger.allocate(&mut heap, layout(30 * KIB + round)).expect("memory");
            theirs.push(vec![round as u8; 20 * KIB]);
        }
        let from_the_break = |bytes: &Vec<u8>| (break_before - MIB..current_break()).contains(&bytes.as_ptr().addr());
        assert!(theirs.iter().all(from_the_break), "the C library used the break");
        assert!(theirs.iter().enumerate().all(|(round, bytes)| bytes.iter().all(|&byte| byte == round as u8)));
        ledger.verify();
        assert_eq!(heap.check(), Ok(()));
        theirs.clear();
        ledger.free_all(&mut heap);
        heap.trim(0);
        assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 0));
    });
    assert!(ended.finished, "{ended:#?}");
}

/// `sbrk` moves the break from where the C library last saw it.
#[test]
fn sbrk_of_the_c_library_knows_where_the_break_is() {
    scenario(&sbrk_of_the_c_library_knows_where_the_break_is, || {
        let mut heap = Heap::new(Linux);
        let mut ledger = Ledger::new(64);
        for round in 0..64_usize {
            ledger.allocate(&mut heap, layout(100 * KIB)).expect("memory");
            let before = current_break();
            // SAFETY: whoever calls `sbrk` owns what it returns.
            let taken = unsafe { libc::sbrk(1000) };
            assert_eq!(taken.addr(), before, "in round {round}");
            // SAFETY: the 1000 bytes are the scenario's.
            unsafe { taken.cast::<u8>().write_bytes(THEIRS, 1000) };
            if round % 2 == 0 {
                // SAFETY: returns what was taken and is not used.
                unsafe { libc::sbrk(-1000) };
            }
        }
        ledger.verify();
        assert_eq!(heap.check(), Ok(()));
        ledger.free_all(&mut heap);
    });
}
