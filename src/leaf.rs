//! The leaves of the page map: where the records for a range of pages, and the handles for all pages before its end, lie.
//!
//! ```text
//! storage of leaf k for its n pages, in n/64 metadata pages
//! +-------+------------------------------+------------------------------------+-------+
//! | guard | 2n handles (n in leaf 0)     | n records of 192 bytes             | guard |
//! +-------+------------------------------+------------------------------------+-------+
//! ```
//!
//! The guards are bytes nobody uses, so that payload never borders on metadata.

use crate::header::{Header, PAGE, Span};
use core::cell::Cell;

/// Pages that one metadata page serves.
pub(crate) const PAGES_PER_METADATA_PAGE: usize = 64;

const RECORD: usize = size_of::<Header>();
const HANDLE: usize = size_of::<Span>();
/// Bytes at the start of a leaf's storage that nobody uses, for each of its metadata pages. At its end more are left over.
const GUARD: usize = 1024;

const _: () = assert!(2 * GUARD + PAGES_PER_METADATA_PAGE * (RECORD + 2 * HANDLE) <= PAGE, "a guard at either end");

/// Metadata pages that serve `pages` pages.
pub(crate) const fn metadata_pages(pages: usize) -> usize {
    pages.div_ceil(PAGES_PER_METADATA_PAGE)
}

/// Where a leaf's records and its array of handles are. Plain numbers: what they lead to is there for as long as the
/// leaf's storage stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaf {
    /// Biased, so that page numbers index it.
    records: usize,
    pub(crate) handles: Handles,
}

impl Leaf {
    /// A place for a leaf.
    pub(crate) const NONE: Self = Self { records: 0, handles: Handles(0) };

    /// Lays out a leaf for `pages` pages from number `first` in the metadata pages at `storage`.
    pub(crate) fn new(storage: usize, first: usize, pages: usize) -> Self {
        let handles = storage + GUARD * metadata_pages(pages);
        let records = (handles + (first + pages) * HANDLE).next_multiple_of(align_of::<Header>());
        debug_assert!(records + pages * RECORD + GUARD <= storage + metadata_pages(pages) * PAGE);
        Self { records: records.wrapping_sub(first * RECORD), handles: Handles(handles) }
    }

    /// The record of a page.
    ///
    /// # Safety
    ///
    /// The leaf serves the page, and its storage stands for as long as the handle is used.
    pub(crate) unsafe fn record(self, page: usize) -> Span {
        // SAFETY: the caller's promise; records are laid out at multiples of 64 from a multiple of 64.
        unsafe { Span::at(self.records.wrapping_add(page * RECORD)) }
    }

    /// The page whose record `span` is, if it is one of `pages`, which the leaf serves.
    pub(crate) fn page_of(self, span: Span, pages: core::ops::Range<usize>) -> Option<usize> {
        let offset = span.address().wrapping_sub(self.records.wrapping_add(pages.start * RECORD));
        (offset < pages.len() * RECORD && offset.is_multiple_of(RECORD)).then(|| pages.start + offset / RECORD)
    }
}

/// The address of an array of handles, from page 0 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handles(usize);

impl Handles {
    pub(crate) const NONE: Self = Self(0);

    /// The handle of a page.
    ///
    /// # Safety
    ///
    /// The leaf that the array is in has room for the page, its storage stands for `'a`, and the handle has been written.
    #[inline(always)]
    pub(crate) unsafe fn of<'a>(self, page: usize) -> &'a Cell<Span> {
        let address = self.0.wrapping_add(page * HANDLE);
        // SAFETY: the caller's promise. Handles are only ever reached as cells, or written when there is no reference.
        unsafe { &*core::ptr::with_exposed_provenance::<Cell<Span>>(address) }
    }

    /// The owner of a page, unless it is [`Span::nobody`].
    ///
    /// # Safety
    ///
    /// As for [`of`](Self::of).
    pub(crate) unsafe fn owner(self, page: usize) -> Option<Span> {
        // SAFETY: the caller's promise.
        Some(unsafe { self.of(page) }.get()).filter(|&span| span != Span::nobody())
    }

    /// Writes handles of [`Span::nobody`] for pages that had none: the memory may hold anything, zeros mostly, which are
    /// no handles, so it is not looked at.
    ///
    /// # Safety
    ///
    /// The leaf that the array is in has room for the pages, and its storage stands.
    pub(crate) unsafe fn start_as_nobodys(self, pages: core::ops::Range<usize>) {
        for page in pages {
            let handle = core::ptr::with_exposed_provenance_mut::<Span>(self.0.wrapping_add(page * HANDLE));
            // SAFETY: the caller's promise; nobody refers to what was never written.
            unsafe { handle.write(Span::nobody()) }
        }
    }

    /// Copies the first `pages` handles to another array.
    ///
    /// # Safety
    ///
    /// Both arrays are in the storage of different leaves that stand and have room for `pages` handles.
    pub(crate) unsafe fn copy_to(self, other: Self, pages: usize) {
        let (from, to) =
            (core::ptr::with_exposed_provenance::<u8>(self.0), core::ptr::with_exposed_provenance_mut(other.0));
        // SAFETY: the caller's promise; different leaves' storage does not overlap.
        unsafe { core::ptr::copy_nonoverlapping::<u8>(from, to, pages * HANDLE) }
    }

    /// Whether the array lies at or above `end`.
    pub(crate) fn lies_above(self, end: usize) -> bool {
        self.0 >= end
    }
}
