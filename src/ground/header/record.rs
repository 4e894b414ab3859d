//! The fields of a header's record. They are visible only to the methods of its handles, in [`span`](super::span) and
//! [`slab`](super::slab).

use crate::ground::list::Links;
use crate::ground::pointer::SharedPointer;
use crate::ground::shared::{SharedBits, SharedU8, SharedU16, SharedU32, SharedUsize};
use core::cell::Cell;
use core::mem::{ManuallyDrop, MaybeUninit, offset_of};
use core::ptr::NonNull;
use core::sync::atomic::AtomicU16;

/// Words in a header's bitmap.
pub(crate) const BITMAP_WORDS: usize = 16;

/// The most slots a slab can have.
pub(crate) const MAX_SLOTS: usize = BITMAP_WORDS * 64;

/// The record to which a [`Span`] is a handle. Its fields are cells, because many parts of the heap hold handles to the
/// same record; only the heap's owner follows them.
#[repr(C, align(64))]
pub(crate) struct Header {
    pub(super) shared: Shared,
    pub(super) state: State,
    pub(super) body: Body,
    pub(super) central: Central,
}

const _: () = assert!(size_of::<Header>() == 192, "three cache lines");

/// What every free reads.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Shared {
    /// Address of the span's first byte, a multiple of [`PAGE`](super::PAGE).
    pub(super) start: SharedUsize,
    /// [`SizeClass::reciprocal`](crate::ground::size_class::SizeClass::reciprocal) in a slab; otherwise 0, so that no
    /// offset passes the test for a slot (I13).
    pub(super) reciprocal: SharedU32,
    /// In a slab: bytes in a slot (I6).
    pub(super) slot_size: SharedU16,
    /// In a slab: how much larger than its request a slot may be for a layout to be accepted without a further check.
    pub(super) slack_max: SharedU16,
}

/// What changes more often than [`Shared`], and is small.
#[derive(Debug)]
#[repr(C)]
pub(super) struct State {
    /// In a slab: whose it is, and whether other threads have freed slots of it.
    pub(super) owner: AtomicU16,
    /// What the span is.
    pub(super) kind: SharedU8,
    /// In a slab: how many slots must be freed before the slab's place in its class is reviewed. Only its owner's.
    pub(super) until_review: Cell<u16>,
    /// How many slots have been opened (later ones were never handed out), and the slab's place in its class. Written by its
    /// owner.
    pub(super) standing: SharedU16,
}

/// What the tier that owns a slab writes.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Owner {
    /// One bit a slot, set while a caller holds it (I7).
    pub(super) live: [SharedBits; BITMAP_WORDS],
    /// On its class's list.
    pub(super) links: Links<Slab>,
}

/// What the central part keeps of each span.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Central {
    /// The span before this one in address order.
    pub(super) prev: Cell<Option<Span>>,
    /// The span after this one in address order.
    pub(super) next: Cell<Option<Span>>,
    /// Length of the span.
    pub(super) pages: SharedU32,
    /// In a slab: which units are known to read as zero (I14), one bit each. Its owner's.
    pub(super) zero_units: Cell<u32>,
}

/// What the central part keeps of a span that is not a slab.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Pages {
    /// In the index of free spans.
    pub(super) links: Links<Span>,
    /// The address where the owner of a foreign span left the break.
    pub(super) foreign_end: Cell<usize>,
    /// In a free span: what [`Known`](crate::central::known::Known) says. In a large one `zero_end` still is what it
    /// was when the span was last free.
    pub(super) zero_front: Cell<u32>,
    pub(super) dirty: Cell<u32>,
    pub(super) zero_end: Cell<u32>,
}

/// The group that depends on the kind of span. Any bits are valid for both, so to read the wrong one gives wrong
/// numbers at worst.
#[repr(C)]
pub(super) union Body {
    pub(super) slab: ManuallyDrop<Owner>,
    pub(super) span: ManuallyDrop<Others>,
}

/// The group of a sampled block, in the record of its span. Any bits are values.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Sample {
    /// Bytes from the span's start to the payload.
    pub(super) offset: SharedUsize,
    /// Bytes that the caller may use.
    pub(super) bytes: SharedUsize,
    /// What it counts for.
    pub(super) request: SharedUsize,
    pub(super) slot: SharedUsize,
    pub(super) site: SharedU32,
    /// Whether it is counted, and whether it is held: bits of `sample.rs`.
    pub(super) state: SharedU32,
    /// Its number among the guarded blocks, and 1; or 0.
    pub(super) guard: SharedU32,
}

/// The end of the body, in the cache line that the central part reads anyway.
#[repr(C)]
pub(super) struct Others {
    pub(super) sample: Sample,
    pub(super) unused: [MaybeUninit<u64>; 7],
    pub(super) pages: Pages,
}

#[cfg(target_pointer_width = "64")]
const _: () = {
    let body = core::mem::offset_of!(Header, body);
    assert!(size_of::<State>() == 8, "no padding");
    assert!(core::mem::offset_of!(Owner, live) + body <= 24, "the bits of 320 slots lie in the first line");
    assert!(body + core::mem::offset_of!(Others, pages) == 128, "the third line");
    assert!(size_of::<Owner>() == size_of::<Others>(), "neither is longer than the other");
};

/// Where a debugger finds what a record holds: its size, then `start`, `reciprocal`, `slot_size`, `owner`, `kind`,
/// `standing`, `live`, `prev`, `next` and `pages`.
pub(crate) const RECORD_OFFSETS: [usize; 11] = [
    size_of::<Header>(),
    offset_of!(Header, shared.start),
    offset_of!(Header, shared.reciprocal),
    offset_of!(Header, shared.slot_size),
    offset_of!(Header, state.owner),
    offset_of!(Header, state.kind),
    offset_of!(Header, state.standing),
    offset_of!(Header, body) + offset_of!(Owner, live),
    offset_of!(Header, central.prev),
    offset_of!(Header, central.next),
    offset_of!(Header, central.pages),
];

/// A handle to the header of a span.
///
/// Only the page map makes handles, for records in metadata that stands, and the heap keeps none longer than its span
/// exists (I2), so it is safe to follow one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub(crate) struct Span(pub(super) NonNull<Header>);

const _: () = assert!(size_of::<Option<Span>>() == size_of::<usize>(), "fresh kernel memory reads as null handles");

/// A place that holds a handle, or none, and that several threads may read.
#[repr(transparent)]
pub(crate) struct Handle(SharedPointer<Header>);

impl Handle {
    /// The handle here: what it leads to was written before it was [set](Self::set).
    #[inline(always)]
    pub(crate) fn get(&self) -> Option<Span> {
        NonNull::new(self.0.observe()).map(Span)
    }

    #[inline(always)]
    pub(crate) fn set(&self, span: Option<Span>) {
        self.0.publish(span.map_or(core::ptr::null_mut(), |span| span.0.as_ptr()));
    }
}

/// A handle to the header of a span that is a slab, with what the slab's owner may do with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub(crate) struct Slab(pub(super) Span);

const _: () = assert!(size_of::<Option<Slab>>() == size_of::<usize>());

/// What a span is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Free: in the best-fit index, or the top.
    Free,
    /// Cut into slots.
    Slab,
    /// One block, whose payload starts where the span does.
    Large,
    /// A block that was resized, while its content is copied to another one: no longer live, and not free yet.
    Moving,
    /// Headers and a part of the page map.
    Metadata,
    /// Another user of the break raised it over this span.
    Foreign,
    /// One block, which was sampled: its payload starts somewhere in the span. It may be freed, and kept for a while.
    Sampled,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Free, Self::Slab, Self::Large, Self::Moving, Self::Metadata, Self::Foreign, Self::Sampled];

    /// The kind that a byte stands for.
    #[inline]
    pub(super) fn of(byte: u8) -> Self {
        Self::ALL.get(byte as usize).copied().unwrap_or(Self::Foreign)
    }
}

/// Where a slab stands in its size class (I9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Place {
    /// Its class takes words from it.
    Current,
    /// Not used by its class until an eighth of its slots are free.
    Full,
    /// Without any free slot, and listed as soon as one is freed, because memory is short.
    Spent,
    /// On its class's list.
    Listed,
    /// On its class's list, and remembered as one of the slabs without any live slot.
    Empty,
}

impl Place {
    /// Whether a slab that was at `old` can be here next. A new slab is current from the start.
    pub(super) fn may_follow(self, old: Self) -> bool {
        match self {
            Self::Current => !matches!(old, Self::Full | Self::Spent),
            Self::Full => matches!(old, Self::Current | Self::Full),
            Self::Spent => matches!(old, Self::Current | Self::Full),
            Self::Listed => matches!(old, Self::Current | Self::Full | Self::Spent),
            Self::Empty => old == Self::Listed,
        }
    }
}

/// How many slots of a slab are opened, and its place, in the highest three bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Standing(pub(super) u16);

impl Standing {
    const PLACE_SHIFT: u32 = 13;
    const OPENED: u16 = (1 << Self::PLACE_SHIFT) - 1;

    #[inline]
    pub(super) fn opened(self) -> usize {
        (self.0 & Self::OPENED) as usize
    }

    pub(super) fn place(self) -> Place {
        match self.0 >> Self::PLACE_SHIFT {
            0 => Place::Current,
            1 => Place::Full,
            2 => Place::Spent,
            3 => Place::Listed,
            _ => Place::Empty,
        }
    }

    #[inline]
    pub(super) fn with_opened(self, slots: usize) -> Self {
        Self(self.0 & !Self::OPENED | slots as u16)
    }

    #[inline]
    pub(super) fn with_place(self, place: Place) -> Self {
        Self(self.0 & Self::OPENED | (place as u16) << Self::PLACE_SHIFT)
    }
}

const _: () = assert!(MAX_SLOTS < Standing::OPENED as usize);
