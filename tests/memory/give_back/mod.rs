//! When the heap takes from the kernel and how much it gives back, unasked, as the kernel sees it.

mod bursts;
mod refusals;

use hmalloc::{BlockState, Heap, PAGE, SpanKind};
use std::ptr::NonNull;
use support::arena::Arena;
use support::calls::{MIB, free, get};
use support::watched::{Call, Watched};

/// A request that gets a span of its own: four pages.
const LARGE: usize = 4 * PAGE;
/// What one huge page covers.
const HUGE: usize = 2 * MIB;

type WatchedHeap<'a> = Heap<Watched<'a>>;

fn watched(arena: &mut Arena) -> WatchedHeap<'_> {
    Heap::new(Watched::new(arena.brk()))
}

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
    grow(&mut heap, 1000, 30 * MIB);
    assert_eq!(heap.brk().brk.expected_use(), 0, "a small heap would pay for them");
    heap.brk_mut().log.clear();
    grow(&mut heap, 1000, 60 * MIB);
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
    // The way to 32 MiB is without.
    assert!((50 * MIB..=60 * MIB).contains(&expected), "{expected} of 60 MiB");
    assert_eq!(heap.brk().brk.expected_use(), expected);
    assert!(odd <= 1, "{odd} raises, not only the one that comes to 32 MiB, end amid a huge page");
    assert_eq!(heap.check(), Ok(()));
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

/// Bytes in slabs in which nothing lives.
fn idle(heap: &WatchedHeap<'_>) -> usize {
    let idle = heap.spans().filter(|span| matches!(span.kind, SpanKind::Slab { live: 0, .. }));
    idle.map(|span| span.bytes).sum()
}

/// The longest run of pages in which nothing lives, be they free spans or idle slabs.
fn longest_run(heap: &WatchedHeap<'_>) -> usize {
    let free = heap.blocks().filter(|block| block.state == BlockState::Free);
    free.map(|block| block.size / PAGE * PAGE).max().unwrap_or(0)
}

/// A heap whose only free pages are those of slabs of many classes, most of them idle and the others given up, and a
/// length for which the break would rise unless idle ones are taken apart.
fn with_idle_slabs(arena: &mut Arena) -> (WatchedHeap<'_>, usize) {
    let mut heap = watched(arena);
    // So much may be free beside it that nothing is returned.
    get(&mut heap, 60 * MIB).expect("room");
    let mut payloads = Vec::new();
    for size in [100, 208, 384, 704, 1024, 1700, 2560, 3500, 6000, 7000, 10_000, 12_000, 14_000, 16_000] {
        payloads.extend((0..40).map(|_| get(&mut heap, size).expect("room")));
    }
    // What is free besides is used up.
    while heap.spans().any(|span| span.kind == SpanKind::Free && span.bytes >= LARGE) {
        get(&mut heap, LARGE).expect("room");
    }
    payloads.into_iter().for_each(|payload| free(&mut heap, payload));
    assert!(idle(&heap) >= 14 * PAGE, "each class keeps a slab while nobody needs it: {}", idle(&heap));
    let longest = longest_run(&heap);
    let free_spans = heap.spans().filter(|span| span.kind == SpanKind::Free).map(|span| span.bytes);
    assert!(free_spans.max() < Some(longest) && longest > 256 << 10, "{longest} bytes in a row");
    (heap, longest)
}

/// Large blocks come and go, so that whoever wants an idle slab back has had the time.
fn pass_time(heap: &mut WatchedHeap<'_>) {
    for _ in 0..200 {
        let payload = get(heap, LARGE).expect("room");
        free(heap, payload);
    }
    heap.brk_mut().log.clear();
}

/// Slabs of many classes, each of which nothing lives in any more, make room for a large block.
#[test]
fn idle_slabs_are_taken_apart_before_the_break_rises() {
    let mut arena = Arena::new(80 * MIB);
    let (mut heap, longest) = with_idle_slabs(&mut arena);
    pass_time(&mut heap);
    get(&mut heap, longest).expect("room");
    assert_eq!(heap.brk().log, [], "the break moved while {longest} bytes in a row were free");
    assert_eq!((idle(&heap), heap.check()), (0, Ok(())));
}

/// They make room for slabs of other classes, too.
#[test]
fn idle_slabs_are_taken_apart_for_other_classes() {
    let mut arena = Arena::new(80 * MIB);
    let (mut heap, longest) = with_idle_slabs(&mut arena);
    pass_time(&mut heap);
    for _ in 0..longest / 5120 / 2 {
        get(&mut heap, 5120).expect("room");
    }
    assert_eq!(heap.brk().log, [], "the break moved while {longest} bytes in a row were free");
    assert_eq!(heap.check(), Ok(()));
}

/// A class that was served a moment ago keeps its slab, unless there is no other memory.
#[test]
fn idle_slabs_are_not_taken_apart_over_and_over() {
    let mut arena = Arena::new(80 * MIB);
    let (mut heap, longest) = with_idle_slabs(&mut arena);
    pass_time(&mut heap);
    let large = get(&mut heap, longest).expect("room");
    free(&mut heap, large);
    let again: Vec<_> = [100, 704, 2560].map(|size| get(&mut heap, size).expect("room")).into();
    again.into_iter().for_each(|payload| free(&mut heap, payload));
    let kept = idle(&heap);
    assert!(kept > 0);
    get(&mut heap, 3 * MIB).expect("room");
    assert_eq!(idle(&heap), kept, "slabs were taken apart that had just come back");
    let free_span = |heap: &WatchedHeap<'_>| {
        let free = heap.spans().filter(|span| span.kind == SpanKind::Free);
        free.map(|span| span.bytes).max()
    };
    while let Some(bytes) = free_span(&heap) {
        get(&mut heap, bytes).expect("it is free");
    }
    assert_eq!(idle(&heap), kept);
    heap.brk_mut().brk.fail_after(0);
    get(&mut heap, 30).expect("the pages of an idle slab");
    assert_eq!((idle(&heap), heap.check()), (0, Ok(())));
}

/// Frees 38 MiB in small blocks, in an order of theirs, above a large block that stays and, if `pinned`, below another
/// one. No free gives much more back than it frees itself, the kernel is seldom called, and next to nothing is left.
fn frees(name: &str, page: usize, pinned: bool, key: impl Fn(usize) -> usize) {
    const COUNT: usize = 400;
    const SIZE: usize = 6 * PAGE;
    let mut arena = Arena::at(160 * MIB, 3 * PAGE);
    let mut brk = arena.brk();
    brk.set_page_size(page);
    brk.allow_discard(true);
    let mut heap = Heap::new(Watched::new(brk));
    // So large that no metadata comes to lie between the others.
    get(&mut heap, 65 * MIB).expect("room");
    let blocks: Vec<_> = (0..COUNT).map(|_| get(&mut heap, SIZE).expect("room")).collect();
    let above = pinned.then(|| get(&mut heap, LARGE).expect("room"));
    assert!(above.is_none_or(|above| blocks.iter().all(|&block| block < above)));
    heap.brk_mut().log.clear();
    let mut order: Vec<usize> = (0..COUNT).collect();
    order.sort_by_key(|&index| key(index));
    let mut before = 0;
    for index in order {
        free(&mut heap, blocks[index]);
        let given = heap.brk().given_back();
        assert!(
            given - before <= if pinned { 2 } else { 9 } * MIB,
            "{name}: one small free gave {} bytes back",
            given - before
        );
        before = given;
    }
    let aside = heap.brk().log.iter().filter(|call| matches!(call, Call::Unmapped(_))).count();
    let calls = heap.brk().log.len() - aside;
    assert!(before >= COUNT * SIZE - 3 * MIB, "{name}: {before} of {} bytes went back", COUNT * SIZE);
    assert!(calls <= 48, "{name}: {calls} calls, more than one for each MiB or so");
    assert!(aside <= 8, "{name}: metadata was returned in {aside} pieces");
    assert_eq!(heap.check(), Ok(()));
}

#[test]
fn small_blocks_go_back_by_and_by_in_whatever_order_they_are_freed() {
    for page in [4096, 65_536] {
        for pinned in [true, false] {
            frees("upwards", page, pinned, |index| index);
            frees("downwards", page, pinned, |index| usize::MAX - index);
        }
        frees("from the middle", page, true, |index| index.abs_diff(200));
    }
}

/// What a free has freed itself goes back with it, however much it is.
#[test]
fn a_free_that_frees_much_gives_it_all_back() {
    let mut arena = Arena::new(128 * MIB);
    let mut heap = watched(&mut arena);
    heap.brk_mut().brk.allow_discard(true);
    let payload = get(&mut heap, 100 * MIB).expect("room");
    let above = get(&mut heap, LARGE).expect("room");
    free(&mut heap, payload);
    let given = heap.brk().given_back();
    assert!((99 * MIB..=100 * MIB).contains(&given), "{given} bytes were discarded");
    free(&mut heap, above);
    heap.trim(0);

    let payload = get(&mut heap, 100 * MIB).expect("room");
    heap.brk_mut().log.clear();
    free(&mut heap, payload);
    // A quarter of the top is kept for what comes next.
    let given = heap.brk().given_back();
    assert!((70 * MIB..=101 * MIB).contains(&given), "the break fell by {given} bytes");
    assert_eq!(heap.check(), Ok(()));
}
