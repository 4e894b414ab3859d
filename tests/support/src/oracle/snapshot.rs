//! What a heap tells about itself, and what it has to answer about an address.

use super::{Oracle, SMALLEST_ALIGNMENT, Verdict};
use crate::ensure;
use crate::hooked::HookedHeap;
use hmalloc::{Block, BlockState, Misuse, MisuseKind, SpanInfo, SpanKind, Stats};

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
pub(super) fn end(block: &Block) -> usize {
    block.address + block.size
}

impl Snapshot {
    pub fn of(heap: &HookedHeap<'_>) -> Self {
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
    /// which nothing is live may have been retired in the attempt.
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
}
