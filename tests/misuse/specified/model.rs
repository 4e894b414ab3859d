//! The model: what each address has to be called, from what the callers did and which spans stand. It is written from the
//! contract, not from the heap:
//!
//! | kind | where |
//! |---|---|
//! | `OutsideHeap` | in no span |
//! | `Misaligned` | in a span, but not a multiple of 16 |
//! | `AlreadyFree` | a payload started there, is free now, and its slab or span stands |
//! | `NotABlock` | anywhere else that is no live payload's start |
//! | `WrongLayout` | a live payload's start, with a layout that cannot be its |
//!
//! One thing is left open: the start of a slot, or of a free span, at which no payload was in the life of the slab or span. The
//! heap keeps no history of these, and may say `AlreadyFree` or `NotABlock`.

use hmalloc::{Block, BlockState, Misuse, MisuseKind, SpanInfo, SpanKind};
use support::ensure;
use support::oracle::{SMALLEST_ALIGNMENT, Verdict};

/// A payload that is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Live {
    pub(super) address: usize,
    pub(super) usable: usize,
    pub(super) size: usize,
}

/// What a pointer has to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Payload(usize),
    Wrong(MisuseKind),
    /// `NotABlock` or `AlreadyFree`.
    Open,
}

/// What the callers know, and which spans stand.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    /// In the order in which they were handed out.
    pub(super) live: Vec<Live>,
    /// Starts of payloads that are free now, and whose slab or span stands.
    pub(super) freed: Vec<usize>,
    pub(super) spans: Vec<SpanInfo>,
}

impl Model {
    /// The span that contains an address.
    fn span_at(&self, address: usize) -> Option<&SpanInfo> {
        let after = self.spans.partition_point(|span| span.address <= address);
        let span = self.spans.get(after.checked_sub(1)?)?;
        (address - span.address < span.bytes).then_some(span)
    }

    /// What the heap has to call a pointer, and the block that it has to find there.
    pub(super) fn name(&self, address: usize) -> (Name, Option<Block>) {
        let Some(span) = self.span_at(address) else { return (Name::Wrong(MisuseKind::OutsideHeap), None) };
        let found = self.block_around(span, address);
        if let Some(live) = self.live.iter().find(|live| live.address == address) {
            return (Name::Payload(live.usable), Some(found));
        }
        if !address.is_multiple_of(SMALLEST_ALIGNMENT) {
            return (Name::Wrong(MisuseKind::Misaligned), Some(found));
        }
        let starts = address == found.address && found.state == BlockState::Free && !is_tail(span, address);
        let name = match (starts, self.freed.contains(&address)) {
            (true, true) => Name::Wrong(MisuseKind::AlreadyFree),
            (true, false) => Name::Open,
            (false, _) => Name::Wrong(MisuseKind::NotABlock),
        };
        (name, Some(found))
    }

    fn block_around(&self, span: &SpanInfo, address: usize) -> Block {
        let SpanInfo { address: start, bytes, kind } = *span;
        let whole = |state| Block { address: start, size: bytes, state };
        match kind {
            SpanKind::Metadata => whole(BlockState::Metadata),
            SpanKind::Foreign => whole(BlockState::Foreign),
            SpanKind::Free => whole(BlockState::Free),
            SpanKind::Large => whole(BlockState::Used),
            SpanKind::Slab { slot, capacity, .. } => {
                let tail = start + slot * capacity;
                if address >= tail {
                    return Block { address: tail, size: start + bytes - tail, state: BlockState::Free };
                }
                let at = start + (address - start) / slot * slot;
                let live = self.live.iter().any(|live| live.address == at);
                Block { address: at, size: slot, state: if live { BlockState::Used } else { BlockState::Free } }
            }
        }
    }

    /// Judges an answer about a pointer.
    pub(super) fn judge(&self, address: usize, answer: Result<usize, Misuse>) -> Verdict {
        let (name, block) = self.name(address);
        match (name, answer) {
            (Name::Payload(usable), Ok(size)) if usable == size => return Ok(()),
            (Name::Wrong(kind), Err(misuse)) if misuse.kind == kind => {}
            (Name::Open, Err(misuse)) if [MisuseKind::NotABlock, MisuseKind::AlreadyFree].contains(&misuse.kind) => {}
            _ => return Err(format!("{address:#x} is {name:?}, but was answered with {answer:x?}")),
        }
        let named = answer.is_err_and(|misuse| misuse.address == address && misuse.found == block);
        ensure!(named, "{address:#x} is in {block:x?}, but was answered with {answer:x?}");
        Ok(())
    }

    /// A payload was handed out.
    pub(super) fn handed_out(&mut self, live: Live) -> Verdict {
        let overlaps =
            |other: &Live| live.address < other.address + other.usable && other.address < live.address + live.usable;
        let other = self.live.iter().find(|other| overlaps(other));
        ensure!(other.is_none() && live.usable >= live.size, "{live:x?} overlaps {other:x?}, or is too small");
        self.freed.retain(|freed| *freed != live.address);
        self.live.push(live);
        Ok(())
    }

    /// A payload was freed.
    pub(super) fn freed(&mut self, number: usize) {
        let live = self.live.remove(number);
        self.freed.push(live.address);
    }

    /// Looks which spans stand now. Starts in slabs and spans that do not are no longer known.
    pub(super) fn look(&mut self, spans: Vec<SpanInfo>) {
        let before = std::mem::replace(&mut self.spans, spans);
        let same_slab = |span: &SpanInfo| {
            before.iter().any(|old| old.address == span.address && old.bytes == span.bytes && cut(old) == cut(span))
        };
        let freed = std::mem::take(&mut self.freed);
        let stands = |address: &usize| {
            self.span_at(*address).is_some_and(|span| match span.kind {
                SpanKind::Slab { .. } => same_slab(span) || before.is_empty(),
                // A large block's span stands while nothing below it joins it.
                SpanKind::Free => span.address == *address && before.iter().any(|old| was_whole(old, *address)),
                _ => false,
            })
        };
        self.freed = freed.into_iter().filter(stands).collect();
        self.freed.sort_unstable();
    }
}

/// The slot size, of a slab.
fn cut(span: &SpanInfo) -> Option<usize> {
    match span.kind {
        SpanKind::Slab { slot, .. } => Some(slot),
        _ => None,
    }
}

/// Whether a large block, or a free span that was one, started there.
fn was_whole(span: &SpanInfo, address: usize) -> bool {
    span.address == address && matches!(span.kind, SpanKind::Large | SpanKind::Free)
}

/// Whether an address is in a slab's tail, which is no slot.
pub(super) fn is_tail(span: &SpanInfo, address: usize) -> bool {
    matches!(span.kind, SpanKind::Slab { slot, capacity, .. } if address >= span.address + slot * capacity)
}
