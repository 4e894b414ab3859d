//! Metadata aside: handles and records far from the heap, so that what grows at the heap's end grows past no metadata.
//!
//! ```text
//! room: addresses that the source keeps free, and in which nothing is mapped at first
//! +-----------------------------+- - - - - - - - - - +-----------------------------------+- - - - - - - - - -+
//! | handles: 8 bytes for each   |                    | records: 192 bytes for each page, |                   |
//! | page of the heap            |                    | from number 60 on                 |                   |
//! +-----------------------------+- - - - - - - - - - +-----------------------------------+- - - - - - - - - -+
//! start                         mapped               start                               mapped            end
//! ```
//!
//! Both arrays grow at their ends, by a mapping right behind, so nothing in them ever moves or is copied; and they
//! shrink there. What is fresh is zero: handles to nothing, which need no writing. Nothing lies beside them, so they
//! need no guards.
//!
//! From page 512 on records are [`GROUPED`], and come and go 512 at a time, 96 KiB. That is addresses: a heap that is all
//! slabs of four pages touches a quarter of them. The last leaf that begins in a room, but does not end there, is in page
//! order, so that a room that is as long as it has to be serves all pages. So are the first ones: a heap of less than
//! 8 MiB has too few records for whole groups of them.

use crate::ground::leaf::{GROUPED, HANDLE, Handles, Leaf, RECORD};
use crate::kernel::brk::{Brk, ROOM_PER_PAGE, Refused};
use core::ops::Range;

/// The least by which the handles grow if the kernel lets them, in bytes: by those of 512 pages.
const HANDLES_STEP: usize = 4 << 10;
/// The same for the records: by those of 170 pages, where they are not grouped.
const RECORDS_STEP: usize = 32 << 10;
/// Beyond that, an array grows by this fraction of itself. As much is kept of one that shrinks.
const STEP_FRACTION: usize = 16;

/// What is kept of an array for a heap that grows and shrinks again, in bytes: untouched ones, mostly.
const KEPT: usize = 128 << 10;
/// The least that is returned of one that is still in use: this fraction of it.
const RETURN_FRACTION: usize = 4;

const _: () = assert!(HANDLE + RECORD <= ROOM_PER_PAGE, "what the sources are told");

/// An array in its part of the room.
#[derive(Debug, Clone, Copy)]
struct Array {
    start: usize,
    /// Where the mapped part ends.
    mapped: usize,
    end: usize,
    step: usize,
}

impl Array {
    /// Bytes of the first `bytes` and what grows or is kept with them.
    fn with_reserve(self, bytes: usize) -> usize {
        bytes.saturating_add(bytes / STEP_FRACTION).saturating_add(self.step).min(self.end - self.start)
    }

    /// Maps at least the first `bytes` bytes.
    fn grow(&mut self, bytes: usize, brk: &mut impl Brk) -> Result<(), Refused> {
        let (kernel_page, held) = (brk.page_size(), self.mapped - self.start);
        if bytes <= held {
            return Ok(());
        }
        let least = bytes.next_multiple_of(kernel_page);
        if least > self.end - self.start {
            return Err(Refused);
        }
        let wish = self.with_reserve(held).max(least) & !(kernel_page - 1);
        let mut to = self.start + wish;
        let mut answer = brk.map_at(self.mapped, to - self.mapped);
        if answer.is_err() && wish > least {
            to = self.start + least;
            answer = brk.map_at(self.mapped, to - self.mapped);
        }
        answer?;
        self.mapped = to;
        Ok(())
    }

    /// Where the array is to end when only the first `bytes` bytes are used: a little above them, if the rest is enough to
    /// be worth a call.
    fn shrunk(&self, bytes: usize, kernel_page: usize) -> usize {
        let held = self.mapped - self.start;
        let kept = self.with_reserve(bytes).max(KEPT).next_multiple_of(kernel_page);
        if kept < held - held / RETURN_FRACTION { self.start + kept } else { self.mapped }
    }

    /// Returns what is mapped from `to` on.
    ///
    /// # Safety
    ///
    /// Nothing there is used.
    unsafe fn truncate(&mut self, to: usize, brk: &mut impl Brk) {
        // SAFETY: the caller's promise; the piece was mapped by `grow`. Refused, it stays.
        if to < self.mapped && unsafe { brk.unmap(to, self.mapped - to) }.is_ok() {
            self.mapped = to;
        }
    }
}

/// Where both arrays end, or are to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    handles: usize,
    records: usize,
}

/// A room, and what is mapped in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aside {
    handles: Array,
    records: Array,
    /// Bytes of records that are left out, as no page has those here: whole kernel pages.
    skipped: usize,
    /// Where the pages end whose records are grouped: they begin at [`GROUPED`].
    grouped_end: usize,
    /// Pages whose handles and records the room can hold.
    capacity: usize,
}

impl Aside {
    /// Divides a room in which pages from `first` on have records; nothing, if it is too short to be of use.
    pub(crate) fn new(room: &Range<usize>, first: usize, kernel_page: usize) -> Option<Self> {
        let (start, end) = (room.start.checked_next_multiple_of(kernel_page)?, room.end & !(kernel_page - 1));
        let capacity = end.checked_sub(start)?.checked_sub(2 * kernel_page)? / (HANDLE + RECORD);
        let middle = start + (capacity * HANDLE).next_multiple_of(kernel_page);
        let handles = Array { start, mapped: start, end: middle, step: HANDLES_STEP };
        let records = Array { start: middle, mapped: middle, end, step: RECORDS_STEP };
        // So a group starts with a kernel page. The capacity counts these bytes, too.
        let skipped = (first * RECORD) & !(kernel_page - 1);
        // Leaves end at powers of two.
        let grouped_end = 1 << capacity.max(1).ilog2();
        let aside = Self { handles, records, skipped, grouped_end, capacity };
        (start > 0 && capacity > first).then_some(aside)
    }

    /// The leaf for `pages`: all that the page map has in one.
    pub(crate) fn leaf(&self, pages: &Range<usize>) -> Leaf {
        let grouped = pages.start >= GROUPED && pages.end <= self.grouped_end;
        Leaf::aside(self.records.start.wrapping_sub(self.skipped), self.handles.start, grouped)
    }

    /// Pages that it can serve.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether the handles of all pages up to number `handles` are mapped, and the records of those up to number `records`.
    pub(crate) fn serves(&self, handles: usize, records: usize) -> bool {
        let (handles, records) = (self.bytes_for(handles).0, self.bytes_for(records).1);
        handles <= self.handles.mapped - self.handles.start && records <= self.records.mapped - self.records.start
    }

    /// The array of handles.
    pub(crate) fn array(&self) -> Handles {
        Handles::at(self.handles.start)
    }

    /// The page past the last whose handle is mapped.
    pub(crate) fn handles_mapped(&self) -> usize {
        (self.handles.mapped - self.handles.start) / HANDLE
    }

    /// Bytes that the handles and the records of all pages up to number `pages` take.
    fn bytes_for(&self, pages: usize) -> (usize, usize) {
        let grouped = pages > GROUPED && pages <= self.grouped_end;
        let records = if grouped { pages.next_multiple_of(GROUPED) } else { pages };
        (pages * HANDLE, (records * RECORD).saturating_sub(self.skipped))
    }

    /// Where both arrays end.
    pub(crate) fn ends(&self) -> Ends {
        Ends { handles: self.handles.mapped, records: self.records.mapped }
    }

    /// Where both start: what is beyond that is all there is.
    pub(crate) fn starts(&self) -> Ends {
        Ends { handles: self.handles.start, records: self.records.start }
    }

    /// Where both are to end when only the handles of all pages up to number `handles` are used, and the records of those
    /// up to number `records`.
    pub(crate) fn shrunk(&self, handles: usize, records: usize, kernel_page: usize) -> Ends {
        let (handles, records) = (self.bytes_for(handles).0, self.bytes_for(records).1);
        Ends { handles: self.handles.shrunk(handles, kernel_page), records: self.records.shrunk(records, kernel_page) }
    }

    /// Maps what is missing to serve `pages` pages. Refused, it may have mapped a part.
    pub(crate) fn grow(&mut self, pages: usize, brk: &mut impl Brk) -> Result<(), Refused> {
        if pages > self.capacity {
            return Err(Refused);
        }
        let (handles, records) = self.bytes_for(pages);
        self.handles.grow(handles, brk)?;
        self.records.grow(records, brk)
    }

    /// Returns what is mapped beyond `ends`.
    ///
    /// # Safety
    ///
    /// No handle and no record there is used.
    pub(crate) unsafe fn cut(&mut self, ends: Ends, brk: &mut impl Brk) {
        // SAFETY: the caller's promise.
        unsafe {
            self.handles.truncate(ends.handles, brk);
            self.records.truncate(ends.records, brk);
        }
    }

    /// Bytes that are mapped.
    pub(crate) fn bytes(&self) -> usize {
        self.handles.mapped - self.handles.start + (self.records.mapped - self.records.start)
    }
}

#[cfg(test)]
mod tests;
