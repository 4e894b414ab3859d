//! Regions, which stand in for a break that cannot move: where each lies, and how one is found.
//!
//! A region stays in its slot from when it is added to when it is removed; what is sorted is a list of slot numbers, for
//! those who walk in address order.
//!
//! ```text
//! slots    0          1          2          3                 order   2 0 1
//!         +----------+----------+----------+----------+-
//!         | from 7.. | from 9.. | from 4.. | no pages |
//!         +----------+----------+----------+----------+-
//! ```
//!
//! An address is looked for in one slot after the other. For up to 20 regions (by then a heap has grown some thousandfold)
//! that takes no more instructions than a binary search through the list (4 each); with all 64 it takes twice as many.

use super::PageMap;
use crate::ground::corrupt::corrupt;
use crate::ground::header::{PAGE, PAGE_SHIFT, Span};
use crate::ground::leaf::{Below, Leaf, storage_pages};
use crate::kernel::parts::MAPPINGS;
use core::mem::offset_of;
use core::ops::Range;

/// The most regions a heap can have. Unless the kernel refuses, each is at least a quarter of the heap before it, so this
/// many exceed any address space.
const MAX_REGIONS: usize = 64;

/// A range of addresses that came from the kernel as a mapping.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Region {
    pub(crate) start: usize,
    /// 0 in an empty slot.
    pub(crate) pages: usize,
    /// What [`Brk::map`](crate::kernel::brk::Brk::map) returned; `start` is the first page boundary in it.
    pub(crate) mapping: usize,
    pub(crate) mapping_bytes: usize,
    pub(super) leaf: Leaf,
}

impl Region {
    /// What an empty slot holds.
    const NONE: Self = Self { start: 0, pages: 0, mapping: 0, mapping_bytes: 0, leaf: Leaf::NONE };

    /// A region whose first pages are its leaf's storage, and the leaf's guards.
    pub(crate) fn new(
        start: usize,
        pages: usize,
        mapping: Range<usize>,
        kernel_page: usize,
    ) -> (Self, [Range<usize>; 2]) {
        let (leaf, guards) = Leaf::new(start, 0..pages, Below::Others, kernel_page);
        (Self { start, pages, mapping: mapping.start, mapping_bytes: mapping.len(), leaf }, guards)
    }

    /// Metadata pages in the storage of the leaf of a region of `pages` pages.
    pub(crate) fn storage(pages: usize, kernel_page: usize) -> usize {
        storage_pages(&(0..pages), Below::Others, kernel_page)
    }

    pub(crate) fn end(&self) -> usize {
        self.start + self.pages * PAGE
    }

    fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.start) < self.pages * PAGE
    }
}

/// The regions of one heap.
///
/// All of it is for the holder of the central lock.
#[derive(Debug)]
pub(crate) struct Regions {
    slots: [Region; MAX_REGIONS],
    /// How many slots have ever held a region: the first ones.
    reach: usize,
    /// The slots of the regions, sorted by address: the first `count`.
    order: [u8; MAX_REGIONS],
    count: usize,
}

/// Where a debugger finds the slots, and in each, from one to the next, `start`, `pages` and the handles; and how many there are.
pub(crate) const REGION_OFFSETS: [usize; 6] = [
    offset_of!(Regions, slots),
    size_of::<Region>(),
    offset_of!(Region, start),
    offset_of!(Region, pages),
    offset_of!(Region, leaf) + offset_of!(Leaf, handles),
    MAX_REGIONS,
];

impl Regions {
    pub(crate) const fn new() -> Self {
        Self { slots: [Region::NONE; MAX_REGIONS], reach: 0, order: [0; MAX_REGIONS], count: 0 }
    }

    /// The region in which an address lies.
    pub(super) fn find(&self, address: usize) -> Option<&Region> {
        let reach = if MAPPINGS { self.reach } else { 0 };
        self.slots[..reach].iter().find(|region| region.contains(address))
    }

    /// All regions in address order.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Region> + ExactSizeIterator {
        let count = if MAPPINGS { self.count } else { 0 };
        self.order[..count].iter().map(|&slot| &self.slots[slot as usize % MAX_REGIONS])
    }

    /// Whether [`add`](Self::add) has room for one more.
    pub(crate) fn has_room(&self) -> bool {
        MAPPINGS && self.count < MAX_REGIONS
    }

    /// Takes in a region, if there [is room](Self::has_room).
    pub(super) fn add(&mut self, region: Region) {
        let empty = self.slots.iter().position(|region| region.pages == 0);
        let Some(slot) = empty.filter(|_| self.has_room()) else { return debug_assert!(false, "no room") };
        self.slots[slot] = Region { pages: 0, ..region };
        self.slots[slot].pages = region.pages;
        self.reach = self.reach.max(slot + 1);
        let at = self.iter().take_while(|other| other.start < region.start).count();
        self.order.copy_within(at..self.count, at + 1);
        self.order[at] = slot as u8;
        self.count += 1;
    }

    /// Forgets the region that starts at `start`.
    pub(super) fn remove(&mut self, start: usize) {
        let at = self.iter().position(|region| region.start == start);
        let Some(at) = at else { return debug_assert!(false, "no region") };
        self.slots[self.order[at] as usize % MAX_REGIONS].pages = 0;
        self.order.copy_within(at + 1..self.count, at);
        self.count -= 1;
    }
}

impl PageMap {
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

    #[cold]
    pub(super) fn find_in_regions(&self, address: usize) -> Option<Span> {
        let region = self.regions.find(address)?;
        // SAFETY: I2: a page of the region, so its handle is there.
        unsafe { region.leaf.handles.of((address - region.start) >> PAGE_SHIFT) }.get()
    }

    #[cold]
    pub(super) fn is_record_in_region(&self, start: usize, span: Span) -> bool {
        self.regions.find(start).is_some() && self.record(start) == span
    }

    #[cold]
    pub(super) fn leaf_in_region(&self, address: usize) -> (Leaf, usize) {
        // Only addresses of the heap have records.
        let Some(region) = self.regions.find(address) else { corrupt(2, address) };
        (region.leaf, (address - region.start) >> PAGE_SHIFT)
    }
}

#[cfg(test)]
mod tests;
