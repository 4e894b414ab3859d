//! A span as the central part sees it: where it is, its neighbours, and what its pages hold.

use super::page::PAGE;
use super::record::{Central, Header, Kind, Others, Pages, Span};
use crate::ground::list::{Linked, Links};
use crate::ground::prefetch::prefetch;
#[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64", not(miri))))]
use crate::ground::shared::SharedU16;
use crate::ground::shared::SharedU32;
use crate::kernel::parts::RETURNS;
use core::cell::Cell;
use core::ptr::NonNull;

impl Central {
    pub(super) fn new(pages: usize) -> Self {
        Self {
            prev: Cell::new(None),
            next: Cell::new(None),
            pages: SharedU32::new(pages as u32),
            zero_units: Cell::new(0),
        }
    }
}

impl Pages {
    /// The group's address in a record.
    ///
    /// # Safety
    ///
    /// A record's bytes are there.
    #[inline]
    pub(super) unsafe fn at(record: *mut Header) -> *mut Self {
        // SAFETY: the caller's promise; no reference is made.
        let others = unsafe { &raw mut (*record).body }.cast::<Others>();
        // SAFETY: as above.
        unsafe { &raw mut (*others).pages }
    }

    pub(super) fn new(zero_end: usize) -> Self {
        Self {
            links: Links::none(),
            foreign_end: Cell::new(0),
            zero_front: Cell::new(0),
            dirty: Cell::new(0),
            zero_end: Cell::new(zero_end as u32),
        }
    }
}

impl Span {
    /// A handle to the record at `address`.
    ///
    /// # Safety
    ///
    /// A record's 192 bytes, aligned to 64, lie at `address` in metadata that stands for as long as the handle is used.
    #[inline]
    pub(crate) unsafe fn at(address: usize) -> Self {
        let record = core::ptr::with_exposed_provenance_mut::<Header>(address);
        // SAFETY: the caller says a record lies there, so the address is not null.
        Self(unsafe { NonNull::new_unchecked(record) })
    }

    /// The record. The reference is valid as long as its metadata stands, however long the handle lives.
    #[inline(always)]
    pub(super) fn record<'a>(self) -> &'a Header {
        // SAFETY: I2; all fields are cells or atomics, so shared references are all there ever are, and any bits are values of
        // them.
        unsafe { self.0.as_ref() }
    }

    /// The 16 bits at this place of the record, which are one of its fields. Compilers load those of an atomic first, and widen them
    /// then; x86_64 does that in one instruction.
    #[inline(always)]
    pub(super) fn half_word<const PLACE: usize>(self) -> usize {
        const { assert!(PLACE.is_multiple_of(2) && PLACE + 2 <= size_of::<Header>()) };
        #[cfg(all(target_arch = "x86_64", target_pointer_width = "64", not(miri)))]
        {
            let number: usize;
            // SAFETY: I2: the record is there. It is read as by a relaxed load, and the upper part of the register becomes zero.
            unsafe {
                core::arch::asm!("movzx {number:e}, word ptr [{record} + {place}]", number = lateout(reg) number,
                    record = in(reg) self.0.as_ptr(), place = const PLACE,
                    options(pure, readonly, nostack, preserves_flags));
            }
            number
        }
        #[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64", not(miri))))]
        // SAFETY: I2: the record is there, and its fields of this length that several threads read are atomics.
        unsafe { &*self.0.as_ptr().byte_add(PLACE).cast::<SharedU16>() }.get().into()
    }

    /// Writes a fresh header over whatever the record held. If the span is free, its last `zero_pages` pages hold no
    /// kernel memory, and none is noted as dirty.
    #[cfg_attr(not(feature = "speed"), inline(never))]
    pub(crate) fn init(self, kind: Kind, start: usize, pages: usize, zero_pages: usize) {
        debug_assert!(start.is_multiple_of(PAGE) && zero_pages <= pages && kind != Kind::Slab);
        let record = self.0.as_ptr();
        // What other threads may be reading is stored field by field; the rest may hold anything.
        let Header { shared, state, .. } = self.record();
        shared.reciprocal.set(0);
        shared.start.set(start);
        state.kind.set(kind as u8);
        // SAFETY: I2: the record is there, and these groups are the central part's.
        unsafe {
            Pages::at(record).write(Pages::new(zero_pages));
            (&raw mut (*record).central).write(Central::new(pages));
        }
    }

    /// [`init`](Self::init) for a free span all of whose pages are dirty. Its links, in the list of spans and in the index, are
    /// written next, by the caller.
    #[inline(always)]
    pub(crate) fn init_dirty(self, start: usize, pages: usize) {
        debug_assert!(start.is_multiple_of(PAGE) && pages > 0);
        let Header { shared, state, central, .. } = self.record();
        shared.reciprocal.set(0);
        shared.start.set(start);
        state.kind.set(Kind::Free as u8);
        central.pages.set(pages as u32);
        central.zero_units.set(0);
        self.set_known(0, pages, 0);
    }

    /// Writes a [mark](crate::ground::page_map::PageMap::mark) into the record of a page that is no span's first.
    #[inline]
    pub(crate) fn set_mark(self, start: usize) {
        self.record().shared.start.set(start);
    }

    /// Reads a mark where there may be none: the value may be anything.
    #[inline]
    pub(crate) fn mark(self) -> usize {
        self.record().shared.start.get()
    }

    /// Address of the record.
    #[inline(always)]
    pub(crate) fn address(self) -> usize {
        self.0.addr().get()
    }

    /// Prefetches what the central part keeps of the span.
    #[inline(always)]
    pub(crate) fn prefetch_central(self) {
        prefetch(self.address() + core::mem::offset_of!(Header, central));
    }

    /// Address of the span's first byte.
    #[inline(always)]
    pub(crate) fn start(self) -> usize {
        self.record().shared.start.get()
    }

    /// Bytes from the span's first one to `address`.
    #[inline(always)]
    pub(crate) fn offset_to(self, address: usize) -> usize {
        self.record().shared.start.taken_from(address)
    }

    /// The factor that turns an offset into the number of a slot; 0 unless the span is a slab. Who sees that of a slab sees what
    /// was written when that was cut: its owner above all. Partner: `publish` in [`cut_into_slots`](Self::cut_into_slots).
    #[inline(always)]
    pub(crate) fn reciprocal(self) -> u32 {
        self.record().shared.reciprocal.observe()
    }
}

impl Span {
    #[inline]
    fn central<'a>(self) -> &'a Central {
        &self.record().central
    }

    /// The body of spans that are not slabs, also where this may be one.
    #[inline]
    pub(super) fn others<'a>(self) -> &'a Others {
        let record: &'a Header = self.record();
        // SAFETY: any bits are values of these fields, and metadata is zero before a header is written.
        unsafe { &record.body.span }
    }

    /// The group of spans that are not slabs, also where this may be one.
    #[inline]
    pub(super) fn pages_of_any<'a>(self) -> &'a Pages {
        &self.others().pages
    }

    #[inline]
    fn span_pages<'a>(self) -> &'a Pages {
        debug_assert!(!self.is(Kind::Slab), "a slab's owner has these bytes");
        self.pages_of_any()
    }

    /// What the span is.
    #[inline]
    pub(crate) fn kind(self) -> Kind {
        Kind::of(self.record().state.kind.get())
    }

    /// Whether the span is of this kind.
    #[inline]
    pub(crate) fn is(self, kind: Kind) -> bool {
        let byte = self.record().state.kind.get();
        // Any other byte stands for a foreign span, too.
        if kind == Kind::Foreign { Kind::of(byte) == kind } else { byte == kind as u8 }
    }

    /// Changes the span's kind; neither the old one nor the new one is a slab.
    #[inline]
    pub(crate) fn change_kind(self, from: Kind, to: Kind) {
        debug_assert!(self.is(from) && to != Kind::Slab && from != Kind::Slab);
        self.record().state.kind.set(to as u8);
    }

    /// Length in pages.
    #[inline]
    pub(crate) fn page_count(self) -> usize {
        self.central().pages.get() as usize
    }

    /// Makes the span longer or shorter by moving its end.
    #[inline]
    pub(crate) fn set_page_count(self, pages: usize) {
        debug_assert!(pages > 0 && u32::try_from(pages).is_ok());
        self.central().pages.set(pages as u32);
    }

    /// Length in bytes.
    #[inline]
    pub(crate) fn bytes(self) -> usize {
        self.page_count() * PAGE
    }

    /// Address past the span's last byte.
    #[inline]
    pub(crate) fn end(self) -> usize {
        self.start() + self.bytes()
    }

    /// The span before this one in address order.
    #[inline]
    pub(crate) fn prev(self) -> Option<Span> {
        self.central().prev.get()
    }

    /// The span after this one in address order.
    #[inline]
    pub(crate) fn next(self) -> Option<Span> {
        self.central().next.get()
    }

    /// Sets the span before this one.
    #[inline]
    pub(crate) fn set_prev(self, prev: Option<Span>) {
        self.central().prev.set(prev);
    }

    /// Sets the span after this one.
    #[inline]
    pub(crate) fn set_next(self, next: Option<Span>) {
        self.central().next.set(next);
    }

    /// How many pages of a free span may hold kernel memory: used before, and not returned since.
    #[inline]
    pub(crate) fn dirty_pages(self) -> usize {
        if RETURNS { self.span_pages().dirty.get() as usize } else { self.page_count() }
    }

    /// How many pages at the start of a free span hold no kernel memory; 0 if none of its pages does.
    #[inline]
    pub(crate) fn zero_front(self) -> usize {
        if RETURNS { self.span_pages().zero_front.get() as usize } else { 0 }
    }

    /// How many pages at the span's end read as zero, or did so when the span was last free.
    #[inline]
    pub(crate) fn zero_end(self) -> usize {
        if RETURNS { self.span_pages().zero_end.get() as usize } else { 0 }
    }

    /// Notes how many pages at the span's end read as zero.
    #[inline]
    pub(crate) fn set_zero_end(self, pages: usize) {
        if RETURNS {
            self.span_pages().zero_end.set(pages as u32);
        }
    }

    /// Notes how many pages at a free span's start and at its end read as zero, and how many others may hold kernel
    /// memory.
    #[inline]
    pub(crate) fn set_known(self, front: usize, dirty: usize, end: usize) {
        debug_assert!(self.is(Kind::Free));
        if !RETURNS {
            return;
        }
        let pages = self.span_pages();
        pages.zero_front.set(front as u32);
        pages.dirty.set(dirty as u32);
        pages.zero_end.set(end as u32);
    }

    /// Where the owner of a foreign span left the break: in its last page.
    #[inline]
    pub(crate) fn foreign_end(self) -> usize {
        debug_assert!(self.is(Kind::Foreign));
        self.span_pages().foreign_end.get()
    }

    /// Notes where the owner of a foreign span left the break.
    #[inline]
    pub(crate) fn set_foreign_end(self, address: usize) {
        debug_assert!(self.is(Kind::Foreign));
        self.span_pages().foreign_end.set(address);
    }
}

impl Linked for Span {
    #[inline]
    fn links<'a>(self) -> &'a Links<Self> {
        &self.pages_of_any().links
    }

    #[inline]
    fn address(self) -> usize {
        Span::address(self)
    }
}
