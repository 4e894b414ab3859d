//! Metadata is out of reach for writes past the end of a block: the kernel ends the process before a header changes.

use super::ledger::layout;
use super::system::{block_the_break, refuse};
use hmalloc::brk::{Brk, Linux};
use hmalloc::{Heap, PAGE, SpanInfo, SpanKind};
use std::ptr::with_exposed_provenance_mut;
use support::calls::MIB;
use support::child::{Ended, observe};

/// A heap of blocks of four pages that has come to its third leaf.
fn over_leaves() -> Heap<Linux> {
    let mut heap = Heap::new(Linux);
    // So many pages that blocks of four end where the second leaf begins.
    heap.allocate(layout(7 * PAGE)).expect("memory");
    for _ in 0..45 {
        heap.allocate(layout(4 * PAGE)).expect("memory");
    }
    heap
}

/// A heap with a region.
fn with_region() -> Heap<Linux> {
    let mut heap = over_leaves();
    block_the_break();
    heap.allocate(layout(4 * MIB)).expect("a mapping");
    assert!(heap.stats().mapped_bytes > 4 * MIB);
    heap
}

/// The metadata spans of a heap, and each one's neighbours.
fn leaves(heap: &Heap<Linux>) -> Vec<(Option<SpanInfo>, SpanInfo, Option<SpanInfo>)> {
    let spans: Vec<_> = heap.spans().collect();
    let around = |at: usize| (at.checked_sub(1).map(|at| spans[at]), spans[at], spans.get(at + 1).copied());
    (0..spans.len()).filter(|&at| spans[at].kind == SpanKind::Metadata).map(around).collect()
}

/// The leaf at the heap's start, one amid large blocks, and a region's.
fn leaf(heap: &Heap<Linux>, which: &str) -> SpanInfo {
    let leaves = leaves(heap);
    let large = |span: Option<SpanInfo>| span.is_some_and(|span| span.kind == SpanKind::Large);
    match which {
        "first" => leaves[0].1,
        "amid" => leaves.iter().find(|(below, _, above)| large(*below) && large(*above)).expect("such a leaf").1,
        _ => leaves.last().expect("a region starts with metadata").1,
    }
}

/// Writes where the argument says: "below" or "above" a leaf, this many bytes into it or, if less, before it.
fn attack(argument: &str) {
    let words: Vec<_> = argument.split(' ').collect();
    let heap = if words[0] == "region" { with_region() } else { over_leaves() };
    let (leaf, bytes): (_, isize) = (leaf(&heap, words[0]), words[2].parse().expect("a number"));
    let at = match words[1] {
        "below" => leaf.address.wrapping_add_signed(bytes),
        _ => (leaf.address + leaf.bytes).wrapping_add_signed(-1 - bytes),
    };
    // SAFETY: none: this write is the fault to be seen. The bytes outside the leaf are those of blocks that are not used.
    unsafe { with_exposed_provenance_mut::<u8>(at).write_volatile(1) };
    assert_eq!(heap.check(), Ok(()));
}

/// Every write into a leaf from outside that does not begin far inside.
#[test]
fn who_writes_past_an_end_does_not_come_upon_a_header() {
    let test = &who_writes_past_an_end_does_not_come_upon_a_header;
    if Linux.page_size() > PAGE {
        // A block may share its last kernel page with bytes of a leaf that are not used: the guard begins behind them.
        return;
    }
    let far = Linux.page_size() as isize - 1;
    for (which, side) in
        [("first", "above"), ("amid", "below"), ("amid", "above"), ("region", "below"), ("region", "above")]
    {
        for bytes in [0, 1, 1024, far] {
            let Ended { finished, signal, .. } = observe(test, &format!("{which} {side} {bytes}"), &[], attack);
            assert!(signal == Some(libc::SIGSEGV) && !finished, "{bytes} bytes {side} {which}: {signal:?}");
        }
    }
}

/// The control: the same writes one byte before the leaf are the block's own.
#[test]
fn the_last_byte_below_a_leaf_and_the_first_above_it_are_the_blocks() {
    let test = &the_last_byte_below_a_leaf_and_the_first_above_it_are_the_blocks;
    for argument in ["amid below -1", "amid above -1", "first above -1", "region above -1"] {
        let ended = observe(test, argument, &[], attack);
        assert!(ended.finished, "{argument}: {ended:?}");
    }
}

/// A leaf costs few pages: blocks around one are not far apart.
#[test]
fn a_leaf_among_blocks_of_four_pages_takes_two() {
    let test = &a_leaf_among_blocks_of_four_pages_takes_two;
    let ended = observe(test, "", &[], |_| {
        let heap = over_leaves();
        assert!(Linux.page_size() > 4096 || leaf(&heap, "amid").bytes <= 2 * PAGE);
    });
    assert!(ended.finished, "{ended:?}");
}

/// A kernel that refuses to seal is no reason to fail.
#[test]
fn a_refused_seal_costs_the_guards_only() {
    let test = &a_refused_seal_costs_the_guards_only;
    let ended = observe(test, "", &[], |_| {
        refuse([libc::SYS_mprotect], libc::EPERM);
        attack("amid below 0");
        attack("region above 0");
    });
    assert!(ended.finished, "{ended:?}");
}

/// A lowered break removes guards, and what is raised there again can be written.
#[test]
fn a_break_that_is_lowered_over_guards_can_be_raised_over_them() {
    let test = &a_break_that_is_lowered_over_guards_can_be_raised_over_them;
    let ended = observe(test, "", &[], |_| {
        let mut heap = Heap::new(Linux);
        for pages in [1, 3, 200, 1000] {
            let blocks: Vec<_> = (0..400).map(|_| heap.allocate(layout(pages * 1000)).expect("memory")).collect();
            for payload in blocks {
                // SAFETY: the block is this long, and not used after it was freed.
                unsafe {
                    payload.write_bytes(1, pages * 1000);
                    heap.free(payload.as_ptr()).expect("a live block");
                }
            }
            assert_eq!(heap.check(), Ok(()));
            heap.trim(0);
            assert_eq!(heap.check(), Ok(()));
        }
        assert!(heap.stats().heap_bytes == leaf(&heap, "first").bytes);
    });
    assert!(ended.finished, "{ended:?}");
}
