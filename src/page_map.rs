//! From an address to the header of the span that owns it, in constant time, reading nothing near the address.
//!
//! The heap's pages are numbered from its first one. The page map proper is one array of handles, one for each page.
//! The records that headers are written into come in **leaves**: leaf 0 holds those of pages 0..60, leaf 1 those of
//! pages 60..128, and each later one doubles that, so the leaf of a page is a count of leading zeros, the heap can
//! double 25 times, and no record ever moves. The first leaf and its guard fit one page of metadata, which is what an
//! empty heap keeps.
//!
//! Leaf 0 lies at the heap's base. Leaf 1 is stored right where the heap has to grow for it, in line, unless it grows
//! for a block at its end, which has to stay in one piece. All others lie [`aside`](crate::aside), in one array of
//! records and one of handles. Only where the source has no room aside do these come in line, too.
//!
//! A leaf in line also has room for the handles of all pages up to its last; the last leaf's are in use, and a heap that
//! comes to a new one copies them there. So its records serve no used page below its storage, and a lowered break takes
//! whole leaves with it, once the handles are back in the leaf before. [`leaf`](crate::leaf) draws its bytes.
//!
//! Regions, which stand in for a break that cannot move, each have a page range and a leaf of their own.

use crate::aside::Aside;
use crate::brk::{Brk, Refused};
use crate::corrupt::corrupt;
use crate::header::{PAGE, PAGE_SHIFT, Span};
use crate::leaf::{Below, Handles, Leaf, storage_pages};
use core::ops::Range;

/// The most regions a heap can have. Each is at least a quarter of the heap before it, so this many are beyond any
/// address space that refuses them no sooner.
pub(crate) const MAX_REGIONS: usize = 64;

/// Pages that leaf 0 serves.
const FIRST_LEAF: usize = 60;
/// Leaf k serves the pages below 2^k times so many.
const DOUBLED: usize = 64;
/// Size of the table of leaves: a power of two, so that masking an index keeps it in bounds.
const LEAF_TABLE: usize = 32;
/// Leaves that a page number of 31 bits can reach.
const LEAVES: usize = 26;
/// Within so many pages a span's first one is looked for, page by page; a longer span is marked.
const NEAR: usize = 256;
/// No leaf lies aside.
const NONE_ASIDE: usize = usize::MAX;
/// The first leaf that does, where the heap grows for a block at its end, and otherwise.
const ASIDE_BEHIND: usize = 1;
const ASIDE_ANYWHERE: usize = 2;

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

/// How a heap grows.
#[derive(Debug)]
pub(crate) struct Growth {
    /// Address of page 0: the old one, if there was one.
    pub(crate) base: usize,
    /// Pages from the base to the new end.
    pub(crate) pages: usize,
    /// Where new leaves in line are stored: from here on there are as many metadata pages as
    /// [`leaf_pages_missing`](PageMap::leaf_pages_missing) said, all of them the heap's and in no other use until
    /// [`shrink`](PageMap::shrink) gives them up.
    pub(crate) storage: usize,
    /// From where on the new memory is zero.
    pub(crate) zero_from: usize,
    /// The first leaf that lies aside, where [`grow_aside`](PageMap::grow_aside) has mapped what all `pages` need.
    pub(crate) aside_from: usize,
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
    /// Sorted by address; the first `region_count` are in use.
    regions: [Region; MAX_REGIONS],
    region_count: usize,
}

impl PageMap {
    pub(crate) const fn new() -> Self {
        const NO_REGION: Region = Region { start: 0, pages: 0, mapping: 0, mapping_bytes: 0, leaf: Leaf::NONE };
        Self {
            base: 0,
            pages: 0,
            handles: Handles::NONE,
            leaves: [Leaf::NONE; LEAF_TABLE],
            leaf_count: 0,
            aside_from: NONE_ASIDE,
            aside: None,
            regions: [NO_REGION; MAX_REGIONS],
            region_count: 0,
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
        let region = self.region_of(address)?;
        // SAFETY: I2: a page of the region, so its handle is there.
        unsafe { region.leaf.handles.of((address - region.start) >> PAGE_SHIFT) }.get()
    }

    fn region_of(&self, address: usize) -> Option<&Region> {
        let after = self.regions().partition_point(|region| region.start <= address);
        self.regions()[..after].last().filter(|region| region.contains(address))
    }

    /// The span in which `address` lies, wherever in it: for explaining a misuse, not for deciding one. Its cost grows
    /// with the logarithm of the span's length, if the span is [marked](Self::mark).
    pub(crate) fn find_around(&self, address: usize) -> Option<Span> {
        if !self.contains(address) {
            return None;
        }
        let page = address & !(PAGE - 1);
        // The heap and each region start with a span, so this ends there at the latest.
        let mut down = (0..).map_while(|pages: usize| page.checked_sub(pages * PAGE));
        let near = down.by_ref().take(NEAR).find_map(|page| self.find(page));
        near.or_else(|| self.find_marked(page)).or_else(|| down.find_map(|page| self.find(page)))
    }

    /// Marks a long span, so that it can be found from each of its pages.
    ///
    /// Its start is written into the record of the first page after it whose number is a multiple of 256, of that whose
    /// number is a multiple of 512, and so on, as far as they are in the span. Take any page of it, and the greatest power
    /// of two that has a multiple between the start and that page. It has one there only, as of two neighbours one is a
    /// multiple of the next power. So that one is the page's own number, rounded down, and it is also the first after the
    /// start: it bears a mark.
    ///
    /// Pages that are no span's first need no record of their own. A mark is not taken away when the span ends: who
    /// finds one looks whether it is still true.
    #[inline]
    pub(crate) fn mark(&self, span: Span) {
        if span.page_count() >= NEAR {
            self.mark_long(span);
        }
    }

    fn mark_long(&self, span: Span) {
        let start = span.start.get();
        for shift in NEAR.ilog2() + PAGE_SHIFT..usize::BITS {
            match ((start >> shift) + 1).checked_mul(1 << shift) {
                Some(page) if page < span.end() => self.record(page).set_mark(start),
                _ => break,
            }
        }
    }

    /// The marked span in which a page lies that is further than [`NEAR`] from its start.
    fn find_marked(&self, page: usize) -> Option<Span> {
        let rounded = (NEAR.ilog2() + PAGE_SHIFT..usize::BITS).map(|shift| page >> shift << shift);
        rounded.take_while(|&rounded| self.contains(rounded)).find_map(|rounded| {
            let start = self.record(rounded).mark();
            let span = self.find(start).filter(|&span| start.is_multiple_of(PAGE) && span == self.record(start))?;
            (span.start.get() == start && start <= page && page < span.end()).then_some(span)
        })
    }

    /// Whether `address` lies between the heap's first page and its end, or in a region.
    pub(crate) fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.base) < self.pages * PAGE || self.region_of(address).is_some()
    }

    /// Sets what [`find`](Self::find) answers for the page of `address`, which is in the heap.
    #[inline]
    pub(crate) fn set(&self, address: usize, span: Option<Span>) {
        let page = address.wrapping_sub(self.base) >> PAGE_SHIFT;
        if page < self.pages {
            // SAFETY: I2: a page of the heap, so its handle is there.
            return unsafe { self.handles.of(page) }.set(span);
        }
        let (leaf, page) = self.place_in_region(address);
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
        let (leaf, page) = self.place_in_region(address);
        // SAFETY: I2: a page of the region, which its leaf serves.
        unsafe { leaf.record(page) }
    }

    /// Whether a header is the record of the page it says its span starts at. What it reads of the header may be
    /// anything, but it must be there to be read; see [`knows`](Self::knows).
    #[inline]
    pub(crate) fn believes(&self, span: Span) -> bool {
        let start = span.start.get();
        let page = start.wrapping_sub(self.base) >> PAGE_SHIFT;
        if page < self.pages {
            return self.leaves[leaf_of(page)].record_address(page) == span.address();
        }
        self.is_record_in_region(start, span)
    }

    #[cold]
    fn is_record_in_region(&self, start: usize, span: Span) -> bool {
        self.region_of(start).is_some() && self.record(start) == span
    }

    /// Whether `span` is the record of a page and that page's owner, found without a look at what it leads to. Its cost
    /// grows with the number of leaves and regions.
    pub(crate) fn knows(&self, span: Span) -> bool {
        let below_break = (0..self.leaf_count).find_map(|leaf| {
            let page = self.leaves[leaf].page_of(span, pages_of(leaf))?;
            Some(self.base + page * PAGE)
        });
        let in_region = |region: &Region| Some(region.start + region.leaf.page_of(span, 0..region.pages)? * PAGE);
        let page = below_break.or_else(|| self.regions().iter().find_map(in_region));
        page.is_some_and(|page| self.find(page) == Some(span))
    }

    #[cold]
    fn place_in_region(&self, address: usize) -> (Leaf, usize) {
        // Only addresses of the heap have records.
        let Some(region) = self.region_of(address) else { corrupt(2, address) };
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

    /// The first leaf that is to lie aside when the heap grows to `pages` pages or more, for a block at its end or not.
    /// Where leaves lie there already, later ones do, too; as long as the standing ones do, none.
    pub(crate) fn first_aside(&mut self, pages: usize, behind: bool, brk: &mut impl Brk) -> usize {
        if self.aside_in_use().is_some() || self.served_beyond(0, NONE_ASIDE) >= pages {
            return self.aside_from;
        }
        if self.aside.is_none() {
            let room = brk.room().ok();
            self.aside = room.and_then(|room| Aside::new(&room, FIRST_LEAF, brk.page_size()));
        }
        let first = if behind { ASIDE_BEHIND } else { ASIDE_ANYWHERE };
        if self.aside.is_some() { first.max(self.leaf_count) } else { NONE_ASIDE }
    }

    /// Metadata pages that leaves for pages up to number `pages` need beyond those that stand, if they lie aside from
    /// number `aside_from` on. Nothing if the heap could not count that far, or have addresses for so many.
    pub(crate) fn leaf_pages_missing(&self, pages: usize, aside_from: usize, kernel_page: usize) -> Option<usize> {
        pages.checked_mul(PAGE)?;
        let (mut leaves, mut missing) = (self.leaf_count, 0);
        while leaves == 0 || served_by(leaves - 1) < pages {
            if leaves == LEAVES || (leaves >= aside_from && pages > self.room_aside()) {
                return None;
            }
            missing += if leaves < aside_from { leaf_storage(leaves, kernel_page) } else { 0 };
            leaves += 1;
        }
        Some(missing)
    }

    fn room_aside(&self) -> usize {
        self.aside.map_or(0, |aside| aside.capacity())
    }

    /// Pages that can be taken in beyond page number `from` without new metadata below the break: by the leaves that
    /// stand, or by others if leaves lie aside from number `aside_from` on.
    pub(crate) fn served_beyond(&self, from: usize, aside_from: usize) -> usize {
        let standing = if self.leaf_count == 0 { 0 } else { served_by(self.leaf_count - 1) };
        let served =
            if self.leaf_count >= aside_from { self.room_aside().min(served_by(LEAVES - 1)) } else { standing };
        served.saturating_sub(from)
    }

    /// Whether leaves lie aside from some number on.
    fn aside_in_use(&self) -> Option<usize> {
        (self.aside_from < self.leaf_count).then_some(self.aside_from)
    }

    /// The end of leaf 0's storage, which is at the heap's base and serves what is left of a heap that gave all else
    /// back.
    pub(crate) fn least_end(&self, kernel_page: usize) -> usize {
        self.base + leaf_storage(0, kernel_page) * PAGE
    }

    /// Maps what is missing aside for [`grow`](Self::grow) to `pages` pages, and has `raise` do the rest. If one of both is
    /// refused, what is aside is as it was.
    pub(crate) fn grow_aside<B: Brk>(
        &mut self,
        pages: usize,
        aside_from: usize,
        brk: &mut B,
        raise: impl FnOnce(&mut B) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        if aside_from >= LEAVES || pages <= pages_of(aside_from).start {
            return raise(brk);
        }
        let aside = self.aside.as_mut().ok_or(Refused)?;
        let before = aside.ends();
        let grown = aside.grow(pages, brk);
        let lost = grown.is_err() && aside.bytes() == 0;
        let raised = grown.and_then(|()| raise(brk)).inspect_err(|_| {
            // SAFETY: what was mapped just now is not used yet.
            unsafe { aside.cut(before, brk) };
        });
        if lost {
            // Another heap may have found the same room while this one had nothing in it.
            self.aside = None;
        }
        raised
    }

    /// Returns what is mapped aside and serves no page, but for a little while some of it does. Returns how many bytes
    /// that were.
    pub(crate) fn return_aside(&mut self, brk: &mut impl Brk) -> usize {
        let before = self.aside_bytes();
        let pages = if self.aside_in_use().is_some() { self.pages } else { 0 };
        if let Some(aside) = &mut self.aside {
            let ends = aside.shrunk(pages, brk.page_size());
            // SAFETY: I2: handles and records are followed for pages of the heap only, and these only while it is in use.
            unsafe { aside.cut(ends, brk) };
        }
        before - self.aside_bytes()
    }

    /// Bytes that are mapped aside.
    pub(crate) fn aside_bytes(&self) -> usize {
        self.aside.map_or(0, |aside| aside.bytes())
    }

    /// Makes page `growth.pages - 1` the last, with new leaves where they are missing, whose guards are to be sealed. The
    /// new pages belong to no span yet.
    ///
    /// # Safety
    ///
    /// What [`Growth`] says is so.
    pub(crate) unsafe fn grow(&mut self, growth: &Growth, kernel_page: usize, mut seal: impl FnMut(Range<usize>)) {
        debug_assert!(growth.pages >= self.pages);
        self.base = growth.base;
        let (old, mut storage) = (self.pages, growth.storage);
        while self.leaf_count == 0 || served_by(self.leaf_count - 1) < growth.pages {
            let number = self.leaf_count;
            self.leaves[number] = match self.aside.filter(|_| number >= growth.aside_from) {
                Some(aside) => {
                    self.aside_from = growth.aside_from;
                    aside.leaf()
                }
                None => {
                    let below = if number == 0 { Below::Nothing } else { Below::Others };
                    let (leaf, guards) = Leaf::new(storage, pages_of(number), below, kernel_page);
                    guards.into_iter().for_each(&mut seal);
                    storage += leaf_storage(number, kernel_page) * PAGE;
                    leaf
                }
            };
            self.leaf_count += 1;
        }
        // SAFETY: I2: the old array stands, or there are no pages; the new one is the caller's.
        unsafe { self.move_handles(growth, old) };
        self.pages = growth.pages;
    }

    /// Brings the handles of the first `old` pages to the array of the last leaf.
    ///
    /// # Safety
    ///
    /// The memory of both arrays stands, and that of a new one in line is zero from `growth.zero_from` on.
    unsafe fn move_handles(&mut self, growth: &Growth, old: usize) {
        let last = self.leaf_count - 1;
        let handles = self.leaves[last].handles;
        if handles == self.handles {
            return;
        }
        // SAFETY: the last leaf serves these pages, so there is room; new memory is not the old one's.
        unsafe { self.handles.copy_to(handles, old) };
        if last < self.aside_from {
            let stale = handles.first_from(growth.zero_from).clamp(old, served_by(last));
            // SAFETY: as above.
            unsafe { handles.clear(old..stale) };
        }
        self.handles = handles;
    }

    /// Address past the records of the last leaf in line, which are the highest that the heap has below its end.
    pub(crate) fn records_end(&self) -> usize {
        let last = self.leaves_in_line() - 1;
        self.leaves[last].records_end(&pages_of(last))
    }

    fn leaves_in_line(&self) -> usize {
        self.leaf_count.min(self.aside_from)
    }

    /// Prepares for [`shrink`](Self::shrink): brings the handles that will be left to where they can stay. Until then
    /// all of them can be had back with [`stay`](Self::stay).
    pub(crate) fn prepare_to_shrink(&mut self, end: usize) {
        let (last, pages) = (self.leaves_below(end) - 1, (end - self.base) / PAGE);
        let handles = self.leaves[last].handles;
        if handles != self.handles {
            // SAFETY: I2: both leaves stand; the one left serves all pages below `end`, and is in line, as leaves aside
            // share their array.
            unsafe {
                self.handles.copy_to(handles, pages);
                handles.clear(pages..served_by(last));
            }
            self.handles = handles;
        }
    }

    /// The guards of the leaves that a heap that ends at `end` gives up.
    pub(crate) fn guards_from(&self, end: usize, kernel_page: usize) -> impl Iterator<Item = Range<usize>> {
        let leaves = self.leaves;
        (self.leaves_below(end)..self.leaves_in_line())
            .flat_map(move |leaf| leaves[leaf].guards(&pages_of(leaf), kernel_page))
    }

    /// The heap does not shrink after all.
    pub(crate) fn stay(&mut self) {
        self.handles = self.leaves[self.leaf_count - 1].handles;
    }

    /// Gives up the pages from `end` on, which no handle leads from any more, and the leaves that serve no others.
    pub(crate) fn shrink(&mut self, end: usize) {
        self.prepare_to_shrink(end);
        self.pages = (end - self.base) / PAGE;
        self.leaf_count = self.leaves_below(end);
        if self.aside_from < NONE_ASIDE && self.aside_in_use().is_none() {
            let handles = self.leaves[self.aside_from].handles;
            // SAFETY: I2: they were in use until now; those of other pages lead to nothing.
            unsafe { handles.clear(0..self.pages) };
            self.aside_from = NONE_ASIDE;
        }
    }

    /// How many leaves are left of a heap that ends at `end`: at least one, which is at the base.
    fn leaves_below(&self, end: usize) -> usize {
        let mut leaves = self.leaf_count;
        while leaves > 1 && self.goes_with(leaves - 1, end) {
            leaves -= 1;
        }
        leaves
    }

    /// Whether the last leaf goes if the heap ends at `end`: one in line with its storage, one aside with its pages.
    fn goes_with(&self, leaf: usize, end: usize) -> bool {
        if leaf < self.aside_from {
            return self.leaves[leaf].handles.lies_above(end);
        }
        pages_of(leaf).start >= (end - self.base) / PAGE
    }

    /// The first page from the heap's end on whose handle leads somewhere, if it is in memory that stands (for `check`).
    pub(crate) fn stray_handle(&self) -> Option<usize> {
        let last = self.leaf_count.checked_sub(1)?;
        let mapped = match self.aside.filter(|_| last >= self.aside_from) {
            Some(aside) => aside.handles_mapped(),
            None => served_by(last),
        };
        // SAFETY: I2: the array in use is mapped as far as this.
        let leads = |page: &usize| unsafe { self.handles.of(*page) }.get().is_some();
        (self.pages..mapped).find(leads).map(|page| self.base + page * PAGE)
    }

    /// Whether what lies aside serves all pages of the heap (for `check`).
    pub(crate) fn stands(&self) -> bool {
        self.aside_in_use().is_none() || self.aside.is_some_and(|aside| aside.serves(self.pages))
    }

    /// Takes in a region, if there [is room](Self::has_room_for_region). Its pages belong to no span yet.
    ///
    /// # Safety
    ///
    /// The region is the heap's, and its first pages, which its leaf takes, are zero, and in no other use until
    /// [`remove_region`](Self::remove_region).
    pub(crate) unsafe fn add_region(&mut self, region: Region) {
        debug_assert!(self.has_room_for_region());
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

/// What tests break.
#[cfg(test)]
impl PageMap {
    /// The handle of the first page that is not the heap's.
    pub(crate) fn handle_at_end(&self) -> &core::cell::Cell<Option<Span>> {
        // SAFETY: I2: as for `stray_handle`, if the heap does not fill its last leaf, or what is mapped aside.
        unsafe { self.handles.of(self.pages) }
    }

    /// Forgets what is mapped aside.
    pub(crate) fn lose_aside(&mut self) {
        self.aside = None;
    }
}

#[cfg(test)]
mod tests;
