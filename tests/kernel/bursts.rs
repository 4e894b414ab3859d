//! Bursts on the kernel's own memory: what stays resident when they are over, unasked.

use super::ledger::layout;
use super::system::{faults, has_huge_pages, move_break, resident};
use hmalloc::brk::{Brk, Linux, OwnBreak};
use hmalloc::{Heap, Hmalloc};
use std::ptr::NonNull;
use support::calls::{KIB, MIB};
use support::child::{observe, scenario};
use support::random::Random;

/// Blocks of a burst, by the shape's number.
fn size(shape: usize, index: usize, random: &mut Random) -> usize {
    match shape {
        0 => 1000,
        1 => 1 + random.below(16 * KIB),
        2 => [MIB, 40][index % 2],
        3 => 17 * KIB + random.below(400 * KIB),
        _ => 30 * MIB,
    }
}

/// Bursts of several shapes and orders, some 60 MiB each.
fn bursts<B: Brk>(heap: &mut Heap<B>) {
    let mut random = Random::new(1);
    let mut blocks: Vec<NonNull<u8>> = vec![NonNull::dangling(); 70_000];
    blocks.fill(NonNull::<u64>::dangling().cast());
    // The code that is used below is there, too.
    assert_eq!(heap.check(), Ok(()));
    heap.trim(0);
    let before = resident();
    for shape in 0..5 {
        for order in 0..3 {
            let (mut count, mut sum) = (0, 0);
            while sum < 60 * MIB {
                let size = size(shape, count, &mut random);
                let block = heap.allocate(layout(size)).expect("memory");
                // SAFETY: the block is this long.
                unsafe { block.write_bytes(1, size) };
                (blocks[count], count, sum) = (block, count + 1, sum + size);
            }
            match order {
                0 => {}
                1 => blocks[..count].reverse(),
                _ => random.shuffle(&mut blocks[..count]),
            }
            for block in &blocks[..count] {
                // SAFETY: the block is not used any more.
                assert_eq!(unsafe { heap.free(block.as_ptr()) }, Ok(()));
            }
            let (left, peak) = (resident().saturating_sub(before), heap.stats().peak_heap_bytes);
            assert!(left <= 2 * MIB + peak / 64, "{} KiB stay after shape {shape} in order {order}", left / KIB);
            assert_eq!(heap.check(), Ok(()));
        }
    }
}

#[test]
fn bursts_on_the_programs_break() {
    scenario(&bursts_on_the_programs_break, || bursts(&mut Heap::new(Linux)));
}

#[test]
fn bursts_on_a_break_of_its_own() {
    scenario(&bursts_on_a_break_of_its_own, || bursts(&mut Heap::new(OwnBreak::new())));
}

/// Someone has raised the program's break right above the heap's first blocks.
#[test]
fn bursts_around_a_fence() {
    scenario(&bursts_around_a_fence, || {
        let mut heap = Heap::new(Linux);
        let first = heap.allocate(layout(30 * MIB)).expect("memory");
        move_break(16 * 1024);
        // SAFETY: the block is not used.
        assert_eq!(unsafe { heap.free(first.as_ptr()) }, Ok(()));
        bursts(&mut heap);
    });
}

/// Blocks of 100 MiB in all, of each of which so many bytes are written at most.
fn fill(heap: &mut Heap<Linux>, random: &mut Random, written: usize) -> Vec<NonNull<u8>> {
    let (mut sum, mut blocks) = (0, Vec::with_capacity(2000));
    while sum < 100 * MIB {
        let size = 64 * KIB + random.below(900 * KIB);
        let block = heap.allocate(layout(size)).expect("memory");
        // SAFETY: the block is this long.
        unsafe { block.write_bytes(1, size.min(written)) };
        sum += size;
        blocks.push(block);
    }
    blocks
}

fn free_all(heap: &mut Heap<Linux>, blocks: Vec<NonNull<u8>>) {
    // SAFETY: the blocks are not used any more.
    blocks.into_iter().for_each(|block| assert_eq!(unsafe { heap.free(block.as_ptr()) }, Ok(())));
}

/// A program fills buffers, frees them, and then has others of which it writes little.
#[test]
fn what_is_hardly_written_after_a_burst_holds_no_memory() {
    scenario(&what_is_hardly_written_after_a_burst_holds_no_memory, || {
        let (mut heap, mut random) = (Heap::new(Linux), Random::new(1));
        for _ in 0..3 {
            let blocks = fill(&mut heap, &mut random, usize::MAX);
            free_all(&mut heap, blocks);
        }
        let before = resident();
        let blocks = fill(&mut heap, &mut random, 1);
        let more = resident().saturating_sub(before);
        assert!(more < 10 * MIB, "{} KiB", more / KIB);
        free_all(&mut heap, blocks);
        assert_eq!(heap.check(), Ok(()));
    });
}

/// What is freed and needed again at once, 100 MiB in each round. Without huge pages each round takes 25,600 faults.
#[test]
fn what_comes_again_at_once_takes_few_page_faults() {
    scenario(&what_comes_again_at_once_takes_few_page_faults, || {
        let (mut heap, mut random) = (Heap::new(Linux), Random::new(1));
        let mut counts = [0; 6];
        for count in &mut counts {
            let before = faults();
            let blocks = fill(&mut heap, &mut random, usize::MAX);
            free_all(&mut heap, blocks);
            *count = faults() - before;
        }
        let pages = 100 * MIB / super::system::page();
        // A round in which it is seen anew whether all is used may be among them, on a slow machine two.
        let few = counts.iter().filter(|&&count| count < pages / 3).count();
        assert!(few >= 3 || !has_huge_pages(), "{counts:?} faults");
        assert!(counts.iter().all(|&count| count < pages * 5 / 4), "{counts:?} faults");
        assert_eq!(heap.check(), Ok(()));
    });
}

/// Threads that come and end; what each allocates another one frees.
#[test]
fn threads_leave_next_to_nothing() {
    static HEAP: Hmalloc = Hmalloc::new();
    scenario(&threads_leave_next_to_nothing, || {
        let (mut before, mut blocks) = (0, Vec::new());
        for round in 0..6 {
            blocks = std::thread::spawn(move || {
                let mut random = Random::new(round);
                // SAFETY: the blocks came from this heap, and are not used any more.
                blocks.drain(..).for_each(|block| unsafe {
                    HEAP.free(std::ptr::with_exposed_provenance_mut(block), |misuse| panic!("{misuse}"));
                });
                let new = (0..if round < 5 { 8000 } else { 0 }).map(|index| {
                    let size = size(index % 2, index, &mut random);
                    let block = HEAP.allocate(layout(size)).expect("memory");
                    // SAFETY: the block is this long.
                    unsafe { block.write_bytes(1, size) };
                    block.as_ptr().expose_provenance()
                });
                blocks.extend(new);
                blocks
            })
            .join()
            .expect("no panic");
            before = if round == 0 { resident() - HEAP.stats().live_bytes } else { before };
        }
        let (left, peak) = (resident().saturating_sub(before), HEAP.stats().peak_heap_bytes);
        assert_eq!(HEAP.stats().live_blocks, 0);
        assert!(left <= 2 * MIB + peak / 64, "{} KiB stay", left / KIB);
    });
}

/// Locked memory is there again as soon as it is discarded: the kernel is not asked over and over.
#[test]
fn a_process_that_locks_all_its_memory() {
    let ended = observe(&a_process_that_locks_all_its_memory, "", &[], |_| {
        // SAFETY: locks pages, and changes nothing in them.
        if unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) } != 0 {
            return println!("not permitted");
        }
        let mut heap = Heap::new(OwnBreak::new());
        let blocks: Vec<_> = (0..300).map(|_| heap.allocate(layout(100 * KIB)).expect("memory")).collect();
        for block in blocks.iter().enumerate().filter(|(index, _)| index % 3 != 0).map(|(_, block)| block) {
            // SAFETY: the block is not used.
            assert_eq!(unsafe { heap.free(block.as_ptr()) }, Ok(()));
        }
        assert_eq!(heap.check(), Ok(()));
    });
    assert!(ended.finished, "{ended:#?}");
}
