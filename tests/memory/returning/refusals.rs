//! What a heap does when the kernel refuses to take memory, and what a trim says of how much it took.

use hmalloc::PAGE;
use support::arena::Arena;
use support::calls::{MIB, free, get};
use support::watched::watched;

/// Frees many blocks between survivors while nothing can be discarded. Returns how often it was tried.
fn refused_discards(clock: impl Fn(u64) -> Option<u64>) -> usize {
    let mut arena = Arena::new(160 * MIB);
    let mut heap = watched(&mut arena);
    let blocks: Vec<_> = (0..1000).map(|_| get(&mut heap, 100_000).expect("room")).collect();
    for (index, &payload) in blocks.iter().enumerate().filter(|(index, _)| index % 3 != 0) {
        if let Some(time) = clock(index as u64) {
            heap.brk_mut().brk.set_clock(time);
        }
        free(&mut heap, payload);
    }
    assert_eq!(heap.check(), Ok(()));
    heap.brk().refused
}

#[test]
fn refused_discards_are_not_tried_again_at_once() {
    let tried = refused_discards(|_| None);
    assert!((1..=8).contains(&tried), "{tried} times");
    let tried = refused_discards(|index| Some(1000 + index / 10));
    assert!((1..=8).contains(&tried), "{tried} times within a tenth of a second");
}

/// As time passes it is tried again, at longer and longer intervals.
#[test]
fn refused_discards_are_tried_again_later_and_later() {
    let tried = refused_discards(|index| Some(1000 + index * 100));
    assert!((3..=14).contains(&tried), "{tried} times in 100 seconds");
}

/// Where all memory is locked, what is discarded is resident again at once. The heap notices, and stops trying.
#[test]
fn useless_discards_are_not_made_over_and_over() {
    for (locked, least, most) in [(true, 1, 12), (false, 300, 700)] {
        let mut arena = Arena::new(160 * MIB);
        let mut heap = watched(&mut arena);
        heap.brk_mut().brk.allow_discard(true);
        heap.brk_mut().brk.set_locked(locked);
        let blocks: Vec<_> = (0..1000).map(|_| get(&mut heap, 100_000).expect("room")).collect();
        heap.brk_mut().log.clear();
        (0..1000).filter(|index| index % 3 != 0).for_each(|index| free(&mut heap, blocks[index]));
        let calls = heap.brk().log.len();
        assert!((least..=most).contains(&calls), "{calls} calls, locked: {locked}");
        assert_eq!(heap.check(), Ok(()));
    }
}

/// Where the break cannot be lowered the pages are discarded, and the break is not asked over and over.
#[test]
fn a_refused_lowering_is_not_tried_again_at_once() {
    let mut arena = Arena::new(160 * MIB);
    let mut heap = watched(&mut arena);
    heap.brk_mut().brk.refuse_lowering(true);
    let blocks: Vec<_> = (0..1000).map(|_| get(&mut heap, 100_000).expect("room")).collect();
    heap.brk_mut().refused = 0;
    blocks.iter().rev().for_each(|&payload| free(&mut heap, payload));
    let tried = heap.brk().refused;
    assert!((1..=16).contains(&tried), "{tried} times, lowering and discarding");
    heap.brk_mut().brk.allow_discard(true);
    heap.brk_mut().brk.refuse_lowering(false);
    assert!(heap.trim(0) >= 100 * MIB / 2);
    assert_eq!(heap.check(), Ok(()));
}

/// A loop beside memory that cannot be returned makes as few calls as any other.
#[test]
fn a_loop_beside_memory_that_stays_moves_the_break_seldom() {
    for size in [50_000, 300_000, MIB] {
        let mut arena = Arena::new(160 * MIB);
        let mut heap = watched(&mut arena);
        let blocks: Vec<_> = (0..600).map(|_| get(&mut heap, 100_000).expect("room")).collect();
        (0..600).filter(|index| index % 3 != 0).for_each(|index| free(&mut heap, blocks[index]));
        let before = (heap.brk().brk.calls(), heap.brk().refused);
        for _ in 0..10_000 {
            let pair = [get(&mut heap, size).expect("room"), get(&mut heap, size).expect("room")];
            pair.into_iter().for_each(|payload| free(&mut heap, payload));
        }
        let calls = (heap.brk().brk.calls() - before.0, heap.brk().refused - before.1);
        assert!(calls.0 <= 40 && calls.1 <= 8, "{calls:?} with blocks of {size}");
    }
}

/// Each byte that is returned is counted once, whatever was returned beside it before.
#[test]
fn what_was_returned_before_does_not_count_again() {
    const SIZE: usize = 4 * PAGE;
    let mut arena = Arena::new(64 * MIB);
    let mut heap = watched(&mut arena);
    heap.brk_mut().brk.allow_discard(true);
    let blocks: Vec<_> = (0..40).map(|_| get(&mut heap, SIZE).expect("room")).collect();
    get(&mut heap, SIZE).expect("room");
    heap.trim(0);
    for index in [5, 7, 6, 20, 21, 19, 0, 1, 30, 32, 8, 4] {
        free(&mut heap, blocks[index]);
        assert_eq!(heap.trim(0), SIZE, "block {index}");
        assert_eq!(heap.trim(0), 0, "block {index} again");
    }
    assert_eq!(heap.check(), Ok(()));
}

/// Also when a part of it was taken again meanwhile.
#[test]
fn what_was_taken_again_counts_again() {
    let mut arena = Arena::new(64 * MIB);
    let mut heap = watched(&mut arena);
    heap.brk_mut().brk.allow_discard(true);
    let block = get(&mut heap, 40 * PAGE).expect("room");
    get(&mut heap, 2 * PAGE).expect("room");
    heap.trim(0);
    free(&mut heap, block);
    assert_eq!(heap.trim(0), 40 * PAGE);
    for pages in [2, 17, 39, 40] {
        let part = get(&mut heap, pages * PAGE).expect("room");
        assert_eq!((part, heap.trim(0)), (block, 0), "nothing of it is free");
        free(&mut heap, part);
        assert_eq!(heap.trim(0), pages * PAGE);
    }
    assert_eq!(heap.check(), Ok(()));
}
