//! Whether what a heap tells about itself agrees with the oracle, and among itself.

use super::snapshot::{Snapshot, end};
use super::{Oracle, Verdict};
use crate::ensure;
use hmalloc::{Block, BlockState, SpanInfo, SpanKind};

impl Snapshot {
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
