//! From an address to the header of the span that owns it, in constant time, reading nothing near the address.
//!
//! The heap's pages are numbered from its first one. The page map proper is one array of handles, one for each page. The
//! records that headers are written into come in **leaves**: leaf 0 holds those of pages 0..64, and leaf k those of pages
//! 64·2^(k-1)..64·2^k, so the leaf of a page is a count of leading zeros, the heap can double 25 times, and no record ever
//! moves. Each leaf also has room for the handles of all pages up to its last; the last leaf's are in use, and a heap that
//! comes to a new leaf copies them there.
//!
//! ```text
//! storage of leaf k for its n pages, in n/64 metadata pages
//! +-------+------------------------------+------------------------------------+-------+
//! | guard | 2n handles (n in leaf 0)     | n records of 192 bytes             | guard |
//! +-------+------------------------------+------------------------------------+-------+
//! ```
//!
//! The guards are bytes nobody uses, so that payload never borders on metadata. A leaf is stored right where the heap
//! had to grow for it, so its records serve no used page below its storage, and a lowered break takes whole leaves with
//! it, once the handles are back in the leaf before.
//!
//! Regions, which stand in for a break that cannot move, each have a page range and a leaf of their own.

use crate::header::{Header, PAGE, PAGE_SHIFT, Span};
use core::cell::Cell;

/// Pages that one metadata page serves.
pub(crate) const PAGES_PER_METADATA_PAGE: usize = 64;

/// The most regions a heap can have. Each is at least a quarter of the heap before it, so this many are beyond any
/// address space that refuses them no sooner.
pub(crate) const MAX_REGIONS: usize = 64;

/// Size of the table of leaves: a power of two, so that masking an index keeps it in bounds.
const LEAF_TABLE: usize = 32;
/// Leaves that a page number of 31 bits can reach.
const LEAVES: usize = 26;
const RECORD: usize = size_of::<Header>();
const HANDLE: usize = size_of::<Span>();
/// Bytes at the start of a leaf's storage that nobody uses, for each of its metadata pages. At its end more are left over.
const GUARD: usize = 1024;

const _: () = assert!(2 * GUARD + PAGES_PER_METADATA_PAGE * (RECORD + 2 * HANDLE) <= PAGE, "a guard at either end");

/// Where the records for a range of pages and the handles for all pages before its end are.
#[derive(Debug, Clone, Copy, Default)]
struct Leaf {
    /// Biased, so that page numbers index it.
    records: usize,
    handles: Handles,
}

impl Leaf {
    /// Lays out a leaf for `pages` pages from number `first` in the metadata pages at `storage`.
    fn new(storage: usize, first: usize, pages: usize) -> Self {
        let handles = storage + GUARD * metadata_pages(pages);
        let records = (handles + (first + pages) * HANDLE).next_multiple_of(align_of::<Header>());
        debug_assert!(records + pages * RECORD + GUARD <= storage + metadata_pages(pages) * PAGE);
        Self { records: records.wrapping_sub(first * RECORD), handles: Handles(handles) }
    }

    fn record(self, page: usize) -> Span {
        // SAFETY: I2: the leaf's storage stands, and callers only ask for pages it serves; records are laid out at
        // multiples of 64 from a multiple of 64.
        unsafe { Span::at(self.records.wrapping_add(page * RECORD)) }
    }
}

/// The address of an array of handles, from page 0 on.
#[derive(Debug, Clone, Copy, Default)]
struct Handles(usize);

impl Handles {
    #[inline(always)]
    fn of<'a>(self, page: usize) -> &'a Cell<Span> {
        let address = self.0.wrapping_add(page * HANDLE);
        // SAFETY: I2: the storage of the leaf that the array is in stands, and callers only ask for pages of the heap;
        // their handles have been written.
        unsafe { &*core::ptr::with_exposed_provenance::<Cell<Span>>(address) }
    }

    fn owner(self, page: usize) -> Option<Span> {
        Some(self.of(page).get()).filter(|&span| span != Span::nobody())
    }

    /// Copies the first `pages` handles to another array.
    fn copy_to(self, other: Self, pages: usize) {
        let (from, to) =
            (core::ptr::with_exposed_provenance::<u8>(self.0), core::ptr::with_exposed_provenance_mut(other.0));
        // SAFETY: both arrays are in storage that stands and have room for `pages` handles; different leaves' storage
        // does not overlap.
        unsafe { core::ptr::copy_nonoverlapping::<u8>(from, to, pages * HANDLE) }
    }
}

/// Metadata pages that serve `pages` pages.
pub(crate) const fn metadata_pages(pages: usize) -> usize {
    pages.div_ceil(PAGES_PER_METADATA_PAGE)
}

/// First page number past those that leaves 0..=`leaf` serve.
const fn served_by(leaf: usize) -> usize {
    PAGES_PER_METADATA_PAGE << leaf
}

/// The leaf that serves a page.
#[inline(always)]
fn leaf_of(page: usize) -> usize {
    ((page | (PAGES_PER_METADATA_PAGE - 1)).ilog2() - (PAGES_PER_METADATA_PAGE - 1).ilog2()) as usize % LEAF_TABLE
}

/// A range of addresses that came from the kernel as a mapping.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Region {
    pub(crate) start: usize,
    pub(crate) pages: usize,
    /// What [`Brk::map`](crate::brk::Brk::map) returned; `start` is the first page boundary in it.
    pub(crate) mapping: usize,
    pub(crate) mapping_bytes: usize,
    leaf: Leaf,
}

impl Region {
    /// A region whose first pages are its leaf's storage.
    pub(crate) fn new(start: usize, pages: usize, mapping: usize, mapping_bytes: usize) -> Self {
        Self { start, pages, mapping, mapping_bytes, leaf: Leaf::new(start, 0, pages) }
    }

    pub(crate) fn end(&self) -> usize {
        self.start + self.pages * PAGE
    }

    fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.start) < self.pages * PAGE
    }
}

/// The page map of one heap.
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
    /// Sorted by address; the first `region_count` are in use.
    regions: [Region; MAX_REGIONS],
    region_count: usize,
}

impl PageMap {
    pub(crate) const fn new() -> Self {
        const NO_LEAF: Leaf = Leaf { records: 0, handles: Handles(0) };
        const NO_REGION: Region = Region { start: 0, pages: 0, mapping: 0, mapping_bytes: 0, leaf: NO_LEAF };
        Self {
            base: 0,
            pages: 0,
            handles: Handles(0),
            leaves: [NO_LEAF; LEAF_TABLE],
            leaf_count: 0,
            regions: [NO_REGION; MAX_REGIONS],
            region_count: 0,
        }
    }

    /// What [`find`](Self::find) answers for an address between the heap's base and its end; [`Span::nobody`] stands for
    /// nothing there.
    #[inline(always)]
    pub(crate) fn find_below_break(&self, address: usize) -> Option<Span> {
        let page = address.wrapping_sub(self.base) >> PAGE_SHIFT;
        if page < self.pages { Some(self.handles.of(page).get()) } else { None }
    }

    /// The span that owns the page of `address`, if the page is the first of a span or any page of a slab (I5).
    #[inline]
    pub(crate) fn find(&self, address: usize) -> Option<Span> {
        let page = address.wrapping_sub(self.base) >> PAGE_SHIFT;
        if page < self.pages { self.handles.owner(page) } else { self.find_in_regions(address) }
    }

    #[cold]
    fn find_in_regions(&self, address: usize) -> Option<Span> {
        let region = self.region_of(address)?;
        region.leaf.handles.owner((address - region.start) >> PAGE_SHIFT)
    }

    fn region_of(&self, address: usize) -> Option<&Region> {
        let after = self.regions().partition_point(|region| region.start <= address);
        self.regions()[..after].last().filter(|region| region.contains(address))
    }

    /// The span in which `address` lies, wherever in it. Walks down from the page to its span's first one, so its cost
    /// grows with the span: for explaining a misuse, not for deciding one.
    pub(crate) fn find_around(&self, address: usize) -> Option<Span> {
        if !self.contains(address) {
            return None;
        }
        let mut page = address & !(PAGE - 1);
        loop {
            if let Some(span) = self.find(page) {
                return Some(span);
            }
            page -= PAGE;
        }
    }

    /// Whether `address` lies between the heap's first page and its end, or in a region.
    pub(crate) fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.base) < self.pages * PAGE || self.region_of(address).is_some()
    }

    /// Sets what [`find`](Self::find) answers for the page of `address`, which is in the heap.
    #[inline]
    pub(crate) fn set(&self, address: usize, span: Option<Span>) {
        let span = span.unwrap_or(Span::nobody());
        let page = address.wrapping_sub(self.base) >> PAGE_SHIFT;
        if page < self.pages {
            return self.handles.of(page).set(span);
        }
        let (leaf, page) = self.place_in_region(address);
        leaf.handles.of(page).set(span);
    }

    /// The record for a span that starts at `address`, which is in the heap.
    #[inline]
    pub(crate) fn record(&self, address: usize) -> Span {
        let page = address.wrapping_sub(self.base) >> PAGE_SHIFT;
        if page < self.pages {
            return self.leaves[leaf_of(page)].record(page);
        }
        let (leaf, page) = self.place_in_region(address);
        leaf.record(page)
    }

    #[cold]
    fn place_in_region(&self, address: usize) -> (Leaf, usize) {
        let region = self.region_of(address).expect("only addresses of the heap have records");
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

    /// Regions in address order.
    pub(crate) fn regions(&self) -> &[Region] {
        &self.regions[..self.region_count]
    }

    /// Metadata pages that leaves for pages up to number `pages` need beyond those that stand, and nothing if the heap
    /// could not count that far.
    pub(crate) fn leaf_pages_missing(&self, pages: usize) -> Option<usize> {
        let (mut leaves, mut missing) = (self.leaf_count, 0);
        while leaves == 0 || served_by(leaves - 1) < pages {
            if leaves == LEAVES {
                return None;
            }
            missing += Self::leaf_storage(leaves);
            leaves += 1;
        }
        Some(missing)
    }

    /// Pages that the standing leaves can still take in beyond page number `from`.
    pub(crate) fn served_beyond(&self, from: usize) -> usize {
        if self.leaf_count == 0 { 0 } else { served_by(self.leaf_count - 1).saturating_sub(from) }
    }

    const fn leaf_storage(leaf: usize) -> usize {
        let first = if leaf == 0 { 0 } else { served_by(leaf - 1) };
        metadata_pages(served_by(leaf) - first)
    }

    /// Makes page `pages - 1` the last, with new leaves in the metadata pages at `storage` where they are missing.
    /// The new pages belong to no span yet.
    pub(crate) fn grow(&mut self, base: usize, pages: usize, mut storage: usize) {
        debug_assert!(pages >= self.pages);
        self.base = base;
        while self.leaf_count == 0 || served_by(self.leaf_count - 1) < pages {
            let first = if self.leaf_count == 0 { 0 } else { served_by(self.leaf_count - 1) };
            self.leaves[self.leaf_count] = Leaf::new(storage, first, served_by(self.leaf_count) - first);
            storage += Self::leaf_storage(self.leaf_count) * PAGE;
            self.leaf_count += 1;
        }
        let handles = self.leaves[self.leaf_count - 1].handles;
        if handles.0 != self.handles.0 {
            self.handles.copy_to(handles, self.pages);
            self.handles = handles;
        }
        let old = core::mem::replace(&mut self.pages, pages);
        for page in old..pages {
            self.handles.of(page).set(Span::nobody());
        }
    }

    /// Prepares for [`shrink`](Self::shrink): brings the handles that will be left to where they can stay. Until then all
    /// of them can be had back with [`stay`](Self::stay).
    pub(crate) fn prepare_to_shrink(&mut self, end: usize) {
        let handles = self.leaves[self.leaves_below(end) - 1].handles;
        if handles.0 != self.handles.0 {
            self.handles.copy_to(handles, (end - self.base) / PAGE);
            self.handles = handles;
        }
    }

    /// The heap does not shrink after all.
    pub(crate) fn stay(&mut self) {
        self.handles = self.leaves[self.leaf_count - 1].handles;
    }

    /// Gives up the pages from `end` on, and the leaves stored there.
    pub(crate) fn shrink(&mut self, end: usize) {
        self.pages = (end - self.base) / PAGE;
        self.leaf_count = self.leaves_below(end);
        self.stay();
    }

    /// How many leaves are stored below `end`: at least one, which is at the base.
    fn leaves_below(&self, end: usize) -> usize {
        let mut leaves = self.leaf_count;
        while leaves > 1 && self.leaves[leaves - 1].handles.0 >= end {
            leaves -= 1;
        }
        leaves
    }

    /// Takes in a region, if there [is room](Self::has_room_for_region). Its pages belong to no span yet.
    pub(crate) fn add_region(&mut self, region: Region) {
        debug_assert!(self.has_room_for_region());
        for page in 0..region.pages {
            region.leaf.handles.of(page).set(Span::nobody());
        }
        let at = self.regions().partition_point(|other| other.start < region.start);
        self.regions.copy_within(at..self.region_count, at + 1);
        self.regions[at] = region;
        self.region_count += 1;
    }

    /// Whether [`add_region`](Self::add_region) has room for one more.
    pub(crate) fn has_room_for_region(&self) -> bool {
        self.region_count < MAX_REGIONS
    }

    /// Forgets the region that starts at `start`.
    pub(crate) fn remove_region(&mut self, start: usize) {
        let at = self.regions().partition_point(|region| region.start < start);
        debug_assert_eq!(self.regions[at].start, start);
        self.regions.copy_within(at + 1..self.region_count, at);
        self.region_count -= 1;
    }
}
