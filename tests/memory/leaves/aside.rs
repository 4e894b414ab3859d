//! Metadata aside: it is never in the way of a block that grows, it is mapped once, and it is returned with the heap.

use super::blocks::Blocks;
use hmalloc::{Heap, PAGE, SpanKind};
use std::collections::BTreeMap;
use support::arena::Arena;
use support::calls::MIB;
use support::leaves::room_for_metadata;
use support::watched::{Call, Watched};

/// Grows a block by steps of 4 KiB to `to` bytes. It stays where it is.
fn grows_in_place(blocks: &mut Blocks<'_>, mut size: usize, to: usize) {
    let at = blocks.get(size).expect("room");
    while size + 4096 <= to {
        size += 4096;
        assert_eq!(blocks.resize(at, size), at, "the block moved when it grew to {size} bytes");
    }
    blocks.verify();
}

#[test]
fn a_block_at_the_end_grows_over_all_leaves_and_never_moves() {
    for below in [0, 3, 60, 300] {
        let mut arena = Arena::at(32 * MIB, 9 * PAGE);
        let mut blocks = Blocks::new(&mut arena, true);
        (0..below).for_each(|_| _ = blocks.get(700).expect("room"));
        let metadata = room_for_metadata(32 * MIB, 4096) + 3 * PAGE;
        grows_in_place(&mut blocks, 60_000, 32 * MIB - metadata - below * 800 - 4 * PAGE);
        assert!(blocks.metadata() <= 2, "{} metadata spans", blocks.metadata());
    }
}

/// The control: without a room, the block moves.
#[test]
fn without_a_room_a_block_that_grows_moves_at_leaves_only() {
    let mut arena = Arena::at(64 * MIB, 0);
    let mut blocks = Blocks::new(&mut arena, false);
    let (mut at, mut moves) = (blocks.get(60_000).expect("room"), 0);
    for size in (60_000..20 * MIB).step_by(4096) {
        let now = blocks.resize(at, size);
        moves += usize::from(now != at);
        at = now;
    }
    assert!((2..=6).contains(&moves), "{moves} moves");
    blocks.verify();
}

/// The headers and handles of blocks do not move when the heap grows: none of the room is mapped twice, and nothing of
/// it is returned.
#[test]
fn metadata_aside_is_mapped_once_and_grows_at_its_ends() {
    let mut arena = Arena::at(160 * MIB, 0);
    let mut blocks = Blocks::new(&mut arena, true);
    blocks.grow(9000);
    let pieces = |blocks: &Blocks<'_>| -> Vec<_> {
        let log = blocks.heap.brk().log.iter();
        log.filter(|call| !matches!(call, Call::Raised(_) | Call::Lowered(_) | Call::ExpectedUse(_))).cloned().collect()
    };
    let mut ends: Vec<usize> = Vec::new();
    for call in pieces(&blocks) {
        let Call::MappedAside(piece) = call else { panic!("{call:x?} while the heap grew") };
        match ends.iter_mut().find(|end| **end == piece.start) {
            Some(end) => *end = piece.end,
            None => ends.push(piece.end),
        }
    }
    assert!(!ends.is_empty() && ends.len() <= 2, "the pieces of two arrays, each behind the last: {ends:x?}");
    let calls = pieces(&blocks).len();
    assert!(calls <= 60, "{calls} pieces for 9000 pages");
    blocks.verify();
}

#[test]
fn a_heap_that_shrinks_returns_its_metadata() {
    let mut arena = Arena::at(200 * MIB, 0);
    let mut blocks = Blocks::new(&mut arena, true);
    blocks.grow(3);
    let large = blocks.get(150 * MIB).expect("room");
    let most = blocks.heap.stats().aside_bytes;
    assert!(most >= (150 * MIB / PAGE - 60) * 200, "{most} bytes aside for 150 MiB");
    blocks.resize(large, 30 * MIB);
    let touched = blocks.heap.trim(0);
    let left = blocks.heap.stats().aside_bytes;
    assert!(touched > 0 && left < most / 3, "{left} of {most} bytes of metadata are left of a fifth of the heap");
    blocks.verify();
    blocks.free(large);
    blocks.heap.trim(0);
    assert_eq!(blocks.heap.stats().aside_bytes, 0);
    let calls = blocks.heap.brk().log.len();
    // A loop at the edge: the break comes and goes, and metadata stays.
    for _ in 0..2000 {
        let large = blocks.get(3 * MIB).expect("room");
        blocks.free(large);
    }
    let calls = blocks.heap.brk().log.len() - calls;
    assert!(calls <= 2 * 2000 + 20, "{calls} calls in a loop at the edge");
    assert!(blocks.heap.stats().aside_bytes <= 256 << 10);
    blocks.verify();
}

/// One piece of the metadata cannot be mapped. Whichever it is, the heap is as it was, and goes on in regions.
#[test]
fn a_refused_piece_of_metadata_refuses_the_raise_and_nothing_else() {
    for pieces in 0..12 {
        let mut arena = Arena::at(160 * MIB, 0);
        let mut brk = Watched::new(arena.brk());
        brk.brk.allow_mappings(32 * MIB);
        brk.pieces = pieces;
        let mut blocks = Blocks { heap: Heap::new(brk), live: BTreeMap::new() };
        blocks.grow(100);
        let mut before = blocks.heap.stats();
        while before.mapped_bytes == 0 {
            let end = blocks.heap.brk().brk.current();
            let log = blocks.heap.brk().log.len();
            blocks.grow(blocks.pages());
            let after = blocks.heap.stats();
            if after.mapped_bytes > 0 {
                assert_eq!(blocks.heap.brk().brk.current(), end, "the break did not move");
                assert_eq!(after.aside_bytes, before.aside_bytes, "nothing was kept of a refused raise");
                let left = blocks.heap.brk().log[log..].iter();
                assert!(left.clone().all(|call| matches!(call, Call::MappedAside(_) | Call::Unmapped(_))), "{left:x?}");
            }
            before = after;
        }
        blocks.verify();
        // A block at the end cannot grow there, and moves.
        let last = *blocks.live.keys().next_back().expect("blocks");
        let moved = blocks.resize(last, 8 * MIB);
        blocks.verify();
        // Until it is granted.
        blocks.heap.brk_mut().pieces = usize::MAX;
        blocks.free(moved);
        let aside = blocks.heap.stats().aside_bytes;
        let free = blocks.heap.spans().filter(|span| span.kind == SpanKind::Free).map(|span| span.bytes).max();
        blocks.get(free.unwrap_or(0) + 16 * MIB).expect("room");
        let now = blocks.heap.stats();
        assert!(now.aside_bytes > aside, "{pieces} pieces, {free:?} free: {now:?}");
        blocks.free_some(|_| true);
        blocks.heap.trim(0);
        assert_eq!(blocks.heap.stats().aside_bytes, 0);
        blocks.verify();
    }
}

/// The break is refused after the metadata was mapped.
#[test]
fn a_refused_raise_leaves_no_metadata_behind() {
    let mut arena = Arena::at(64 * MIB, 0);
    let mut blocks = Blocks::new(&mut arena, true);
    blocks.grow(140);
    let before = blocks.heap.stats();
    blocks.heap.brk_mut().brk.fail_after(0);
    assert_eq!(blocks.get(40 * MIB), None);
    let after = blocks.heap.stats();
    assert_eq!(
        (after.aside_bytes, after.heap_bytes, after.peak_heap_bytes),
        (before.aside_bytes, before.heap_bytes, before.peak_heap_bytes)
    );
    let unmapped = blocks.heap.brk().log.iter().any(|call| matches!(call, Call::Unmapped(_)));
    assert!(unmapped, "it was there");
    blocks.verify();
}
