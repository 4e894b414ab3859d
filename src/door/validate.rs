//! The one door: an untrusted pointer goes in, a live block or a [`Misuse`] comes out.
//!
//! [`admit`] decides in constant time and reads only headers, never a byte near the pointer: the page map says which
//! span owns its page, if any; a multiplication says whether a slot starts there; one bit says whether it is live.
//! [`explain`] says what is wrong with a pointer that was not admitted, given the span around it. To find that span
//! takes hardly longer in a block of many GiB.

use crate::door::block::{Block, BlockState};
use crate::door::misuse::{Misuse, MisuseKind};
use crate::ground::company::SAMPLES;
use crate::ground::header::{Kind, Slab, Span, pages_of};
use crate::ground::page_map::{Lookup, PageMap};
use crate::ground::size_class::{MIN_ALIGN, SizeClass};
use crate::tier::slot::Slot;
use core::alloc::Layout;

/// A block that is live.
#[derive(Clone, Copy)]
pub(crate) enum Live {
    Slot(Slot),
    Large(Span),
    Sampled(Span),
}

impl Live {
    /// Bytes of the payload.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Slot(slot) => slot.slab.size_class().slot_size(),
            Self::Sampled(span) if SAMPLES => span.sample_bytes(),
            Self::Large(span) | Self::Sampled(span) => span.bytes(),
        }
    }

    /// Whether the block at `address` can be the result of a request for `layout`: that must fit, and unless there may
    /// be more `slack` than usual, either fill more than half of the block, which need not be so for the smallest one, or be
    /// one that gets a block of this size.
    pub(crate) fn can_be(self, address: usize, layout: Layout, slack: bool) -> bool {
        let bytes = self.bytes();
        let fits = layout.size() <= bytes && address.is_multiple_of(layout.align());
        fits && (layout.size() > bytes / 2 || bytes == MIN_ALIGN || slack || self.serves(layout))
    }

    /// Whether a new request for `layout` would get a block of this size.
    fn serves(self, layout: Layout) -> bool {
        match self {
            Self::Slot(slot) => SizeClass::of(layout) == Some(slot.slab.size_class()),
            Self::Large(span) => SizeClass::of(layout).is_none() && span.page_count() == pages_of(layout.size()),
            Self::Sampled(span) => SAMPLES && span.counted().request == layout.size(),
        }
    }
}

/// The live slot that starts at exactly `address`, if it is not in a region. Most blocks are such slots, so this part
/// is inlined.
#[inline(always)]
pub(crate) fn admit_slot(lookup: &Lookup, address: usize) -> Option<Slot> {
    Slot::live_at(lookup.find_below_break(address)?, address)
}

/// Whether the span that owns the page of `address` is a live large block that starts at exactly `address`.
#[inline(always)]
pub(crate) fn is_large_at(span: Span, address: usize) -> bool {
    span.is(Kind::Large) && span.start() == address
}

/// The live block whose payload starts at exactly `address`.
pub(crate) fn admit(map: &PageMap, address: usize) -> Option<Live> {
    match map.find(address)? {
        span if span.is(Kind::Large) => is_large_at(span, address).then_some(Live::Large(span)),
        span => match Slot::live_at(span, address) {
            None if span.sample_at(address) => Some(Live::Sampled(span)),
            slot => slot.map(Live::Slot),
        },
    }
}

/// Why `address` was not admitted, and what was found there. `span` is the one that contains it, if any does. `freed` says
/// that a block which starts there has been freed by another thread or by a signal handler, and looks live yet.
#[cold]
pub(crate) fn explain(span: Option<Span>, address: usize, freed: bool) -> Misuse {
    let Some(span) = span else {
        return Misuse { kind: MisuseKind::OutsideHeap, address, found: None };
    };
    let mut found = block_around(span, address);
    if freed {
        found.state = BlockState::Free;
    }
    let kind = if !address.is_multiple_of(MIN_ALIGN) {
        MisuseKind::Misaligned
    } else if (freed || was_a_payload(span, address)) && found.state == BlockState::Free {
        MisuseKind::AlreadyFree
    } else {
        MisuseKind::NotABlock
    };
    Misuse { kind, address, found: Some(found) }
}

/// The misuse of naming a `layout` that cannot be that of the live block at `address`.
#[cold]
pub(crate) fn wrong_layout(live: Live, address: usize) -> Misuse {
    let block = Block { address, size: live.bytes(), state: BlockState::Used };
    Misuse { kind: MisuseKind::WrongLayout, address, found: Some(block) }
}

/// Whether a payload starts at `address` now, or did since the span was made: it is an opened slot, or the first byte
/// of a span that is free, or that was a block which moves.
fn was_a_payload(span: Span, address: usize) -> bool {
    match span.as_slab() {
        Some(slab) => Slot::starting_at(slab, address).is_some_and(Slot::is_opened),
        None if span.is_sampled() => span.is_held() && span.sample_payload() == address,
        None => state_of(span) == BlockState::Free && span.start() == address,
    }
}

/// The block in which `address` lies: a slot or the tail of a slab, or any other span.
fn block_around(span: Span, address: usize) -> Block {
    match (span.as_slab(), state_of(span)) {
        (Some(slab), _) => slot_around(slab, address),
        (None, _) if span.is_sampled() => sampled_around(span, address),
        (None, state) => Block { address: span.start(), size: span.bytes(), state },
    }
}

/// The state of a span as a whole. A slab counts as used, although only some of its slots may be.
pub(crate) fn state_of(span: Span) -> BlockState {
    match span.kind() {
        Kind::Free | Kind::Moving => BlockState::Free,
        Kind::Sampled if span.is_held() => BlockState::Free,
        Kind::Large | Kind::Slab | Kind::Sampled => BlockState::Used,
        Kind::Metadata => BlockState::Metadata,
        Kind::Foreign => BlockState::Foreign,
    }
}

/// The parts of the span of a sampled block: what is before its payload, the payload, and the rest. What is not payload is the
/// heap's own.
pub(crate) fn parts_of_sampled(span: Span) -> [Block; 3] {
    let (start, payload, bytes) = (span.start(), span.sample_payload(), span.sample_bytes());
    let after = payload + bytes;
    let own = |address, size| Block { address, size, state: BlockState::Metadata };
    let block = Block { address: payload, size: bytes, state: state_of(span) };
    [own(start, payload - start), block, own(after, span.end().saturating_sub(after))]
}

fn sampled_around(span: Span, address: usize) -> Block {
    let parts = parts_of_sampled(span);
    let around = |part: &&Block| (part.address..part.address + part.size).contains(&address);
    parts.iter().find(around).copied().unwrap_or(parts[1])
}

/// The slot of a slab in which `address` lies, or the slab's tail, which is no slot.
fn slot_around(slab: Slab, address: usize) -> Block {
    let (size, capacity) = (slab.size_class().slot_size(), slab.capacity());
    let number = (address - slab.start()) / size;
    if number >= capacity {
        let tail = slab.start() + capacity * size;
        return Block { address: tail, size: slab.span().end() - tail, state: BlockState::Free };
    }
    let slot = Slot::new(slab, number);
    let state = if slot.is_live() { BlockState::Used } else { BlockState::Free };
    Block { address: slot.address(), size, state }
}
