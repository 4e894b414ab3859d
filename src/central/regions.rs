//! Regions: mappings that stand in for a break that cannot move.
//!
//! ```text
//! mapping
//! +- - -+==========+---------------------------------------+
//! |     | metadata | free                                  |
//! +- - -+==========+---------------------------------------+
//!       start, a multiple of PAGE                          end
//! ```

use crate::central::raise::seal;
use crate::central::spans::Spans;
use crate::ground::header::{Kind, PAGE, Span};
use crate::ground::limit::Limit;
use crate::ground::page_map::Region;
use crate::kernel::brk::{Brk, Refused};

/// The least a region holds if the kernel lets it, in pages.
const REGION_MIN: usize = (1 << 20) / PAGE;
/// The least that is asked for after refusals if the need is below it, in pages.
const REGION_LEAST: usize = REGION_MIN / 4;
/// A region is at least this fraction of the heap if the kernel lets it, so that the number of regions grows with the
/// logarithm of the heap's size.
const REGION_FRACTION: usize = 2;

impl<B: Brk> Spans<B> {
    /// Returns the highest regions to the kernel if nothing in them is live, they are adjacent, and a region with
    /// `pages` free pages fits in their addresses. Each alone may be too short, and together they may block the
    /// mapping.
    pub(crate) fn make_room_for_region(&mut self, pages: usize) -> bool {
        let (mut start, mut bytes) = (None, 0);
        for region in self.map.regions().iter().rev() {
            if start.is_some_and(|start| start != region.mapping + region.mapping_bytes) || !self.is_idle(region) {
                break;
            }
            (start, bytes) = (Some(region.mapping), bytes + region.mapping_bytes);
        }
        let enough = self.bytes_around(pages).is_some_and(|needed| needed <= bytes);
        while enough && bytes > 0 {
            let Some(region) = self.map.regions().iter().next_back().copied() else { break };
            if !self.return_region(&region) {
                return false;
            }
            bytes -= region.mapping_bytes.min(bytes);
        }
        enough
    }

    /// Bytes of a mapping that has room for `pages` free pages wherever it starts.
    fn bytes_around(&self, pages: usize) -> Option<usize> {
        // One page more, to align the start.
        (self.pages_around(pages)? + 1).checked_mul(PAGE)
    }

    /// Maps a region in which at least `pages` pages are free: more if the kernel lets it, else half of that, and so
    /// on.
    pub(crate) fn map_region(&mut self, pages: usize) -> Result<(), Refused> {
        if !self.map.regions().has_room() {
            return Err(Refused);
        }
        let usual = (self.heap_pages() / REGION_FRACTION).max(REGION_MIN);
        let mut wish = usual.min(self.region_most.get()).max(pages);
        while self.try_region(wish).is_err() {
            if wish == pages {
                return Err(Refused);
            }
            // A small region hardly holds more than its metadata.
            wish = Some(wish / 2).filter(|&half| half > pages && half >= REGION_LEAST).unwrap_or(pages);
            self.region_most = Limit::new(wish);
        }
        self.granted_after_refusal = Some(wish).filter(|&wish| wish < usual.max(pages));
        self.region_most = Limit::new(wish.saturating_mul(2).max(REGION_MIN));
        Ok(())
    }

    fn try_region(&mut self, free: usize) -> Result<(), Refused> {
        let bytes = self.bytes_around(free).ok_or(Refused)?;
        self.counters.map_calls += 1;
        let mapping = self.brk.map(bytes)?;
        self.add_region(mapping, bytes);
        Ok(())
    }

    /// Pages of a region with `free` free pages and the metadata to serve all of it, even if the mapping turns out a
    /// page longer. `None` if addresses do not suffice.
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
        // Before the leaf is written and anything is handed out.
        // SAFETY: the guards are part of the region's first pages, and its leaf does not use them.
        guards.into_iter().for_each(|guard| unsafe { seal(&mut self.brk, guard) });
        // SAFETY: the mapping is new and zero, and the heap's; a metadata span keeps the leaf's pages.
        unsafe { self.map.add_region(region) };
        let header = self.map.record(start);
        header.init(Kind::Metadata, start, metadata, 0);
        let last = self.last;
        self.link_after(before, header);
        self.map.mark(header);
        let free = self.map.record(start + metadata * PAGE);
        free.init(Kind::Free, start + metadata * PAGE, pages - metadata, pages - metadata);
        self.link_after(Some(header), free);
        // A region after the heap's end in the list is not the heap's last span.
        self.last = last;
        self.index_free(free);
        self.counters.region_pages += pages;
        self.thrift.note_needed();
        self.note_peak();
    }

    /// Unmaps the regions in which nothing is used, from the highest down. Returns how many bytes were returned.
    pub(crate) fn return_regions(&mut self) -> usize {
        let (mut returned, mut index) = (0, self.map.regions().iter().len());
        while index > 0 {
            index -= 1;
            let Some(&region) = self.map.regions().iter().nth(index) else { break };
            if self.return_region(&region) {
                returned += region.pages * PAGE;
            }
        }
        returned
    }

    /// Whether nothing in a region is used.
    fn is_idle(&self, region: &Region) -> bool {
        self.spans_if_idle(region).is_some()
    }

    /// The metadata and the free span of a region, if nothing in it is used: then there is nothing else.
    fn spans_if_idle(&self, region: &Region) -> Option<(Span, Span)> {
        let metadata = self.map.find(region.start)?;
        let free = self.free_next(metadata).filter(|free| free.end() == region.end())?;
        Some((metadata, free))
    }

    /// Unmaps the region of a free span if nothing else is left in it but metadata.
    pub(crate) fn return_region_of(&mut self, free: Span) -> bool {
        let alone = free.prev().is_some_and(|prev| prev.is(Kind::Metadata)) && self.counters.region_pages > 0;
        let region = self.map.regions().iter().find(|region| alone && region.end() == free.end()).copied();
        region.is_some_and(|region| self.return_region(&region))
    }

    /// Unmaps a region if nothing in it is used. Returns whether it is gone.
    fn return_region(&mut self, region: &Region) -> bool {
        let Some((metadata, free)) = self.spans_if_idle(region) else { return false };
        if self.has_readers {
            self.kept_for_readers = true;
            return false;
        }
        self.verify(metadata);
        self.verify(free);
        // Before the region goes, and both headers with it.
        self.ensure_linked(metadata, free);
        let (prev, next) = (metadata.prev(), free.next());
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
        self.thrift.note_changed();
        true
    }
}
