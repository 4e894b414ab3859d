//! Which heaps ask for huge pages, and for which of their memory.

use hmalloc::PAGE;
use std::ptr::NonNull;
use support::arena::Arena;
use support::calls::{MIB, get};
use support::watched::{Call, WatchedHeap, watched};

/// What one huge page covers.
const HUGE: usize = 2 * MIB;

/// Allocates blocks of `size` bytes until the break has risen by `bytes`.
fn grow(heap: &mut WatchedHeap<'_>, size: usize, bytes: usize) -> Vec<NonNull<u8>> {
    let start = heap.brk().brk.current();
    let mut payloads = Vec::new();
    while heap.brk().brk.current() - start < bytes {
        payloads.push(get(heap, size).expect("room"));
    }
    payloads
}

#[test]
fn a_large_heap_of_slabs_asks_for_huge_pages() {
    let mut arena = Arena::at(100 * MIB, 5 * PAGE);
    let mut heap = watched(&mut arena);
    grow(&mut heap, 1000, 11 * MIB);
    assert_eq!(heap.brk().brk.expected_use(), 0, "a small heap would pay for them");
    heap.brk_mut().log.clear();
    grow(&mut heap, 1000, 80 * MIB);
    let (mut last_raise, mut expected, mut odd) = (0..0, 0, 0);
    for call in &heap.brk().log {
        match call {
            Call::Raised(raised) => last_raise = raised.clone(),
            Call::ExpectedUse(advised) => {
                assert!(advised.start.is_multiple_of(HUGE) && advised.end.is_multiple_of(HUGE), "{advised:x?}");
                let inside = last_raise.start <= advised.start && advised.end <= last_raise.end;
                assert!(inside && !advised.is_empty(), "{advised:x?} was not raised just now, {last_raise:x?} was");
                expected += advised.len();
                odd += usize::from(!last_raise.end.is_multiple_of(HUGE));
            }
            Call::MappedAside(_) => {}
            other => panic!("nothing was freed: {other:x?}"),
        }
    }
    // Up to 12 MiB there are none: without a clock no heap grows fast.
    assert!((76 * MIB..=84 * MIB).contains(&expected), "{expected} of 80 MiB");
    assert_eq!(heap.brk().brk.expected_use(), expected);
    assert!(odd <= 1, "{odd} raises, not only the one that comes to 12 MiB, end amid a huge page");
    assert_eq!(heap.check(), Ok(()));
}

/// Grows a heap of slabs to 11 MiB, each of which takes so many milliseconds. Returns for how many bytes huge pages were asked for at
/// each one.
fn growth(pause: u64) -> Vec<usize> {
    let mut arena = Arena::at(100 * MIB, 5 * PAGE);
    let mut heap = watched(&mut arena);
    let start = heap.brk().brk.current();
    let asked = |mib: usize| {
        heap.brk_mut().brk.set_clock(5000 + mib as u64 * pause);
        let grown = heap.brk().brk.current() - start;
        grow(&mut heap, 1000, (mib * MIB).saturating_sub(grown));
        heap.brk().brk.expected_use() / MIB
    };
    (1..12).map(asked).collect()
}

/// A heap that grows fast spends much of its time in page faults.
#[test]
fn a_heap_of_slabs_that_grows_fast_asks_for_huge_pages_sooner() {
    for pause in [0, 3] {
        let asked = growth(pause);
        assert!(asked[..7].iter().all(|&asked| asked == 0), "a small heap would pay for them: {asked:?}");
        assert!((2..=4).contains(&asked[10]), "{pause} ms for a MiB: {asked:?} MiB");
    }
    assert_eq!(growth(20), [0; 11], "a heap that grows slowly");
}

#[test]
fn a_heap_of_large_blocks_does_not_ask_for_huge_pages() {
    let mut arena = Arena::new(100 * MIB);
    let mut heap = watched(&mut arena);
    grow(&mut heap, 100_000, 80 * MIB);
    assert_eq!(heap.brk().brk.expected_use(), 0);
}

/// Slabs that hold most of the heap, and a large block that comes last: the block may never be used in full.
#[test]
fn a_large_block_in_a_heap_of_slabs_does_not_get_huge_pages() {
    let mut arena = Arena::new(100 * MIB);
    let mut heap = watched(&mut arena);
    grow(&mut heap, 1000, 40 * MIB);
    let before = heap.brk().brk.expected_use();
    assert!(before > 0);
    get(&mut heap, 20 * MIB).expect("room");
    assert_eq!(heap.brk().brk.expected_use(), before);
}

/// Fills a heap with 60 MiB of large blocks and frees them, round after round, each so many milliseconds after the last one. Returns
/// for how many bytes of each round huge pages were asked for.
fn rounds(heap: &mut WatchedHeap<'_>, clock: &mut u64, pause: u64, count: usize) -> Vec<usize> {
    let round = |_| {
        *clock += pause;
        heap.brk_mut().brk.set_clock(*clock);
        let (asked, blocks) = fill(heap);
        // SAFETY: the blocks are not used any more.
        blocks.into_iter().for_each(|block| assert_eq!(unsafe { heap.free(block.as_ptr()) }, Ok(())));
        asked
    };
    (0..count).map(round).collect()
}

/// Fills a heap with 60 MiB of large blocks. Returns for how many bytes huge pages were asked for, too.
fn fill(heap: &mut WatchedHeap<'_>) -> (usize, Vec<NonNull<u8>>) {
    let before = heap.brk().brk.expected_use();
    let blocks = (0..60).map(|_| get(heap, MIB).expect("room")).collect();
    (heap.brk().brk.expected_use() - before, blocks)
}

/// A program fills buffers, frees them, and then has others of which it writes little.
#[test]
fn what_is_hardly_used_the_second_time_does_not_come_as_huge_pages() {
    let mut arena = Arena::at(100 * MIB, 5 * PAGE);
    let (mut heap, mut clock) = (watched(&mut arena), 5000);
    heap.brk_mut().resident = true;
    heap.brk_mut().brk.allow_discard(true);
    assert!(rounds(&mut heap, &mut clock, 20, 3)[2] > 0);
    heap.brk_mut().resident = false;
    assert_eq!(fill(&mut heap).0, 0);
    assert_eq!(heap.check(), Ok(()));
}

#[test]
fn what_is_returned_and_needed_again_at_once_comes_as_huge_pages() {
    let mut arena = Arena::at(100 * MIB, 5 * PAGE);
    let (mut heap, mut clock) = (watched(&mut arena), 5000);
    heap.brk_mut().resident = true;
    heap.brk_mut().brk.allow_discard(true);
    let asked = rounds(&mut heap, &mut clock, 20, 3);
    assert!(asked[0] == 0 && asked[1..].iter().all(|&asked| (44 * MIB..=56 * MIB).contains(&asked)), "{asked:?}");
    let most = heap.stats().peak_heap_bytes;
    assert_eq!(rounds(&mut heap, &mut clock, 2000, 3), [0; 3], "after a pause");
    let asked = rounds(&mut heap, &mut clock, 800, 15);
    let without = asked.iter().filter(|&&asked| asked == 0).count();
    assert!((2..=5).contains(&without), "in twelve seconds {without} rounds showed whether all is still in use");
    heap.brk_mut().resident = false;
    rounds(&mut heap, &mut clock, 800, 6);
    assert_eq!(rounds(&mut heap, &mut clock, 800, 3), [0; 3], "what is not written is not made memory");
    assert!(heap.stats().peak_heap_bytes <= most, "and the heap is no longer than it was");
    assert_eq!(heap.check(), Ok(()));
}
