//! Walks over a live heap: its blocks, and its spans.

use crate::door::block::{Block, BlockState};
use crate::door::validate::{parts_of_sampled, state_of};
use crate::ground::header::{Slab, Span};
use crate::tier::slot::Slot;
use core::iter::Peekable;
use core::marker::PhantomData;

/// The blocks of a heap in address order: an entry for each payload, and one for each free stretch between them,
/// however many slots, slabs and spans that covers. See [`Heap::blocks`](crate::Heap::blocks).
#[derive(Debug)]
pub struct Blocks<'a> {
    pieces: Peekable<Pieces<'a>>,
}

impl Blocks<'_> {
    /// The heap that the spans belong to is borrowed for `'a`.
    pub(crate) fn new(first: Option<Span>) -> Self {
        Self { pieces: Pieces { span: first, slot: 0, heap: PhantomData }.peekable() }
    }
}

impl Iterator for Blocks<'_> {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        let mut block = self.pieces.next()?;
        while block.state == BlockState::Free
            && let Some(more) = self
                .pieces
                .next_if(|piece| piece.state == BlockState::Free && piece.address == block.address + block.size)
        {
            block.size += more.size;
        }
        Some(block)
    }
}

/// The slots and tails of slabs, and all other spans, one by one.
#[derive(Debug)]
struct Pieces<'a> {
    span: Option<Span>,
    /// The number of the next slot, if `span` is a slab; equal to the capacity, it stands for the tail. Of the next part, if it is
    /// that of a sampled block.
    slot: usize,
    heap: PhantomData<&'a ()>,
}

impl Iterator for Pieces<'_> {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        let span = self.span?;
        let Some(slab) = span.as_slab() else {
            if span.is_sampled() {
                return self.piece_of_sampled(span);
            }
            self.advance(span);
            return Some(Block { address: span.start(), size: span.bytes(), state: state_of(span) });
        };
        if let Some(piece) = self.piece_of_slab(slab) {
            return Some(piece);
        }
        self.advance(span);
        self.next()
    }
}

impl Pieces<'_> {
    fn advance(&mut self, span: Span) {
        self.span = span.next();
        self.slot = 0;
    }

    /// The next part of the span of a sampled block that is not empty.
    fn piece_of_sampled(&mut self, span: Span) -> Option<Block> {
        if span.is_held() {
            self.advance(span);
            return Some(Block { address: span.start(), size: span.bytes(), state: BlockState::Free });
        }
        let part = parts_of_sampled(span).get(self.slot).copied();
        self.slot += 1;
        match part {
            Some(part) if part.size > 0 => Some(part),
            Some(_) => self.next(),
            None => {
                self.advance(span);
                self.next()
            }
        }
    }

    fn piece_of_slab(&mut self, slab: Slab) -> Option<Block> {
        let (size, capacity) = (slab.size_class().slot_size(), slab.capacity());
        let (number, address) = (self.slot, slab.start() + self.slot * size);
        self.slot += 1;
        if number < capacity {
            let live = Slot::new(slab, number).is_live();
            let state = if live { BlockState::Used } else { BlockState::Free };
            return Some(Block { address, size, state });
        }
        let tail = slab.span().end() - address.min(slab.span().end());
        (number == capacity && tail > 0).then_some(Block { address, size: tail, state: BlockState::Free })
    }
}

/// What a span is used for, as [`Heap::spans`](crate::Heap::spans) reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpanKind {
    /// Headers and page map.
    Metadata,
    /// Another user of the break raised it over this.
    Foreign,
    /// Free.
    Free,
    /// One block.
    Large,
    /// Equal slots of one size class.
    Slab {
        /// Bytes in a slot.
        slot: usize,
        /// Slots in the slab.
        capacity: usize,
        /// Slots that are in use.
        live: usize,
    },
}

/// A span of the heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanInfo {
    /// Address of the first byte, a multiple of [`PAGE`](crate::PAGE).
    pub address: usize,
    /// Length in bytes, a multiple of [`PAGE`](crate::PAGE).
    pub bytes: usize,
    /// What it is used for.
    pub kind: SpanKind,
}

/// The spans of a heap in address order. See [`Heap::spans`](crate::Heap::spans).
#[derive(Debug)]
pub struct SpanInfos<'a> {
    span: Option<Span>,
    heap: PhantomData<&'a ()>,
}

impl SpanInfos<'_> {
    /// The heap that the spans belong to is borrowed for `'a`.
    pub(crate) fn new(first: Option<Span>) -> Self {
        Self { span: first, heap: PhantomData }
    }

    /// Bytes of the block in the next span, and of the rest, if it is a sampled block's.
    pub(crate) fn sampled(&self) -> Option<(usize, usize)> {
        let span = self.span.filter(|span| span.is_sampled() && !span.is_held())?;
        Some((span.sample_bytes(), span.bytes() - span.sample_bytes()))
    }

    pub(crate) fn kind(span: Span) -> SpanKind {
        if let Some(slab) = span.as_slab() {
            return SpanKind::Slab { slot: slab.slot_size(), capacity: slab.capacity(), live: slab.live_slots() };
        }
        match state_of(span) {
            BlockState::Free => SpanKind::Free,
            BlockState::Used => SpanKind::Large,
            BlockState::Metadata => SpanKind::Metadata,
            BlockState::Foreign => SpanKind::Foreign,
        }
    }
}

impl Iterator for SpanInfos<'_> {
    type Item = SpanInfo;

    fn next(&mut self) -> Option<SpanInfo> {
        let span = self.span?;
        self.span = span.next();
        Some(SpanInfo { address: span.start(), bytes: span.bytes(), kind: Self::kind(span) })
    }
}
