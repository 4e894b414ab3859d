//! Regions: mappings that stand in for a break that cannot move.
//!
//! ```text
//! mapping
//! +- - -+==========+---------------------------------------+
//! |     | metadata | free                                  |
//! +- - -+==========+---------------------------------------+
//!       start, a multiple of PAGE                          end
//! ```

use crate::brk::{Brk, Refused};
use crate::header::{Kind, PAGE};
use crate::page_map::Region;
use crate::raise::{New, seal};
use crate::spans::{OutOfMemory, Spans, align_slack};

/// The least a region holds if the kernel lets it, in pages.
const REGION_MIN: usize = (1 << 20) / PAGE;
/// A region is at least this fraction of the heap, so that their number grows with the logarithm of its size.
const REGION_FRACTION: usize = 4;

impl<B: Brk> Spans<B> {
    /// A used span of `pages` pages at a multiple of `align` bytes, from what is free or from the kernel.
    pub(crate) fn take(&mut self, pages: usize, align: usize) -> Result<crate::header::Span, OutOfMemory> {
        if let Some(span) = self.take_free(pages, align) {
            return Ok(span);
        }
        let enough = pages.checked_add(align_slack(align)).filter(|&pages| pages <= u32::MAX as usize);
        let enough = enough.ok_or(OutOfMemory)?;
        self.raise(enough, New::Anywhere).or_else(|_| self.map_region(enough)).map_err(|_| OutOfMemory)?;
        self.take_free(pages, align).ok_or(OutOfMemory)
    }

    /// Maps a region in which at least `pages` pages are free.
    fn map_region(&mut self, pages: usize) -> Result<(), Refused> {
        if !self.map.has_room_for_region() {
            return Err(Refused);
        }
        let generous = pages.max(self.heap_pages() / REGION_FRACTION).max(REGION_MIN);
        for free in [generous, pages] {
            // One page more aligns the start.
            let Some(bytes) = self.pages_around(free).and_then(|pages| (pages + 1).checked_mul(PAGE)) else { continue };
            self.counters.map_calls += 1;
            if let Ok(mapping) = self.brk.map(bytes) {
                self.add_region(mapping, bytes);
                return Ok(());
            }
        }
        Err(Refused)
    }

    /// Pages of a region in which `free` pages are left beside the metadata that serves them all, even if it turns out a
    /// page longer. Nothing if there are no addresses for so many.
    fn pages_around(&self, free: usize) -> Option<usize> {
        free.checked_mul(PAGE)?;
        let (mut pages, kernel_page) = (free, self.brk.page_size());
        loop {
            let enough = free + Region::storage(pages + 1, kernel_page);
            if enough <= pages {
                return Some(pages);
            }
            pages = enough;
        }
    }

    fn add_region(&mut self, mapping: usize, bytes: usize) {
        let start = mapping.next_multiple_of(PAGE);
        let (pages, kernel_page) = ((mapping + bytes - start) / PAGE, self.brk.page_size());
        let metadata = Region::storage(pages, kernel_page);
        let before = self.span_before(start);
        let (region, guards) = Region::new(start, pages, mapping..mapping + bytes, kernel_page);
        // Before the leaf is written, and anything handed out.
        // SAFETY: the guards are part of the region's first pages, and its leaf leaves them alone.
        guards.into_iter().for_each(|guard| unsafe { seal(&mut self.brk, guard) });
        // SAFETY: the mapping is new, and the heap's; a metadata span keeps the leaf's pages.
        unsafe { self.map.add_region(region) };
        let header = self.map.record(start);
        header.init(Kind::Metadata, start, metadata, 0);
        let last = self.last;
        self.link_after(before, header);
        let free = self.map.record(start + metadata * PAGE);
        free.init(Kind::Free, start + metadata * PAGE, pages - metadata, pages - metadata);
        self.link_after(Some(header), free);
        // A region that follows the heap's end in the list does not move that end.
        self.last = last;
        self.fit.insert(free);
        self.counters.region_pages += pages;
        self.thrift.need();
        self.note_peak();
    }

    /// Unmaps the regions in which nothing is used. Returns how many bytes that gave back.
    pub(crate) fn give_back_regions(&mut self) -> usize {
        let (mut given, mut index) = (0, 0);
        while let Some(&region) = self.map.regions().get(index) {
            if self.give_back(&region) {
                given += region.pages * PAGE;
            } else {
                index += 1;
            }
        }
        given
    }

    /// Unmaps the region of a free span if it is all that is left in it.
    pub(crate) fn give_back_region_of(&mut self, free: crate::header::Span) -> bool {
        let alone = free.prev.get().is_some_and(|prev| prev.is(Kind::Metadata)) && self.counters.region_pages > 0;
        let region = self.map.regions().iter().find(|region| alone && region.end() == free.end()).copied();
        region.is_some_and(|region| self.give_back(&region))
    }

    fn give_back(&mut self, region: &Region) -> bool {
        let Some(metadata) = self.map.find(region.start) else { return false };
        let Some(free) = self.free_next(metadata).filter(|free| free.end() == region.end()) else { return false };
        self.believe(metadata);
        self.believe(free);
        // Before the region is gone, and the two headers with it.
        self.ensure_linked(metadata, free);
        let (prev, next) = (metadata.prev.get(), free.next.get());
        self.fit.remove(free);
        // SAFETY: the mapping is one that `map` returned, and its only spans are metadata and a free one. Their headers
        // lie in it: neither is followed again.
        if unsafe { self.brk.unmap(region.mapping, region.mapping_bytes) }.is_err() {
            self.fit.insert(free);
            return false;
        }
        self.join(prev, next);
        self.map.remove_region(region.start);
        self.counters.region_pages -= region.pages;
        true
    }
}
