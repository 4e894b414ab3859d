//! Walks over a live heap: its blocks, and its spans.

use crate::door::misuse::{Block, BlockState};
use crate::ground::header::{Kind, Span};
use crate::tier::slab::Slot;
use core::iter::Peekable;
use core::marker::PhantomData;

/// The blocks of a heap in address order: an entry for each payload, and free stretches between them, however many
/// slots, slabs and spans they extend over. See [`Heap::blocks`](crate::Heap::blocks).
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

/// Spans that are not slabs, and the slots and tails of slabs, one by one.
#[derive(Debug)]
struct Pieces<'a> {
    span: Option<Span>,
    /// The next slot, if `span` is a slab; the capacity stands for the tail.
    slot: usize,
    heap: PhantomData<&'a ()>,
}

impl Iterator for Pieces<'_> {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        let span = self.span?;
        let (address, size, state) = match span.kind.get() {
            Kind::Slab => match self.piece_of_slab(span) {
                Some(piece) => return Some(piece),
                None => {
                    self.advance(span);
                    return self.next();
                }
            },
            Kind::Free => (span.start.get(), span.bytes(), BlockState::Free),
            Kind::Large => (span.start.get(), span.bytes(), BlockState::Used),
            Kind::Metadata => (span.start.get(), span.bytes(), BlockState::Metadata),
            Kind::Foreign => (span.start.get(), span.bytes(), BlockState::Foreign),
        };
        self.advance(span);
        Some(Block { address, size, state })
    }
}

impl Pieces<'_> {
    fn advance(&mut self, span: Span) {
        self.span = span.next.get();
        self.slot = 0;
    }

    fn piece_of_slab(&mut self, slab: Span) -> Option<Block> {
        let (size, capacity) = (slab.size_class().slot_size(), slab.capacity.get() as usize);
        let (number, address) = (self.slot, slab.start.get() + self.slot * size);
        self.slot += 1;
        if number < capacity {
            let live = Slot::new(slab, number).is_live();
            let state = if live { BlockState::Used } else { BlockState::Free };
            return Some(Block { address, size, state });
        }
        let tail = slab.end() - address.min(slab.end());
        (number == capacity && tail > 0).then_some(Block { address, size: tail, state: BlockState::Free })
    }
}

/// What a span is used for, to a reader of [`Heap::spans`](crate::Heap::spans).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Headers and page map.
    Metadata,
    /// Somebody else raised the break over it.
    Foreign,
    /// Nobody's.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    fn kind(span: Span) -> SpanKind {
        match span.kind.get() {
            Kind::Free => SpanKind::Free,
            Kind::Large => SpanKind::Large,
            Kind::Metadata => SpanKind::Metadata,
            Kind::Foreign => SpanKind::Foreign,
            Kind::Slab => {
                let capacity = span.capacity.get() as usize;
                SpanKind::Slab { slot: span.size_class().slot_size(), capacity, live: span.live_slots() }
            }
        }
    }
}

impl Iterator for SpanInfos<'_> {
    type Item = SpanInfo;

    fn next(&mut self) -> Option<SpanInfo> {
        let span = self.span?;
        self.span = span.next.get();
        Some(SpanInfo { address: span.start.get(), bytes: span.bytes(), kind: Self::kind(span) })
    }
}
