//! A heap that grows and shrinks over the leaves of its page map. Where the source has no room aside, its handles move to
//! another array and back at 64, 128, 256, ... pages; where it has one, that ends at 128 pages, and none comes between
//! blocks that grow. Every block, and every page of one, has to be found in each.

mod aside;
mod blocks;

use blocks::Blocks;
use hmalloc::{PAGE, SpanKind};
use support::arena::Arena;
use support::calls::MIB;
use support::leaves::least_metadata;

const LEAVES: [usize; 6] = [64, 128, 256, 512, 1024, 2048];

/// With a room for metadata, and without.
const BOTH: [bool; 2] = [true, false];

#[test]
fn growth_over_many_leaves_keeps_every_block() {
    BOTH.into_iter().for_each(growth_over_many_leaves);
}

fn growth_over_many_leaves(has_room: bool) {
    let mut arena = Arena::at(48 * MIB, 7 * PAGE);
    let mut blocks = Blocks::new(&mut arena, has_room);
    for pages in LEAVES {
        let (before, aside) = (blocks.metadata(), blocks.heap.stats().aside_bytes);
        blocks.grow(pages + 2);
        if has_room && pages > 64 {
            assert_eq!(blocks.metadata(), before, "no metadata among blocks at page {pages}");
            let now = blocks.heap.stats().aside_bytes;
            assert!(now >= aside && now >= (pages - 60) * 192, "{now} bytes aside for page {pages}");
        } else {
            assert_eq!(blocks.metadata(), before + 1 + usize::from(before == 0), "a leaf for page {pages}");
            assert_eq!(blocks.heap.stats().aside_bytes, 0);
        }
        blocks.verify();
        // Blocks change their kind on every level, so that no two arrays of handles are alike.
        blocks.free_some(|rank| rank % 3 == 0);
        blocks.verify();
    }
}

/// Grows to `top` pages, frees all but a few blocks below `low` pages, and puts others where the freed ones were.
fn high_and_low(blocks: &mut Blocks<'_>, top: usize, low: usize) {
    blocks.grow(top);
    let base = blocks.heap.spans().next().expect("a span").address;
    let limit = base + low * PAGE;
    let low_rank = blocks.live.range(..limit).count();
    blocks.free_some(|rank| rank >= low_rank || rank % 4 != 0);
    blocks.heap.trim(usize::MAX);
    for (index, size) in [40_000, 20, 100_000, 700, 20_000, 5000, 70_000].into_iter().cycle().take(30).enumerate() {
        let at = blocks.get(size + index).expect("room");
        assert!(at < limit + 64 * PAGE, "{at:#x} is not low in the heap");
    }
    blocks.verify();
}

#[test]
fn a_lowered_break_takes_leaves_with_it_and_the_rest_stays() {
    BOTH.into_iter().for_each(a_lowered_break_takes_leaves);
}

fn a_lowered_break_takes_leaves(has_room: bool) {
    let mut arena = Arena::at(48 * MIB, PAGE);
    let mut blocks = Blocks::new(&mut arena, has_room);
    for round in 0..3 {
        for top in [130, 600, 2100] {
            // No leaf may be returned before it is counted.
            blocks.heap.brk_mut().brk.refuse_lowering(true);
            high_and_low(&mut blocks, top, 40 + 20 * round);
            blocks.heap.brk_mut().brk.refuse_lowering(false);
            let high = blocks.metadata_bytes();
            blocks.heap.trim(round * PAGE);
            assert!(blocks.metadata_bytes() < high, "no leaf went with {} of {top} pages", blocks.pages());
            blocks.verify();
            // The pages that are raised again belonged to other blocks before.
            blocks.grow(top);
            blocks.verify();
        }
        blocks.free_some(|_| true);
        blocks.heap.trim(0);
        assert!(blocks.pages() * PAGE <= least_metadata(4096) && blocks.heap.stats().aside_bytes == 0);
        blocks.verify();
    }
}

#[test]
fn a_refused_lowering_over_leaves_changes_nothing() {
    BOTH.into_iter().for_each(a_refused_lowering_over_leaves);
}

fn a_refused_lowering_over_leaves(has_room: bool) {
    let mut arena = Arena::at(48 * MIB, 0);
    let mut blocks = Blocks::new(&mut arena, has_room);
    for top in [130, 600, 2100] {
        blocks.heap.brk_mut().brk.refuse_lowering(true);
        high_and_low(&mut blocks, top, 50);
        let now = |blocks: &Blocks<'_>| -> (Vec<_>, Vec<_>, usize) {
            let heap = &blocks.heap;
            (heap.spans().collect(), heap.blocks().collect(), heap.brk().brk.current())
        };
        // The first call retires idle slabs; the rest of it is refused.
        blocks.heap.trim(0);
        let (before, calls) = (now(&blocks), blocks.heap.brk().brk.calls());
        // The last is more than lies above the last leaf, and less than lies below it.
        for keep in [0, PAGE, 20 * PAGE] {
            assert_eq!(blocks.heap.trim(keep), 0);
            assert_eq!(now(&blocks), before);
            blocks.verify();
        }
        assert_eq!(blocks.heap.brk().brk.calls(), calls + 3, "the break was asked each time");
        // It serves at both ends of the heap,
        let most = blocks.heap.spans().filter(|span| span.kind == SpanKind::Free).map(|span| span.bytes).max();
        let high = blocks.get(most.expect("a free span")).expect("the longest free span");
        let low = blocks.get(3000).expect("room");
        blocks.verify();
        blocks.free(high);
        blocks.verify();
        // until it is granted.
        blocks.heap.brk_mut().brk.refuse_lowering(false);
        let leaves = blocks.metadata_bytes();
        let given = blocks.heap.trim(0);
        // What lies aside shrinks by eighths.
        assert!(given > 0 && (blocks.metadata_bytes() < leaves || has_room && given < 64 * PAGE), "{given} bytes");
        blocks.verify();
        blocks.grow(top + 1);
        blocks.free(low);
        blocks.verify();
    }
}

/// A heap that becomes several leaves larger at once, and smaller again.
#[test]
fn a_large_block_skips_leaves_and_takes_them_with_it() {
    BOTH.into_iter().for_each(a_large_block_skips_leaves);
}

fn a_large_block_skips_leaves(has_room: bool) {
    let mut arena = Arena::at(80 * MIB, 3 * PAGE);
    let mut blocks = Blocks::new(&mut arena, has_room);
    blocks.grow(50);
    for size in [2 * MIB, 9 * MIB, 60 * MIB] {
        let large = blocks.get(size).expect("room");
        blocks.verify();
        let below = blocks.live.range(..large).count();
        blocks.free_some(|rank| rank < below && rank % 5 == 0);
        blocks.verify();
        blocks.free(large);
        blocks.heap.trim(0);
        assert!(blocks.pages() <= 64 + 64, "{} pages", blocks.pages());
        blocks.verify();
    }
}
