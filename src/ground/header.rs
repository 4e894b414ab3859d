//! The span header: one record out of line for every span, and the handle through which it is reached.
//!
//! A header lives in a metadata page, never beside payload bytes. Its record is found by the number of the span's
//! first page, so making or dropping a header allocates nothing.
//!
//! ```text
//! one record, 192 bytes = three cache lines (64-bit)
//! +-------+------------+-----------------------+-------------------------------------+------+------+------+-------+-------+
//! | start | reciprocal | slot_size, slack_max, | live: 16 words, one bit a slot,     | prev | next | left | right | pages |
//! |       |            | counts, state         | 1 = a caller holds it               |      |      |      |       | zero  |
//! +-------+------------+-----------------------+-------------------------------------+------+------+------+-------+-------+
//! 0       8            12                      24                 64                152                          184     192
//! ```
//!
//! All that a free reads and writes lies in the first cache line, if the slab has no more than 320 slots.

use core::cell::Cell;
use core::ops::Deref;
use core::ptr::NonNull;

/// log2 of [`PAGE`].
pub(crate) const PAGE_SHIFT: u32 = 14;

/// The heap's unit, in bytes: spans are runs of pages. It is a unit of its own and need not be the kernel's page size.
pub const PAGE: usize = 1 << PAGE_SHIFT;

/// Pages of a large block for a request of `size` bytes.
pub(crate) fn pages_of(size: usize) -> usize {
    size.div_ceil(PAGE).max(1)
}

/// Words in a header's bitmap.
pub(crate) const BITMAP_WORDS: usize = 16;

/// The most slots a slab can have.
pub(crate) const MAX_SLOTS: usize = BITMAP_WORDS * 64;

/// What a span is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Nobody's; in the best-fit index, or the top.
    Free,
    /// Cut into slots.
    Slab,
    /// One block, whose payload starts where the span does.
    Large,
    /// Holds headers and a part of the page map.
    Metadata,
    /// Somebody else raised the break over it.
    Foreign,
}

/// Where a slab stands in its size class (I9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Place {
    /// Its class takes words from it.
    Current,
    /// Left alone until an eighth of its slots are free.
    Full,
    /// Wholly used; listed as soon as one slot is freed, because memory is short.
    Spent,
    /// On its class's list.
    Listed,
    /// On its class's list, and one of the slabs that are remembered as wholly free.
    Empty,
}

/// The record behind a [`Span`]. Fields are cells: many parts of the heap hold handles to the same record, and the
/// heap's owner is the only one who follows them.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Header {
    /// Address of the span's first byte, a multiple of [`PAGE`].
    pub(crate) start: Cell<usize>,
    /// [`SizeClass::reciprocal`](crate::ground::size_class::SizeClass::reciprocal) in a slab; 0 otherwise, which no offset passes.
    pub(crate) reciprocal: Cell<u32>,
    /// Bytes in a slot of a slab.
    pub(crate) slot_size: Cell<u16>,
    /// How much larger than its request a slot may be for the request to be taken at its word.
    pub(crate) slack_max: Cell<u16>,
    /// How many slots must be freed before the slab's place in its class is reviewed.
    pub(crate) until_review: Cell<u16>,
    /// Slots of a slab.
    pub(crate) capacity: Cell<u16>,
    /// Slots of a slab that have been opened; later ones were never handed out.
    pub(crate) opened: Cell<u16>,
    /// What the span is.
    pub(crate) kind: Cell<Kind>,
    /// Where a slab stands in its class.
    pub(crate) place: Cell<Place>,
    /// In a slab: one bit a slot, set while a caller holds it. In a free span the first two words are what
    /// [`Known`](crate::central::known::Known) says of its pages; in a foreign span the first is the address where its owner left
    /// the break.
    pub(crate) live: [Cell<u64>; BITMAP_WORDS],
    /// The span before this one in address order.
    pub(crate) prev: Cell<Option<Span>>,
    /// The span after this one in address order.
    pub(crate) next: Cell<Option<Span>>,
    /// In a free span: left child or previous in its list. In a slab: previous in its class's list.
    pub(crate) left: Cell<Option<Span>>,
    /// In a free span: right child or next in its list. In a slab: next in its class's list.
    pub(crate) right: Cell<Option<Span>>,
    /// Length of the span.
    pub(crate) pages: Cell<u32>,
    /// How many pages at the span's end were known to read as zero when it was last free. In a slab: see
    /// [`zero_units`](Span::zero_units).
    pub(crate) zero_pages: Cell<u32>,
}

const _: () = assert!(size_of::<Header>() == 192, "three cache lines");
const _: () = assert!(core::mem::offset_of!(Header, live) <= 24, "the bits of 320 slots lie in the first line");

/// A handle to the header of a span.
///
/// Only the page map makes them, for records in metadata that stands, and the heap keeps none beyond the life of its
/// span (I2); that is why following one is safe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span(NonNull<Header>);

const _: () = assert!(size_of::<Option<Span>>() == size_of::<usize>(), "fresh kernel memory reads as null handles");

impl Span {
    /// A handle to the record at `address`.
    ///
    /// # Safety
    ///
    /// A record's 192 bytes, aligned to 64, lie at `address` in metadata that stands for as long as the handle is used.
    pub(crate) unsafe fn at(address: usize) -> Self {
        let record = core::ptr::with_exposed_provenance_mut::<Header>(address);
        // SAFETY: the caller says a record lies there, so the address is not null.
        Self(unsafe { NonNull::new_unchecked(record) })
    }

    /// The record, for as long as its metadata stands. Unlike `deref` this is not tied to the handle's own life.
    #[inline(always)]
    pub(crate) fn record<'a>(self) -> &'a Header {
        // SAFETY: I2; all fields are cells, so shared references are all there ever are.
        unsafe { self.0.as_ref() }
    }

    /// Writes a fresh header over whatever the record held, but for the bits: a slab clears them when it is
    /// cut. A free span has no memory of the kernel's yet.
    pub(crate) fn init(self, kind: Kind, start: usize, pages: usize, zero_pages: usize) {
        debug_assert!(start.is_multiple_of(PAGE) && zero_pages <= pages);
        let record = self.0.as_ptr();
        // SAFETY: I2: the record is there. It may hold anything, so no reference to it is made; all fields in which some
        // bits have no meaning are written.
        unsafe {
            (&raw mut (*record).start).write(Cell::new(start));
            (&raw mut (*record).reciprocal).write(Cell::new(0));
            (&raw mut (*record).kind).write(Cell::new(kind));
            (&raw mut (*record).place).write(Cell::new(Place::Current));
            (&raw mut (*record).prev).write(Cell::new(None));
            (&raw mut (*record).next).write(Cell::new(None));
            (&raw mut (*record).left).write(Cell::new(None));
            (&raw mut (*record).right).write(Cell::new(None));
            (&raw mut (*record).pages).write(Cell::new(pages as u32));
            (&raw mut (*record).zero_pages).write(Cell::new(zero_pages as u32));
            (&raw mut (*record).live[0]).write(Cell::new(0));
            (&raw mut (*record).live[1]).write(Cell::new(0));
        }
    }

    /// Writes a [mark](crate::ground::page_map::PageMap::mark) into the record of a page that is no span's first.
    pub(crate) fn set_mark(self, start: usize) {
        // SAFETY: I2: the record is there. It may hold anything, so no reference to it is made.
        unsafe { (&raw mut (*self.0.as_ptr()).start).write(Cell::new(start)) }
    }

    /// What a mark would say here: it may be anything.
    pub(crate) fn mark(self) -> usize {
        // SAFETY: I2: the record is there, and any bits are a number.
        unsafe { (&raw const (*self.0.as_ptr()).start).read() }.get()
    }

    /// Address of the record.
    #[inline(always)]
    pub(crate) fn address(self) -> usize {
        self.0.addr().get()
    }

    /// Whether this span is of that kind.
    pub(crate) fn is(self, kind: Kind) -> bool {
        self.kind.get() == kind
    }

    /// Length in pages.
    pub(crate) fn page_count(self) -> usize {
        self.pages.get() as usize
    }

    /// Length in bytes.
    pub(crate) fn bytes(self) -> usize {
        self.page_count() * PAGE
    }

    /// Address past the span's last byte.
    pub(crate) fn end(self) -> usize {
        self.start.get() + self.bytes()
    }

    /// How many pages of a free span may hold kernel memory: used before, and not returned since.
    pub(crate) fn dirty_pages(self) -> usize {
        self.live[0].get() as usize
    }

    /// Notes how many pages of a free span may hold memory.
    pub(crate) fn set_dirty_pages(self, pages: usize) {
        self.live[0].set(pages.min(self.page_count()) as u64);
    }

    /// Which units of a slab are known to read as zero (I14), one bit each. See [`units`](crate::tier::units).
    pub(crate) fn zero_units(self) -> u32 {
        debug_assert!(self.is(Kind::Slab));
        self.zero_pages.get()
    }

    /// Notes which units of a slab are known to read as zero.
    pub(crate) fn set_zero_units(self, units: u32) {
        debug_assert!(self.is(Kind::Slab));
        self.zero_pages.set(units);
    }

    /// How many pages at the start of a free span hold no kernel memory, unless all of them do not.
    pub(crate) fn zero_front(self) -> usize {
        self.live[1].get() as usize
    }

    /// Notes how many pages at a free span's start hold no kernel memory.
    pub(crate) fn set_zero_front(self, pages: usize) {
        self.live[1].set(pages as u64);
    }

    /// Where the owner of a foreign span left the break: in its last page.
    pub(crate) fn foreign_end(self) -> usize {
        self.live[0].get() as usize
    }

    /// Notes where the owner of a foreign span left the break.
    pub(crate) fn set_foreign_end(self, address: usize) {
        self.live[0].set(address as u64);
    }
}

impl Deref for Span {
    type Target = Header;

    #[inline(always)]
    fn deref(&self) -> &Header {
        self.record()
    }
}
