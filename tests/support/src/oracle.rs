//! The oracle: what every byte of the heap is, from the outside.
//!
//! It knows which payloads are live because it watched every call. Whatever it learns from the heap (its blocks,
//! spans and statistics) has to agree with that and among itself.

use crate::subject::EmulatedHeap;
use hmalloc::{Block, BlockState, Misuse, MisuseKind, SpanInfo, SpanKind, Stats};
use std::alloc::Layout;
use std::collections::BTreeMap;

/// An answer of the model: fine, or what is wrong.
pub type Verdict<T = ()> = Result<T, String>;

/// Returns what is wrong unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}

/// Every payload is a multiple of this; what is not is [`MisuseKind::Misaligned`].
pub const SMALLEST_ALIGNMENT: usize = 16;

/// A payload that the heap handed out.
#[derive(Debug, Clone, Copy)]
pub struct Live {
    pub payload: *mut u8,
    pub usable: usize,
    pub layout: Layout,
    /// Its pattern, and its age: later payloads have larger seeds.
    pub seed: usize,
}

/// What the caller of the heap knows.
#[derive(Debug, Default)]
pub struct Oracle {
    pub live: BTreeMap<usize, Live>,
    /// Payload starts that were freed and not handed out since, and the step in which they were.
    pub freed: BTreeMap<usize, usize>,
    /// The slabs by address: their slot size, and the step since which they stand.
    pub slabs: BTreeMap<usize, (usize, usize)>,
    /// Looks at the heap so far.
    pub step: usize,
    /// Ranges over which someone else raised the break, as start and end.
    pub foreign: Vec<(usize, usize)>,
}

impl Oracle {
    /// The live payload that `bytes` bytes at `start` would touch.
    pub fn overlapped(&self, start: usize, bytes: usize) -> Option<(usize, Live)> {
        let below =
            self.live.range(..=start).next_back().filter(|(at, live)| **at == start || *at + live.usable > start);
        let within = || self.live.range(start..start + bytes).next();
        below.or_else(within).map(|(at, live)| (*at, *live))
    }

    /// Takes notice of slabs that came and went.
    pub fn note_slabs(&mut self, spans: &[SpanInfo]) {
        self.step += 1;
        let before = std::mem::take(&mut self.slabs);
        for span in spans {
            if let SpanKind::Slab { slot, .. } = span.kind {
                let same = before.get(&span.address).filter(|(was, _)| *was == slot);
                self.slabs.insert(span.address, *same.unwrap_or(&(slot, self.step)));
            }
        }
    }

    /// Whether a payload that started at `address` was freed while the slab at `slab` stood.
    fn freed_in(&self, slab: usize, address: usize) -> bool {
        let since = self.slabs.get(&slab).map(|(_, since)| since);
        self.freed.get(&address).is_some_and(|freed| since.is_some_and(|since| since <= freed))
    }

    /// Whether `bytes` bytes at `start` touch memory that is someone else's.
    pub fn touches_foreign(&self, start: usize, bytes: usize) -> bool {
        self.foreign.iter().any(|&(from, to)| start < to && from < start + bytes)
    }
}

/// All that a heap tells about itself, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub blocks: Vec<Block>,
    pub spans: Vec<SpanInfo>,
    pub stats: Stats,
}

/// What has to come of a pointer that is given to the heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// A payload of this usable size.
    Payload(usize),
    /// A misuse of this kind.
    Kind(MisuseKind),
    /// A free block that the heap may, but need not, recognise as a block that once lived.
    NotABlockOrFree,
}

/// The end of a tile.
fn end(block: &Block) -> usize {
    block.address + block.size
}

impl Snapshot {
    pub fn of(heap: &EmulatedHeap<'_>) -> Self {
        Self { blocks: heap.blocks().collect(), spans: heap.spans().collect(), stats: heap.stats() }
    }

    /// The tile that contains `address`.
    pub fn block_at(&self, address: usize) -> Option<Block> {
        let after = self.blocks.partition_point(|block| block.address <= address);
        let block = *self.blocks.get(after.checked_sub(1)?)?;
        (block.address == address || address < end(&block)).then_some(block)
    }

    /// The span that contains `address`.
    pub fn span_at(&self, address: usize) -> Option<SpanInfo> {
        let after = self.spans.partition_point(|span| span.address <= address);
        let span = *self.spans.get(after.checked_sub(1)?)?;
        (address < span.address + span.bytes).then_some(span)
    }

    /// The same blocks and figures, but for the count of calls to the kernel, which a failed call may raise. Slabs in
    /// which nothing is live may have been given up in the attempt.
    pub fn unchanged_since(&self, before: &Self) -> Verdict {
        let Stats { brk_calls, map_calls, .. } = self.stats;
        let stats = Stats { brk_calls, map_calls, ..before.stats };
        ensure!(self.blocks == before.blocks, "changed blocks: {:x?} became {:x?}", before.blocks, self.blocks);
        ensure!(self.stats == stats, "changed stats: {:?} became {:?}", before.stats, self.stats);
        Ok(())
    }

    /// What the heap has to say about `address`.
    pub fn expected(&self, oracle: &Oracle, address: usize) -> Expected {
        if let Some(live) = oracle.live.get(&address) {
            return Expected::Payload(live.usable);
        }
        let Some(block) = self.block_at(address) else {
            return Expected::Kind(MisuseKind::OutsideHeap);
        };
        if !address.is_multiple_of(SMALLEST_ALIGNMENT) {
            return Expected::Kind(MisuseKind::Misaligned);
        }
        if block.state != BlockState::Free {
            return Expected::Kind(MisuseKind::NotABlock);
        }
        match self.span_at(address).map(|span| (span.kind, address - span.address)) {
            Some((SpanKind::Slab { slot, capacity, .. }, offset)) => {
                let start = offset.is_multiple_of(slot) && offset / slot < capacity;
                match (start, oracle.freed_in(address - offset, address)) {
                    (false, _) => Expected::Kind(MisuseKind::NotABlock),
                    (true, true) => Expected::Kind(MisuseKind::AlreadyFree),
                    // Whether a slot was ever handed out is not told by a bitmap of the free ones.
                    (true, false) => Expected::NotABlockOrFree,
                }
            }
            // A free span does not know whether it was a block before.
            Some((_, 0)) => Expected::NotABlockOrFree,
            _ => Expected::Kind(MisuseKind::NotABlock),
        }
    }

    /// Judges the heap's answer about `address`.
    pub fn judge(&self, expected: Expected, address: usize, answer: Result<usize, Misuse>) -> Verdict {
        let misuse = match (expected, answer) {
            (Expected::Payload(usable), Ok(size)) => {
                ensure!(size == usable, "{address:#x} has {usable} usable bytes, not {size}");
                return Ok(());
            }
            (Expected::Payload(_), Err(misuse)) => return Err(format!("{address:#x} is a payload: {misuse:x?}")),
            (expected, Ok(_)) => return Err(format!("accepted {address:#x}, expected {expected:?}")),
            (Expected::Kind(kind), Err(misuse)) => {
                ensure!(misuse.kind == kind, "wrong kind for {address:#x}: {misuse:x?}, expected {kind:?}");
                misuse
            }
            (Expected::NotABlockOrFree, Err(misuse)) => {
                let known = [MisuseKind::NotABlock, MisuseKind::AlreadyFree].contains(&misuse.kind);
                ensure!(known, "wrong kind for {address:#x}: {misuse:x?}");
                misuse
            }
        };
        ensure!(misuse.address == address, "{misuse:x?} is about another address than {address:#x}");
        self.judge_found(misuse, address)
    }

    /// A misuse inside the heap names the block that it met; outside, at most a block that exists.
    fn judge_found(&self, misuse: Misuse, address: usize) -> Verdict {
        let Some(tile) = self.block_at(address) else {
            let exists = misuse.found.is_none_or(|found| self.blocks.contains(&found));
            ensure!(exists, "found a block that is not there: {misuse:x?}");
            return Ok(());
        };
        let Some(found) = misuse.found else {
            return Err(format!("names no block: {misuse:x?} in {tile:x?}"));
        };
        ensure!(found.state == tile.state, "found another state: {misuse:x?} in {tile:x?}");
        ensure!(found.address <= address && address < end(&found), "found a block elsewhere: {misuse:x?}");
        // A free tile is a run of slots and spans, any one of which may be named.
        let same = if tile.state == BlockState::Used {
            found == tile
        } else {
            tile.address <= found.address && end(&found) <= end(&tile)
        };
        ensure!(same, "found another block: {misuse:x?} in {tile:x?}");
        Ok(())
    }

    /// The tiles are in address order, disjoint, without gaps below `maps_start`, and free ones are maximal.
    pub fn audit_tiles(&self, maps_start: usize) -> Verdict {
        for pair in self.blocks.windows(2) {
            let [lower, upper] = [pair[0], pair[1]];
            ensure!(end(&lower) <= upper.address, "overlapping tiles {lower:x?} and {upper:x?}");
            let gap = end(&lower) < upper.address;
            ensure!(!gap || upper.address >= maps_start, "a gap between tiles {lower:x?} and {upper:x?}");
            let both_free = lower.state == BlockState::Free && upper.state == BlockState::Free;
            let region_starts = upper.address >= maps_start;
            ensure!(gap || !both_free || region_starts, "neighbouring free tiles {lower:x?} and {upper:x?}");
        }
        let empty = self.blocks.iter().find(|block| block.size == 0);
        ensure!(empty.is_none(), "an empty tile {empty:x?}");
        Ok(())
    }

    /// The used tiles are the oracle's live payloads, and no tile but a foreign one touches foreign memory.
    pub fn audit_owners(&self, oracle: &Oracle, page: usize) -> Verdict {
        let used = self.blocks.iter().filter(|block| block.state == BlockState::Used);
        let mut live = oracle.live.iter();
        for block in used {
            let (at, live) = live.next().ok_or_else(|| format!("used but not live: {block:x?}"))?;
            let same = block.address == *at && block.size == live.usable;
            ensure!(same, "used tile {block:x?} instead of payload {at:#x} of {:#x}", live.usable);
        }
        ensure!(live.next().is_none(), "a live payload is in no tile");
        for block in &self.blocks {
            let touches = oracle.touches_foreign(block.address, block.size);
            let fence = block.state == BlockState::Foreign;
            ensure!(fence == touches, "{block:x?}, but the foreign ranges are {:x?}", oracle.foreign);
            let theirs: usize = oracle.foreign.iter().map(|(from, to)| to - from).sum();
            ensure!(!fence || block.size <= theirs + 2 * page, "the fence {block:x?} takes in too much");
        }
        Ok(())
    }

    /// The statistics are the sums over the tiles.
    pub fn audit_stats(&self) -> Verdict {
        let sum =
            |state| self.blocks.iter().filter(|block| block.state == state).map(|block| block.size).sum::<usize>();
        let (used, free) = (sum(BlockState::Used), sum(BlockState::Free));
        let (metadata, foreign) = (sum(BlockState::Metadata), sum(BlockState::Foreign));
        let count = self.blocks.iter().filter(|block| block.state == BlockState::Used).count();
        let stats = self.stats;
        ensure!(stats.live_blocks == count, "live_blocks is not {count}: {stats:?}");
        ensure!(stats.live_bytes == used, "live_bytes is not {used}: {stats:?}");
        ensure!(stats.free_bytes == free, "free_bytes is not {free}: {stats:?}");
        let metadata = metadata + stats.aside_bytes;
        ensure!(stats.metadata_bytes == metadata, "metadata_bytes is not {metadata}: {stats:?}");
        ensure!(stats.foreign_bytes == foreign, "foreign_bytes is not {foreign}: {stats:?}");
        let heap = used + free + metadata;
        ensure!(stats.heap_bytes == heap, "heap_bytes is not {heap}: {stats:?}");
        ensure!(stats.peak_heap_bytes >= heap, "peak_heap_bytes is below {heap}: {stats:?}");
        Ok(())
    }

    /// The spans cover what the tiles cover, and each holds what its kind says.
    pub fn audit_spans(&self) -> Verdict {
        let covered = |ranges: &mut dyn Iterator<Item = (usize, usize)>| -> Vec<(usize, usize)> {
            let mut runs: Vec<(usize, usize)> = Vec::new();
            for (start, end) in ranges {
                match runs.last_mut() {
                    Some(last) if last.1 == start => last.1 = end,
                    _ => runs.push((start, end)),
                }
            }
            runs
        };
        let tiles = covered(&mut self.blocks.iter().map(|block| (block.address, end(block))));
        let spans = covered(&mut self.spans.iter().map(|span| (span.address, span.address + span.bytes)));
        ensure!(tiles == spans, "tiles cover {tiles:x?}, spans cover {spans:x?}");
        self.spans.iter().try_for_each(|span| self.audit_span(span))
    }

    fn audit_span(&self, span: &SpanInfo) -> Verdict {
        let first = self.blocks.partition_point(|block| end(block) <= span.address);
        let span_end = span.address + span.bytes;
        let inside = || self.blocks[first..].iter().take_while(|block| block.address < span_end);
        let used = || inside().filter(|block| block.state == BlockState::Used);
        let only = |state| inside().all(|block| block.state == state);
        match span.kind {
            SpanKind::Metadata => ensure!(only(BlockState::Metadata), "{span:x?} is not metadata in blocks()"),
            SpanKind::Foreign => ensure!(only(BlockState::Foreign), "{span:x?} is not foreign in blocks()"),
            SpanKind::Free => ensure!(only(BlockState::Free), "{span:x?} is not free in blocks()"),
            SpanKind::Large => {
                let whole = used().all(|block| block.address >= span.address && end(block) <= span_end);
                ensure!(used().count() == 1 && whole, "{span:x?} is not one used block");
            }
            SpanKind::Slab { slot, capacity, live } => {
                ensure!(slot * capacity <= span.bytes, "{span:x?} has more slots than fit");
                ensure!(used().count() == live, "{span:x?} has {} used blocks", used().count());
                let at_slot = |block: &Block| {
                    let offset = block.address.wrapping_sub(span.address);
                    block.size == slot && offset.is_multiple_of(slot) && offset / slot < capacity
                };
                ensure!(used().all(at_slot), "{span:x?} has a block that is no slot");
            }
        }
        Ok(())
    }
}
