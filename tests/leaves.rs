//! A heap that grows and shrinks over the leaves of its page map: at 64, 128, 256, ... pages, its handles move to another
//! array and back. Every block, and every page of one, has to be found in each.

mod common;

use common::arena::Arena;
use common::calls::{MIB, free, get};
use common::leaves::least_metadata;
use common::pattern;
use common::subject::EmulatedHeap;
use hmalloc::{Heap, MisuseKind, PAGE, SpanKind};
use std::collections::BTreeMap;
use std::ptr::NonNull;

/// The blocks of a heap, and what each was filled with.
struct Blocks<'a> {
    heap: EmulatedHeap<'a>,
    live: BTreeMap<usize, (NonNull<u8>, usize)>,
}

/// Bytes that are filled at either end of a block.
const ENDS: usize = 64;

impl<'a> Blocks<'a> {
    fn new(arena: &'a mut Arena) -> Self {
        Self { heap: Heap::new(arena.brk()), live: BTreeMap::new() }
    }

    fn ends<'b>(payload: NonNull<u8>, usable: usize) -> [&'b mut [u8]; 2] {
        let length = ENDS.min(usable / 2);
        // SAFETY: the block is live and `usable` bytes long, so its ends do not overlap; they are filled when it is made.
        [0, usable - length].map(|at| unsafe { std::slice::from_raw_parts_mut(payload.as_ptr().add(at), length) })
    }

    fn get(&mut self, size: usize) -> Option<usize> {
        let payload = get(&mut self.heap, size)?;
        let usable = self.heap.usable_size(payload.as_ptr()).expect("a live block");
        // SAFETY: the block is `usable` bytes long; a slice needs its bytes written.
        unsafe { payload.write_bytes(0, usable) };
        let at = payload.addr().get();
        Self::ends(payload, usable).into_iter().for_each(|end| pattern::fill(end, at));
        assert_eq!(self.live.insert(at, (payload, usable)), None, "{at:#x} was handed out twice");
        Some(at)
    }

    fn free(&mut self, at: usize) {
        let (payload, _) = self.live.remove(&at).expect("a live block");
        free(&mut self.heap, payload);
    }

    /// Frees the blocks that `choose` says by their rank.
    fn free_some(&mut self, choose: impl Fn(usize) -> bool) {
        let chosen: Vec<usize> =
            self.live.keys().enumerate().filter(|(rank, _)| choose(*rank)).map(|(_, &at)| at).collect();
        chosen.into_iter().for_each(|at| self.free(at));
    }

    /// Grows until the heap has more than `pages` pages: blocks of all kinds, and more of them large where the heap is.
    fn grow(&mut self, pages: usize) {
        let mut step = 0_usize;
        while self.pages() <= pages {
            step += 1;
            let size = match step % 8 {
                0 => PAGE + 1 + step % 7 * PAGE,
                1 => 9000,
                2 => 3 * PAGE * (1 + pages / 256),
                3 => 300,
                _ => 1000 + step % 5 * 600,
            };
            self.get(size).expect("room");
        }
    }

    /// Pages from the heap's first to its last.
    fn pages(&self) -> usize {
        self.heap.stats().heap_bytes / PAGE
    }

    fn kind(&self, at: usize) -> MisuseKind {
        let answer = self.heap.usable_size(std::ptr::without_provenance(at));
        answer.expect_err("no block starts there").kind
    }

    /// Every block is found, exactly, with its length and content; every page is what its span says.
    fn verify(&self) {
        assert_eq!(self.heap.check(), Ok(()));
        assert_eq!(self.heap.stats().live_blocks, self.live.len());
        for (&at, &(payload, usable)) in &self.live {
            assert_eq!(self.heap.usable_size(payload.as_ptr()), Ok(usable), "{at:#x}");
            for end in Self::ends(payload, usable) {
                assert_eq!(pattern::first_difference(end, at), None, "in the block at {at:#x}");
            }
            if usable > 16 {
                assert_eq!(self.kind(at + usable / 32 * 16), MisuseKind::NotABlock, "inside the block at {at:#x}");
            }
            for page in (PAGE..usable).step_by(PAGE) {
                assert_eq!(self.kind(at + page), MisuseKind::NotABlock, "{page} bytes into the block at {at:#x}");
            }
        }
        for span in self.heap.spans().filter(|span| !matches!(span.kind, SpanKind::Slab { .. } | SpanKind::Large)) {
            for page in (span.address..span.address + span.bytes).step_by(PAGE) {
                let first_of_free = span.kind == SpanKind::Free && page == span.address;
                let expected = if first_of_free { MisuseKind::AlreadyFree } else { MisuseKind::NotABlock };
                assert_eq!(self.kind(page), expected, "{page:#x} in {span:x?}");
            }
        }
        assert_eq!(self.kind(self.heap.brk().current()), MisuseKind::OutsideHeap);
    }

    /// Metadata spans: one at the start, and one for each leaf or several that came at once.
    fn metadata(&self) -> usize {
        self.heap.spans().filter(|span| span.kind == SpanKind::Metadata).count()
    }
}

const LEAVES: [usize; 6] = [64, 128, 256, 512, 1024, 2048];

#[test]
fn growth_over_many_leaves_keeps_every_block() {
    let mut arena = Arena::at(48 * MIB, 7 * PAGE);
    let mut blocks = Blocks::new(&mut arena);
    for pages in LEAVES {
        let before = blocks.metadata();
        blocks.grow(pages + 2);
        assert_eq!(blocks.metadata(), before + 1 + usize::from(before == 0), "a leaf for page {pages}");
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
    let mut arena = Arena::at(48 * MIB, PAGE);
    let mut blocks = Blocks::new(&mut arena);
    for round in 0..3 {
        for top in [130, 600, 2100] {
            // No leaf is to go before it is counted.
            blocks.heap.brk_mut().refuse_lowering(true);
            high_and_low(&mut blocks, top, 40 + 20 * round);
            blocks.heap.brk_mut().refuse_lowering(false);
            let high = blocks.metadata();
            blocks.heap.trim(round * PAGE);
            assert!(blocks.metadata() < high, "no leaf went with {} of {top} pages", blocks.pages());
            blocks.verify();
            // The pages that come again were others' before.
            blocks.grow(top);
            blocks.verify();
        }
        blocks.free_some(|_| true);
        blocks.heap.trim(0);
        assert!(blocks.pages() * PAGE <= least_metadata(4096));
        blocks.verify();
    }
}

#[test]
fn a_refused_lowering_over_leaves_changes_nothing() {
    let mut arena = Arena::at(48 * MIB, 0);
    let mut blocks = Blocks::new(&mut arena);
    for top in [130, 600, 2100] {
        blocks.heap.brk_mut().refuse_lowering(true);
        high_and_low(&mut blocks, top, 50);
        let now = |blocks: &Blocks<'_>| -> (Vec<_>, Vec<_>, usize) {
            let heap = &blocks.heap;
            (heap.spans().collect(), heap.blocks().collect(), heap.brk().current())
        };
        // What is idle is taken apart by the first call, and the rest of it refused.
        blocks.heap.trim(0);
        let (before, calls) = (now(&blocks), blocks.heap.brk().calls());
        // The last is more than lies above the last leaf, and less than lies below it.
        for keep in [0, PAGE, 20 * PAGE] {
            assert_eq!(blocks.heap.trim(keep), 0);
            assert_eq!(now(&blocks), before);
            blocks.verify();
        }
        assert_eq!(blocks.heap.brk().calls(), calls + 3, "the break was asked each time");
        // It goes on at both ends of the heap,
        let most = blocks.heap.spans().filter(|span| span.kind == SpanKind::Free).map(|span| span.bytes).max();
        let high = blocks.get(most.expect("a free span")).expect("the longest free span");
        let low = blocks.get(3000).expect("room");
        blocks.verify();
        blocks.free(high);
        blocks.verify();
        // until it is granted.
        blocks.heap.brk_mut().refuse_lowering(false);
        let leaves = blocks.metadata();
        assert!(blocks.heap.trim(0) > 0 && blocks.metadata() < leaves);
        blocks.verify();
        blocks.grow(top + 1);
        blocks.free(low);
        blocks.verify();
    }
}

/// A heap that becomes several leaves larger at once, and smaller again.
#[test]
fn a_large_block_skips_leaves_and_takes_them_with_it() {
    let mut arena = Arena::at(80 * MIB, 3 * PAGE);
    let mut blocks = Blocks::new(&mut arena);
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
