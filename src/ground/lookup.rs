//! What of a page map is read without the central lock: where the heap is, how long it is, and which array of handles is in
//! use.
//!
//! The one who grows or shrinks the heap writes the three words in an order, and readers read them in the opposite one: the
//! length first, then the base and the array. [`PageMap`](super::page_map::PageMap) has the rules.
//!
//! | ordering | its partner | what breaks without it |
//! |---|---|---|
//! | `set_pages`, Release | `page_of`, Acquire | a reader gets an array that is too short for the page |
//! | `use_array`, Release | `array`, Acquire | a reader finds no owner in an array that is not complete yet |

use super::atomic::{Acquire, AtomicUsize, Relaxed, Release};
use super::header::PAGE_SHIFT;
use core::marker::PhantomPinned;
use core::mem::offset_of;

/// The part of a page map that is read without the central lock.
///
/// It is never uniquely borrowed while another thread may read it, although what it is part of is: a type that is not `Unpin`
/// opts out of that.
#[derive(Debug)]
pub(crate) struct Lookup {
    /// Address of page 0, a multiple of a page; meaningless while there are no pages.
    base: AtomicUsize,
    /// Pages from `base` to the heap's end, foreign ones included.
    pages: AtomicUsize,
    /// Address of the array in use.
    handles: AtomicUsize,
    _pinned: PhantomPinned,
}

/// Where a debugger finds `base`, `pages` and `handles`.
pub(crate) const LOOKUP_OFFSETS: [usize; 3] =
    [offset_of!(Lookup, base), offset_of!(Lookup, pages), offset_of!(Lookup, handles)];

impl Lookup {
    pub(crate) const fn new() -> Self {
        Self {
            base: AtomicUsize::new(0),
            pages: AtomicUsize::new(0),
            handles: AtomicUsize::new(0),
            _pinned: PhantomPinned,
        }
    }

    /// The number of the page of `address`, if it lies between the heap's base and its end. The length is read first.
    #[inline(always)]
    pub(crate) fn page_of(&self, address: usize) -> Option<usize> {
        let pages = self.pages.load(Acquire);
        let page = address.wrapping_sub(self.base()) >> PAGE_SHIFT;
        (page < pages).then_some(page)
    }

    /// Address of the array in use: it has room for each page that the caller [knows of](Self::page_of).
    #[inline(always)]
    pub(crate) fn array(&self) -> usize {
        self.handles.load(Acquire)
    }

    /// Address of page 0.
    #[inline(always)]
    pub(crate) fn base(&self) -> usize {
        self.base.load(Relaxed)
    }

    /// Pages from the base to the end. For the holder of the central lock.
    #[inline(always)]
    pub(crate) fn pages(&self) -> usize {
        self.pages.load(Relaxed)
    }

    /// Sets the address of page 0, before there are pages.
    pub(crate) fn set_base(&self, base: usize) {
        self.base.store(base, Relaxed);
    }

    /// Brings an array into use, which is complete.
    pub(crate) fn use_array(&self, address: usize) {
        self.handles.store(address, Release);
    }

    /// Sets how many pages there are. If more than before, the array in use has room for them.
    pub(crate) fn set_pages(&self, pages: usize) {
        self.pages.store(pages, Release);
    }
}
