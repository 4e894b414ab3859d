//! An array of handles: for each page the header of the span that owns it, or null.

use crate::ground::header::{Handle, Span};
use core::ops::Range;

/// Bytes of a handle.
pub(crate) const HANDLE: usize = size_of::<Option<Span>>();

/// The address of an array of handles, from page 0 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handles(usize);

impl Handles {
    pub(crate) const NONE: Self = Self(0);

    /// The array at an address.
    pub(crate) fn at(address: usize) -> Self {
        Self(address)
    }

    /// Its address.
    pub(crate) fn address(self) -> usize {
        self.0
    }

    /// The handle of a page.
    ///
    /// # Safety
    ///
    /// The array has room for the page, and its memory stands for `'a` and holds a handle there, or zeros.
    #[inline(always)]
    pub(crate) unsafe fn of<'a>(self, page: usize) -> &'a Handle {
        let address = self.0.wrapping_add(page * HANDLE);
        // SAFETY: the caller's promise. Handles are always reached as cells, or written while there is no reference to
        // them; a null one is `None`.
        unsafe { &*core::ptr::with_exposed_provenance::<Handle>(address) }
    }

    /// Sets the handles of a run of pages.
    ///
    /// # Safety
    ///
    /// As for [`of`](Self::of), for each of the pages.
    #[cfg_attr(feature = "speed", inline)]
    #[cfg_attr(not(feature = "speed"), inline(never))]
    pub(crate) unsafe fn set(self, pages: Range<usize>, span: Option<Span>) {
        for page in pages {
            // SAFETY: the caller's promise.
            unsafe { self.of(page) }.set(span);
        }
    }

    /// Writes null handles over memory that may hold anything.
    ///
    /// # Safety
    ///
    /// The array has room for the pages, and its memory stands.
    pub(crate) unsafe fn clear(self, pages: Range<usize>) {
        let first = core::ptr::with_exposed_provenance_mut::<Option<Span>>(self.0.wrapping_add(pages.start * HANDLE));
        // SAFETY: the caller's promise. Zeros are null handles.
        unsafe { first.write_bytes(0, pages.len()) }
    }

    /// The first page whose handle lies at or above `address`.
    pub(crate) fn first_from(self, address: usize) -> usize {
        address.saturating_sub(self.0).div_ceil(HANDLE)
    }

    /// Copies the first `pages` handles to another array.
    ///
    /// # Safety
    ///
    /// The memory of both arrays stands, does not overlap, and has room for `pages` handles.
    pub(crate) unsafe fn copy_to(self, other: Self, pages: usize) {
        let (from, to) =
            (core::ptr::with_exposed_provenance::<u8>(self.0), core::ptr::with_exposed_provenance_mut(other.0));
        // SAFETY: the caller's promise.
        unsafe { core::ptr::copy_nonoverlapping::<u8>(from, to, pages * HANDLE) }
    }

    /// Whether the array lies at or above `end`.
    pub(crate) fn lies_above(self, end: usize) -> bool {
        self.0 >= end
    }
}
