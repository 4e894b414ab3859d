//! From an address to the header of the span that owns it, in constant time, reading nothing near the address.
//!
//! The heap's pages are numbered from its first one. The page map proper is one array of handles, one for each page.
//! The records that headers are written into come in **leaves**: leaf 0 holds those of pages 0..60, leaf 1 those of
//! pages 60..128, and each later one doubles that, so the leaf of a page is a count of leading zeros, the heap can
//! double 25 times, and no record ever moves. The first leaf and its guard fit one page of metadata, which is what an
//! empty heap keeps.
//!
//! Leaf 0 lies at the heap's base. Leaf 1 is stored right where the heap has to grow for it, in line, unless it grows
//! for a block at its end, which has to stay in one piece. All others lie [`aside`](crate::ground::aside), in one array of
//! records and one of handles. Only where the source has no room aside do these come in line, too.
//!
//! A leaf in line also has room for the handles of all pages up to its last; the last leaf's are in use, and a heap that
//! comes to a new one copies them there. So its records serve no used page below its storage, and a lowered break takes
//! whole leaves with it, once the handles are back in the leaf before. [`leaf`](crate::ground::leaf) draws its bytes.
//!
//! [Regions](Regions), which stand in for a break that cannot move, each have a page range and a leaf of their own.

use crate::ground::aside::Aside;
use crate::ground::corrupt::corrupt;
use crate::ground::header::{PAGE, PAGE_SHIFT, Span};
use crate::ground::leaf::{Below, Handles, Leaf, storage_pages};
use core::ops::Range;

/// Pages that leaf 0 serves.
const FIRST_LEAF: usize = 60;
/// Leaf k serves the pages below 2^k times so many.
const DOUBLED: usize = 64;
/// Size of the table of leaves: a power of two, so that masking an index keeps it in bounds.
const LEAF_TABLE: usize = 32;
/// Leaves that a page number of 31 bits can reach.
const LEAVES: usize = 26;
/// No leaf lies aside.
const NONE_ASIDE: usize = usize::MAX;

const _: () = assert!(LEAVES <= LEAF_TABLE && LEAF_TABLE.is_power_of_two());
const _: () = assert!(served_by(LEAVES - 1) == 1 << 31 && FIRST_LEAF < DOUBLED);

/// First page number past those that leaves 0..=`leaf` serve.
const fn served_by(leaf: usize) -> usize {
    if leaf == 0 { FIRST_LEAF } else { DOUBLED << leaf }
}

/// The pages that a leaf serves.
const fn pages_of(leaf: usize) -> Range<usize> {
    if leaf == 0 { 0..FIRST_LEAF } else { served_by(leaf - 1)..served_by(leaf) }
}

/// Metadata pages in a leaf's storage.
const fn leaf_storage(leaf: usize, kernel_page: usize) -> usize {
    let below = if leaf == 0 { Below::Nothing } else { Below::Others };
    storage_pages(&pages_of(leaf), below, kernel_page)
}

/// The leaf that serves a page.
#[inline(always)]
fn leaf_of(page: usize) -> usize {
    let doublings = (page | (DOUBLED - 1)).ilog2() - (DOUBLED - 1).ilog2();
    (doublings as usize).max((page >= FIRST_LEAF) as usize) % LEAF_TABLE
}

/// The page map of one heap.
///
/// While a leaf is in the table, or in a region, its storage stands, or what it has aside for all pages below `pages`
/// (I2). In the array of handles in use, those of pages from `pages` on lead to nothing, as far as its memory stands
/// (I5); in the one aside all do while it is not in use. [`grow`](Self::grow), [`shrink`](Self::shrink) and their like
/// see to that, and that is why the others are safe for any address.
#[derive(Debug)]
pub(crate) struct PageMap {
    /// Address of page 0, a multiple of [`PAGE`]; meaningless while there are no pages.
    base: usize,
    /// Pages from `base` to the heap's end, foreign ones included.
    pages: usize,
    /// The array in use: that of the last leaf.
    handles: Handles,
    leaves: [Leaf; LEAF_TABLE],
    /// Leaves that stand.
    leaf_count: usize,
    /// The first leaf that lies aside, if one does.
    aside_from: usize,
    /// The room for leaves aside, once the source has named one.
    aside: Option<Aside>,
    regions: Regions,
}

impl PageMap {
    pub(crate) const fn new() -> Self {
        Self {
            base: 0,
            pages: 0,
            handles: Handles::NONE,
            leaves: [Leaf::NONE; LEAF_TABLE],
            leaf_count: 0,
            aside_from: NONE_ASIDE,
            aside: None,
            regions: Regions::new(),
        }
    }

    /// What [`find`](Self::find) answers for an address between the heap's base and its end.
    #[inline(always)]
    pub(crate) fn find_below_break(&self, address: usize) -> Option<Span> {
        let page = address.wrapping_sub(self.base) >> PAGE_SHIFT;
        // SAFETY: I2: a page of the heap, so its handle is there.
        if page < self.pages { unsafe { self.handles.of(page) }.get() } else { None }
    }

    /// The span that owns the page of `address`, if the page is the first of a span or any page of a slab (I5).
    #[inline]
    pub(crate) fn find(&self, address: usize) -> Option<Span> {
        let page = address.wrapping_sub(self.base) >> PAGE_SHIFT;
        // SAFETY: I2: a page of the heap, so its handle is there.
        if page < self.pages { unsafe { self.handles.of(page) }.get() } else { self.find_in_regions(address) }
    }

    #[cold]
    fn find_in_regions(&self, address: usize) -> Option<Span> {
        let region = self.regions.find(address)?;
        // SAFETY: I2: a page of the region, so its handle is there.
        unsafe { region.leaf.handles.of((address - region.start) >> PAGE_SHIFT) }.get()
    }

    /// Whether `address` lies between the heap's first page and its end, or in a region.
    pub(crate) fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.base) < self.pages * PAGE || self.regions.find(address).is_some()
    }

    /// Sets what [`find`](Self::find) answers for the page of `address`, which is in the heap.
    #[inline]
    pub(crate) fn set(&self, address: usize, span: Option<Span>) {
        let page = address.wrapping_sub(self.base) >> PAGE_SHIFT;
        if page < self.pages {
            // SAFETY: I2: a page of the heap, so its handle is there.
            return unsafe { self.handles.of(page) }.set(span);
        }
        let (leaf, page) = self.leaf_in_region(address);
        // SAFETY: I2: a page of the region, so its handle is there.
        unsafe { leaf.handles.of(page) }.set(span);
    }

    /// The record for a span that starts at `address`, which is in the heap.
    #[inline]
    pub(crate) fn record(&self, address: usize) -> Span {
        let page = address.wrapping_sub(self.base) >> PAGE_SHIFT;
        if page < self.pages {
            // SAFETY: I2: a page of the heap, so the leaf that serves it stands.
            return unsafe { self.leaves[leaf_of(page)].record(page) };
        }
        let (leaf, page) = self.leaf_in_region(address);
        // SAFETY: I2: a page of the region, which its leaf serves.
        unsafe { leaf.record(page) }
    }

    /// Whether a header is the record of the page it says its span starts at. What it reads of the header may be
    /// anything, but it must be there to be read; see [`knows`](Self::knows).
    #[inline]
    pub(crate) fn believes(&self, span: Span) -> bool {
        let start = span.start();
        let page = start.wrapping_sub(self.base) >> PAGE_SHIFT;
        if page < self.pages {
            return self.leaves[leaf_of(page)].record_address(page) == span.address();
        }
        self.is_record_in_region(start, span)
    }

    #[cold]
    fn is_record_in_region(&self, start: usize, span: Span) -> bool {
        self.regions.find(start).is_some() && self.record(start) == span
    }

    /// Whether `span` is the record of a page and that page's owner, found without a look at what it leads to. Its cost
    /// grows with the number of leaves and regions.
    pub(crate) fn knows(&self, span: Span) -> bool {
        let below_break = (0..self.leaf_count).find_map(|leaf| {
            // Where a room ends amid what a leaf would serve, regions may lie behind it.
            let page = self.leaves[leaf].page_of(span, pages_of(leaf)).filter(|&page| page < self.pages)?;
            Some(self.base + page * PAGE)
        });
        let in_region = |region: &Region| Some(region.start + region.leaf.page_of(span, 0..region.pages)? * PAGE);
        let page = below_break.or_else(|| self.regions().iter().find_map(in_region));
        page.is_some_and(|page| self.find(page) == Some(span))
    }

    #[cold]
    fn leaf_in_region(&self, address: usize) -> (Leaf, usize) {
        // Only addresses of the heap have records.
        let Some(region) = self.regions.find(address) else { corrupt(2, address) };
        (region.leaf, (address - region.start) >> PAGE_SHIFT)
    }

    /// Address of page 0, or `None` before the heap has any page from the break.
    pub(crate) fn base(&self) -> Option<usize> {
        (self.pages > 0).then_some(self.base)
    }

    /// Pages from the base to the heap's end.
    pub(crate) fn pages(&self) -> usize {
        self.pages
    }

    /// Address past the heap's last page.
    pub(crate) fn end(&self) -> usize {
        self.base + self.pages * PAGE
    }

    /// The regions.
    pub(crate) fn regions(&self) -> &Regions {
        &self.regions
    }

    /// Takes in a region, if there [is room](Regions::has_room). Its pages belong to no span yet.
    ///
    /// # Safety
    ///
    /// The region is the heap's, and its first pages, which its leaf takes, are zero, and in no other use until
    /// [`remove_region`](Self::remove_region).
    pub(crate) unsafe fn add_region(&mut self, region: Region) {
        self.regions.add(region);
    }

    /// Forgets the region that starts at `start`.
    pub(crate) fn remove_region(&mut self, start: usize) {
        self.regions.remove(start);
    }
}

mod around;
mod growth;
mod regions;

pub(crate) use growth::Growth;
pub(crate) use regions::{Region, Regions};
