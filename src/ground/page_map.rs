//! From an address to the header of the span that owns it, in constant time, reading nothing near the address.
//!
//! The heap's pages are numbered from its first one. The page map proper is one array of handles, one for each page.
//! The records that headers are written into come in **leaves**: leaf 0 holds those of pages 0..60, leaf 1 those of
//! pages 60..128, and each later one doubles that, so the leaf of a page is a count of leading zeros, the heap can
//! double 25 times, and no record ever moves. The first leaf and its guard fit one page of metadata, which is what an
//! empty heap keeps.
//!
//! Leaf 0 lies at the heap's base (I15). Leaf 1 is stored right where the heap has to grow for it, in line, unless it grows
//! for a block at its end, which has to stay in one piece. All others lie [`aside`](crate::ground::aside), in one array of
//! records and one of handles. Only where the source has no room aside do these come in line, too.
//! And what has once come into use aside stays so, also below page 60, until its memory is returned.
//!
//! A leaf in line also has room for the handles of all pages up to its last. So its records and handles serve no used page
//! below its storage, and a lowered break takes whole leaves with it. [`leaf`](crate::ground::leaf) draws its bytes. A
//! heap that comes to a new leaf in line, or for the first time to one aside, copies the handles to the array there and
//! uses that one from then on; those that it used before stay where they are, and stay true ([`arrays`]).
//!
//! What other ways would cost, in instructions and in a tiny program's memory: if each leaf kept the handles of its own
//! pages, look-ups would take 11 more (a pair of calls 91.7 for 80.7, slabs that come and go 8 to 10 % more); if all
//! handles lay aside from the first page on, a tiny program would make one system call more and touch one page more, and
//! the page tables for it. True arrays cost nothing in pairs, 0.2 % in churns, 2 of 590 for a large block, and 0.7 to 1.1 %
//! where slabs come and go all the time.
//!
//! [Regions], which stand in for a break that cannot move, each have a page range and a leaf of their own.

use crate::ground::aside::Aside;
use crate::ground::handles::Handles;
use crate::ground::header::{PAGE, Span};
use crate::ground::leaf::Leaf;
use crate::ground::limit::Limit;
pub(crate) use crate::ground::lookup::Lookup;
use crate::kernel::parts::{MAPPINGS, SPEED};

/// No leaf lies aside.
const NONE_ASIDE: usize = Limit::NONE.get();

impl Lookup {
    /// The array of handles in use.
    #[inline(always)]
    fn handles(&self) -> Handles {
        Handles::at(self.array())
    }

    /// Whether a header is the record of the page at which it says its span starts. If that is in a region, this is not known
    /// here, and the answer is no.
    #[inline]
    pub(crate) fn is_own_record(&self, span: Span) -> bool {
        self.find_below_break(span.start()) == Some(span)
    }

    /// What [`PageMap::find`] answers for an address between the heap's base and its end.
    #[inline(always)]
    pub(crate) fn find_below_break(&self, address: usize) -> Option<Span> {
        // SAFETY: I2: a page of the heap, so its handle is there.
        self.page_of(address).and_then(|page| unsafe { self.handles().of(page) }.get())
    }
}

/// The page map of one heap.
///
/// While a leaf is in the table, or in a region, its storage stands, or what it has aside for all pages below `pages`
/// (I2). In each array of handles that stands, those of pages below `pages` are what the one in use says, and later ones
/// lead to nothing (I5); in the one aside all do while it has not come into use. [`grow`](Self::grow),
/// [`shrink`](Self::shrink) and their like see to that, and that is why the others are safe for any address.
///
/// # What may be read without the central lock
///
/// What is in [`Lookup`]: `pages`, then `base` and `handles`, then the handle of a page below `pages`, then the header that it
/// leads to. [Regions](Regions) are looked up under the lock. These rules make that right:
///
/// 1. `base` is written before `pages` is first other than 0, and does not change.
/// 2. Growth completes the new array, then writes `handles`, then `pages`. So the array that a reader gets has room for each
///    page below the `pages` that it has read before. `handles` changes only to longer arrays, also when the heap shrinks: a
///    reader with the old `pages` would look past the end of a shorter one. It changes to a shorter one only when the memory
///    of the longer is returned (5).
/// 3. Each array that stands is true: whichever a reader gets, it finds the owner that the page has, or had a moment ago.
/// 4. A record is initialised before a handle leads to it. It is never moved, and no other page's. A reader
///    that is on its way to it while its span ends still finds a header there. What it may conclude from that header is for
///    the header's own rules to say.
/// 5. Memory with handles or records in it is returned only while all other threads are stopped, so that none is on its way:
///    by a break that is lowered over a leaf in line, by [`return_aside`](Self::return_aside) and
///    [`discard_aside`](Self::discard_aside), and with a region (`Spans::has_readers`). Lowering a break over other pages takes nothing from a reader, as their handles lead to nothing
///    by then.
///
/// The orderings that this takes are beside [the words](crate::ground::lookup) and [the handles](crate::ground::pointer).
#[derive(Debug)]
pub(crate) struct PageMap {
    /// The part for readers.
    pub(crate) lookup: Lookup,
    /// How many handles the longest older array has: that of the last leaf in line but for the one in use, or 0.
    older: usize,
    leaves: [Leaf; LEAF_TABLE],
    /// Leaves that stand.
    leaf_count: usize,
    /// The last of them, and the first page of those that have their records in the same array: in a long heap, nearly all.
    tail: Leaf,
    tail_from: usize,
    /// The first leaf that lies aside, if one does.
    aside_from: Limit,
    /// The room for leaves aside, once the source has named one.
    aside: Option<Aside>,
    pub(crate) regions: Regions,
}

impl PageMap {
    pub(crate) const fn new() -> Self {
        Self {
            lookup: Lookup::new(),
            older: 0,
            leaves: [Leaf::NONE; LEAF_TABLE],
            leaf_count: 0,
            tail: Leaf::NONE,
            tail_from: 0,
            aside_from: Limit::NONE,
            aside: None,
            regions: Regions::new(),
        }
    }

    /// The number of the page of `address`, if it lies between the heap's base and its end.
    #[cfg_attr(feature = "speed", inline(always))]
    #[cfg_attr(not(feature = "speed"), inline(never))]
    pub(crate) fn page_of(&self, address: usize) -> Option<usize> {
        self.lookup.page_of(address)
    }

    /// The span that owns page number `page`, as [`find`](Self::find) answers.
    #[inline(always)]
    pub(crate) fn owner(&self, page: usize) -> Option<Span> {
        // SAFETY: it is asked for only if it is below `pages`.
        if page < self.pages() { unsafe { self.owner_at(page) } } else { None }
    }

    /// [`owner`](Self::owner) of a page of the heap.
    ///
    /// # Safety
    ///
    /// Its number is below `pages`.
    #[inline(always)]
    pub(crate) unsafe fn owner_at(&self, page: usize) -> Option<Span> {
        // SAFETY: I2: a page of the heap, so its handle is there.
        unsafe { self.array().of(page) }.get()
    }

    /// The [record](Self::record) of page number `page`, if that is a page of the heap.
    #[inline(always)]
    pub(crate) fn record_of(&self, page: usize) -> Option<Span> {
        if page >= self.pages() {
            return None;
        }
        let leaf = if page >= self.tail_from { self.tail } else { self.leaves[leaf_of(page)] };
        // SAFETY: I2: a page of the heap, so the leaf that serves it stands.
        Some(unsafe { leaf.record(page) })
    }

    /// [`set`](Self::set) for page number `page` of the heap.
    ///
    /// # Safety
    ///
    /// It is below `pages`.
    #[inline(always)]
    pub(crate) unsafe fn set_at(&self, page: usize, span: Option<Span>) {
        // SAFETY: I2: a page of the heap, so its handle is there.
        unsafe { self.array().of(page) }.set(span);
        if page < self.older {
            self.set_older(page..page + 1, span);
        }
    }

    /// The span that owns the page of `address`, if the page is the first of a span or any page of a slab (I5).
    #[cfg_attr(feature = "speed", inline)]
    #[cfg_attr(not(feature = "speed"), inline(never))]
    pub(crate) fn find(&self, address: usize) -> Option<Span> {
        match self.page_of(address) {
            // SAFETY: I2: a page of the heap, so its handle is there.
            Some(page) => unsafe { self.array().of(page) }.get(),
            None => self.find_in_regions(address),
        }
    }

    /// Whether `address` lies between the heap's first page and its end, or in a region.
    #[cfg_attr(not(feature = "speed"), inline(never))]
    pub(crate) fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.first_page()) < self.pages() * PAGE || self.regions.find(address).is_some()
    }

    /// Sets what [`find`](Self::find) answers for the page of `address`, which is in the heap.
    #[cfg_attr(feature = "speed", inline)]
    #[cfg_attr(not(feature = "speed"), inline(never))]
    pub(crate) fn set(&self, address: usize, span: Option<Span>) {
        if !SPEED {
            return self.set_run(address, 1, span);
        }
        if let Some(page) = self.page_of(address) {
            // SAFETY: `page_of` says that it is below `pages`.
            return unsafe { self.set_at(page, span) };
        }
        let (leaf, page) = self.leaf_in_region(address);
        // SAFETY: I2: a page of the region, so its handle is there.
        unsafe { leaf.handles.of(page) }.set(span);
    }

    /// [`set`](Self::set) for a run of `pages` pages of one span, from the page of `address` on.
    pub(crate) fn set_run(&self, address: usize, pages: usize, span: Option<Span>) {
        if pages == 0 {
            return;
        }
        if let Some(page) = self.page_of(address) {
            // SAFETY: I2: pages of the heap, as the span is, so their handles are there.
            unsafe { self.array().set(page..page + pages, span) };
            if page < self.older {
                self.set_older(page..page + pages, span);
            }
            return;
        }
        let (leaf, page) = self.leaf_in_region(address);
        // SAFETY: I2: pages of the region, as the span is, so their handles are there.
        unsafe { leaf.handles.set(page..page + pages, span) };
    }

    /// The record for a span that starts at `address`, which is in the heap.
    #[cfg_attr(feature = "speed", inline)]
    #[cfg_attr(not(feature = "speed"), inline(never))]
    pub(crate) fn record(&self, address: usize) -> Span {
        if let Some(page) = self.page_of(address) {
            // SAFETY: I2: a page of the heap, so the leaf that serves it stands.
            return unsafe { self.leaves[leaf_of(page)].record(page) };
        }
        let (leaf, page) = self.leaf_in_region(address);
        // SAFETY: I2: a page of the region, which its leaf serves.
        unsafe { leaf.record(page) }
    }

    /// Whether a header is the record of the page it says its span starts at. What it reads of the header may be
    /// anything, but it must be there to be read; see [`is_record`](Self::is_record).
    #[inline]
    pub(crate) fn is_own_record(&self, span: Span) -> bool {
        let start = span.start();
        if let Some(page) = self.page_of(start) {
            if !SPEED {
                return self.record(start) == span;
            }
            return self.leaves[leaf_of(page)].record_address(page) == span.address();
        }
        self.is_record_in_region(start, span)
    }

    /// Whether `span` is the record of a page and that page's owner, found without a look at what it leads to. Its cost
    /// grows with the number of leaves and regions.
    pub(crate) fn is_record(&self, span: Span) -> bool {
        let below_break = (0..self.leaf_count).find_map(|leaf| {
            // Where a room is too short for all that a leaf would serve, regions may lie beyond it.
            let page = self.leaves[leaf].page_of(span, pages_of(leaf)).filter(|&page| page < self.pages())?;
            Some(self.first_page() + page * PAGE)
        });
        let in_region = |region: &Region| Some(region.start + region.leaf.page_of(span, 0..region.pages)? * PAGE);
        let page = below_break.or_else(|| self.regions().iter().find_map(in_region));
        page.is_some_and(|page| self.find(page) == Some(span))
    }

    /// The first leaf that lies aside, or [`NONE_ASIDE`].
    fn aside_from(&self) -> usize {
        if MAPPINGS { self.aside_from.get() } else { NONE_ASIDE }
    }

    /// Address of page 0, or `None` before the heap has any page from the break.
    pub(crate) fn base(&self) -> Option<usize> {
        (self.pages() > 0).then_some(self.first_page())
    }

    /// Pages from the base to the heap's end.
    #[inline]
    pub(crate) fn pages(&self) -> usize {
        self.lookup.pages()
    }

    /// Address of page 0, if there is one.
    #[inline]
    fn first_page(&self) -> usize {
        self.lookup.base()
    }

    /// The array of handles in use.
    #[inline(always)]
    fn array(&self) -> Handles {
        self.lookup.handles()
    }

    /// Address past the heap's last page.
    #[inline]
    pub(crate) fn end(&self) -> usize {
        self.first_page() + self.pages() * PAGE
    }
}

mod around;
mod arrays;
mod growth;
mod numbers;
mod regions;

pub(crate) use around::NEAR;
pub(crate) use growth::Growth;
use numbers::{FIRST_LEAF, LEAVES, leaf_storage, served_by};
pub(crate) use numbers::{LEAF_TABLE, leaf_of, pages_of};
pub(crate) use regions::{REGION_OFFSETS, Region, Regions};
