//! A heap that grows and shrinks over the leaves of its page map. Where the source has no room aside, its handles move to
//! another array and back at 64, 128, 256, ... pages; where it has one, that ends at 128 pages, and none comes between
//! blocks that grow. Every block, and every page of one, has to be found in each.

use hmalloc::{Heap, MisuseKind, PAGE, SpanKind};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use support::arena::Arena;
use support::calls::{MIB, free, get, layout};
use support::leaves::{least_metadata, room_for_metadata};
use support::pattern;
use support::watched::{Call, Watched};

/// The blocks of a heap, and what each was filled with.
struct Blocks<'a> {
    heap: Heap<Watched<'a>>,
    live: BTreeMap<usize, (NonNull<u8>, usize)>,
}

/// Bytes that are filled at either end of a block.
const ENDS: usize = 64;

impl<'a> Blocks<'a> {
    fn new(arena: &'a mut Arena, has_room: bool) -> Self {
        let mut brk = Watched::new(arena.brk());
        brk.has_room = has_room;
        Self { heap: Heap::new(brk), live: BTreeMap::new() }
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

    /// Makes a block `size` bytes long, and says where it is then.
    fn resize(&mut self, at: usize, size: usize) -> usize {
        let (payload, _) = self.live.remove(&at).expect("a live block");
        // SAFETY: the old address is forgotten.
        let payload = unsafe { self.heap.resize(payload.as_ptr(), layout(size, 8)) }.expect("room");
        let (at, usable) = (payload.addr().get(), self.heap.usable_size(payload.as_ptr()).expect("a live block"));
        for end in Self::ends(payload, usable) {
            // SAFETY: the end lies in the block; what is new of it may not have been written yet.
            unsafe { end.as_mut_ptr().write_bytes(0, end.len()) };
            pattern::fill(end, at);
        }
        self.live.insert(at, (payload, usable));
        at
    }

    /// Pages from the heap's first to its last.
    fn pages(&self) -> usize {
        let stats = self.heap.stats();
        (stats.heap_bytes - stats.aside_bytes) / PAGE
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
        assert_eq!(self.kind(self.heap.brk().brk.current()), MisuseKind::OutsideHeap);
    }

    /// Metadata spans: one at the start, and one for each leaf in line or several that came at once.
    fn metadata(&self) -> usize {
        self.heap.spans().filter(|span| span.kind == SpanKind::Metadata).count()
    }

    /// Bytes of metadata, in line and aside.
    fn metadata_bytes(&self) -> usize {
        self.heap.stats().metadata_bytes
    }
}

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
            // No leaf is to go before it is counted.
            blocks.heap.brk_mut().brk.refuse_lowering(true);
            high_and_low(&mut blocks, top, 40 + 20 * round);
            blocks.heap.brk_mut().brk.refuse_lowering(false);
            let high = blocks.metadata_bytes();
            blocks.heap.trim(round * PAGE);
            assert!(blocks.metadata_bytes() < high, "no leaf went with {} of {top} pages", blocks.pages());
            blocks.verify();
            // The pages that come again were others' before.
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
        // What is idle is taken apart by the first call, and the rest of it refused.
        blocks.heap.trim(0);
        let (before, calls) = (now(&blocks), blocks.heap.brk().brk.calls());
        // The last is more than lies above the last leaf, and less than lies below it.
        for keep in [0, PAGE, 20 * PAGE] {
            assert_eq!(blocks.heap.trim(keep), 0);
            assert_eq!(now(&blocks), before);
            blocks.verify();
        }
        assert_eq!(blocks.heap.brk().brk.calls(), calls + 3, "the break was asked each time");
        // It goes on at both ends of the heap,
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

/// Grows a block by steps of 4 KiB until the break can go no further, and some more. It stays where it is.
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

/// The other side of it: without a room, the block moves, and only then.
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

/// Something lies in the way of the metadata: whichever piece it is, the heap is as it was, and goes on in regions.
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
