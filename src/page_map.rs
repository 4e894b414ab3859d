//! From an address to the header of the span that owns it, in constant time, reading nothing near the address.
//!
//! The heap's pages are numbered from its first one. A **leaf** serves a range of page numbers with two arrays in
//! metadata pages: the page map proper (a handle for each page) and the records that headers are written into. Leaf 0
//! serves pages 0..64, and leaf k serves 64·2^(k-1)..64·2^k, so the leaf of a page is a count of leading zeros, the heap
//! can double 25 times, and nothing that was handed out ever moves.
//!
//! ```text
//! storage of a leaf for n pages, in n/64 metadata pages
//! +-------+------------------------------------+---------------------+-------+
//! | guard | n records of 192 bytes             | n handles           | guard |
//! +-------+------------------------------------+---------------------+-------+
//! ```
//!
//! The guards are bytes nobody uses, so that payload never borders on metadata. A leaf is stored right where the heap
//! had to grow for it, so it serves no used page below its storage, and a lowered break takes whole leaves with it.
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
const HANDLE: usize = size_of::<Option<Span>>();
/// Bytes at either end of a leaf's storage, for each of its pages.
const GUARD: usize = ((PAGE - PAGES_PER_METADATA_PAGE * (RECORD + HANDLE)) / 2) & !63;

const _: () = assert!(GUARD >= 1024, "payload and metadata keep their distance");
const _: () = assert!(2 * GUARD + PAGES_PER_METADATA_PAGE * (RECORD + HANDLE) <= PAGE);

/// Where the records and handles for a range of pages are, as addresses biased so that page numbers index them.
#[derive(Debug, Clone, Copy, Default)]
struct Leaf {
    records: usize,
    handles: usize,
}

impl Leaf {
    /// Lays out a leaf for `pages` pages from number `first` in the metadata pages at `storage`.
    fn new(storage: usize, first: usize, pages: usize) -> Self {
        let records = storage + GUARD * metadata_pages(pages);
        let handles = records + pages * RECORD;
        debug_assert!(handles + pages * HANDLE <= storage + metadata_pages(pages) * PAGE);
        Self { records: records.wrapping_sub(first * RECORD), handles: handles.wrapping_sub(first * HANDLE) }
    }

    #[inline(always)]
    fn handle<'a>(self, page: usize) -> &'a Cell<Option<Span>> {
        let address = self.handles.wrapping_add(page * HANDLE);
        // SAFETY: I2: the leaf's storage stands, and callers only ask for pages it serves; the handles of all pages
        // below the heap's end have been written.
        unsafe { &*core::ptr::with_exposed_provenance::<Cell<Option<Span>>>(address) }
    }

    fn record(self, page: usize) -> Span {
        // SAFETY: I2: as for `handle`; records are laid out at multiples of 64 from a multiple of 64.
        unsafe { Span::at(self.records.wrapping_add(page * RECORD)) }
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
    leaves: [Leaf; LEAF_TABLE],
    /// Leaves that stand.
    leaf_count: usize,
    /// Sorted by address; the first `region_count` are in use.
    regions: [Region; MAX_REGIONS],
    region_count: usize,
}

impl PageMap {
    pub(crate) const fn new() -> Self {
        const NO_LEAF: Leaf = Leaf { records: 0, handles: 0 };
        const NO_REGION: Region = Region { start: 0, pages: 0, mapping: 0, mapping_bytes: 0, leaf: NO_LEAF };
        Self {
            base: 0,
            pages: 0,
            leaves: [NO_LEAF; LEAF_TABLE],
            leaf_count: 0,
            regions: [NO_REGION; MAX_REGIONS],
            region_count: 0,
        }
    }

    /// The span that owns the page of `address`, if the page is the first of a span or any page of a slab (I5).
    #[inline(always)]
    pub(crate) fn find(&self, address: usize) -> Option<Span> {
        let page = address.wrapping_sub(self.base) >> PAGE_SHIFT;
        if page < self.pages {
            return self.leaves[leaf_of(page)].handle(page).get();
        }
        self.find_in_regions(address)
    }

    #[cold]
    fn find_in_regions(&self, address: usize) -> Option<Span> {
        let region = self.region_of(address)?;
        region.leaf.handle((address - region.start) >> PAGE_SHIFT).get()
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
    pub(crate) fn set(&self, address: usize, span: Option<Span>) {
        let (leaf, page) = self.leaf_and_page(address);
        leaf.handle(page).set(span);
    }

    /// The record for a span that starts at `address`, which is in the heap.
    pub(crate) fn record(&self, address: usize) -> Span {
        let (leaf, page) = self.leaf_and_page(address);
        leaf.record(page)
    }

    fn leaf_and_page(&self, address: usize) -> (Leaf, usize) {
        let page = address.wrapping_sub(self.base) >> PAGE_SHIFT;
        if page < self.pages {
            return (self.leaves[leaf_of(page)], page);
        }
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
        let old = core::mem::replace(&mut self.pages, pages);
        for page in old..pages {
            self.leaves[leaf_of(page)].handle(page).set(None);
        }
    }

    /// Gives up the pages from `end` on, and the leaves stored there.
    pub(crate) fn shrink(&mut self, end: usize) {
        self.pages = (end - self.base) / PAGE;
        while self.leaf_count > 1 && self.leaf_start(self.leaf_count - 1) >= end {
            self.leaf_count -= 1;
        }
    }

    /// Address of a leaf's first record.
    fn leaf_start(&self, leaf: usize) -> usize {
        self.leaves[leaf].records.wrapping_add(served_by(leaf - 1) * RECORD)
    }

    /// Takes in a region, if there [is room](Self::has_room_for_region). Its pages belong to no span yet.
    pub(crate) fn add_region(&mut self, region: Region) {
        debug_assert!(self.has_room_for_region());
        for page in 0..region.pages {
            region.leaf.handle(page).set(None);
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
