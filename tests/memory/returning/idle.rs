//! Slabs in which nothing lives: when they are retired for other uses, and when their class keeps them.

use super::LARGE;
use hmalloc::{BlockState, PAGE, SpanKind};
use support::arena::Arena;
use support::calls::{MIB, free, get};
use support::watched::{WatchedHeap, watched};

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

/// A heap whose only free pages are those of slabs of many classes, most of them idle and the others retired, and a
/// length for which the break would rise unless idle ones are retired.
fn with_idle_slabs(arena: &mut Arena) -> (WatchedHeap<'_>, usize) {
    let mut heap = watched(arena);
    // So much may be free beside it that nothing is returned.
    get(&mut heap, 60 * MIB).expect("room");
    let mut payloads = Vec::new();
    for size in [100, 208, 384, 704, 1024, 1700, 2560, 3500, 6000, 7000, 10_000, 12_000, 14_000, 16_000] {
        payloads.extend((0..40).map(|_| get(&mut heap, size).expect("room")));
    }
    // Whatever else is free is used up.
    while heap.spans().any(|span| span.kind == SpanKind::Free && span.bytes >= LARGE) {
        get(&mut heap, LARGE).expect("room");
    }
    payloads.into_iter().for_each(|payload| free(&mut heap, payload));
    assert!(idle(&heap) >= 14 * PAGE, "each class keeps a slab while no other needs it: {}", idle(&heap));
    let longest = longest_run(&heap);
    let free_spans = heap.spans().filter(|span| span.kind == SpanKind::Free).map(|span| span.bytes);
    assert!(free_spans.max() < Some(longest) && longest > 256 << 10, "{longest} bytes in a row");
    (heap, longest)
}

/// Large blocks come and go, so that a class that needs its idle slab again has had the time.
fn pass_time(heap: &mut WatchedHeap<'_>) {
    for _ in 0..200 {
        let payload = get(heap, LARGE).expect("room");
        free(heap, payload);
    }
    heap.brk_mut().log.clear();
}

/// Idle slabs of many classes make room for a large block.
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
