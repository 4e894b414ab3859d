//! Metadata aside: handles and records far from the heap, so that a block can grow at the heap's end without meeting
//! any.
//!
//! ```text
//! room: addresses that the source keeps free, with nothing mapped in them at first
//! +-----------------------------+- - - - - - - - - - +-----------------------------------+- - - - - - - - - -+
//! | handles: 8 bytes for each   |                    | records: 192 bytes for each page, |                   |
//! | page of the heap            |                    | from number 60 on                 |                   |
//! +-----------------------------+- - - - - - - - - - +-----------------------------------+- - - - - - - - - -+
//! start                         mapped               start                               mapped            end
//! ```
//!
//! Both arrays grow and shrink at their ends, by a mapping right after the last one, so nothing in them ever moves or
//! is copied. Fresh memory is zero, which reads as null handles and need not be written. No payload borders on the
//! arrays, so they need no guards.
//!
//! From page 512 on records are [`GROUPED`], and are mapped and unmapped 512 at a time, 96 KiB. These are addresses: a
//! heap that is all slabs of four pages touches a quarter of them. A last leaf that the room cuts short is in page
//! order, so that a room of the least length serves all pages. So are the first leaves: a heap of less than 8 MiB has
//! too few records for whole groups.

use crate::ground::handles::{HANDLE, Handles};
use crate::ground::header::PAGE;
use crate::ground::leaf::{GROUPED, Leaf, RECORD};
use crate::kernel::brk::{Brk, HEAP_PAGE, ROOM_PER_PAGE, Refused};
use core::ops::Range;

/// The least by which the handles grow if the kernel agrees, in bytes: those of 512 pages.
const HANDLES_STEP: usize = 4 << 10;
/// The same for the records: those of 170 pages, where they are not grouped.
const RECORDS_STEP: usize = 32 << 10;
/// Beyond that, an array grows by this fraction of itself, and keeps as much to spare when it shrinks.
const STEP_FRACTION: usize = 16;

/// What an array always keeps, in bytes, for a heap that shrinks and grows again: mostly untouched ones.
const KEPT: usize = 128 << 10;
/// The least that an array in use returns: this fraction of itself.
const RETURN_FRACTION: usize = 4;
/// Or so many bytes, if that is less: an array that shrinks with its heap is returned in pieces, each of which takes the kernel
/// some 100 us at the most. A quarter of the records of 16 GiB took 0.7 ms.
const RETURN_MOST: usize = 2 << 20;

const _: () = assert!(HANDLE + RECORD <= ROOM_PER_PAGE && PAGE == HEAP_PAGE, "sources keep enough room");

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
    /// `bytes`, and as many to spare as an array of that length grows by or keeps.
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

    /// Where the array should end when only its first `bytes` bytes are used: a little above them, if the rest is worth
    /// a system call.
    fn shrunk(&self, bytes: usize, kernel_page: usize) -> usize {
        let held = self.mapped - self.start;
        let kept = self.with_reserve(bytes).max(KEPT).next_multiple_of(kernel_page);
        if kept < held - (held / RETURN_FRACTION).min(RETURN_MOST) { self.start + kept } else { self.mapped }
    }

    /// Returns what is mapped from `to` on to the kernel.
    ///
    /// # Safety
    ///
    /// Nothing there is used.
    unsafe fn truncate(&mut self, to: usize, brk: &mut impl Brk) {
        // SAFETY: the caller's promise; the piece was mapped by `grow`. If the kernel refuses, it stays.
        if to < self.mapped && unsafe { brk.unmap(to, self.mapped - to) }.is_ok() {
            self.mapped = to;
        }
    }
}

/// Where both arrays end, or should end.
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
    /// Bytes of records that are left out because the pages below the first have none here: whole kernel pages.
    skipped: usize,
    /// The end of the pages whose records are grouped; they begin at [`GROUPED`].
    grouped_end: usize,
    /// Pages whose handles and records the room can hold.
    capacity: usize,
}

impl Aside {
    /// Divides a room in which pages from `first` on have records. `None` if it is too short to be of use.
    pub(crate) fn new(room: &Range<usize>, first: usize, kernel_page: usize) -> Option<Self> {
        let (start, end) = (room.start.checked_next_multiple_of(kernel_page)?, room.end & !(kernel_page - 1));
        let capacity = end.checked_sub(start)?.checked_sub(2 * kernel_page)? / (HANDLE + RECORD);
        let middle = start + (capacity * HANDLE).next_multiple_of(kernel_page);
        let handles = Array { start, mapped: start, end: middle, step: HANDLES_STEP };
        let records = Array { start: middle, mapped: middle, end, step: RECORDS_STEP };
        // Whole kernel pages, so that a group starts with one. The capacity counts these bytes, too.
        let skipped = (first * RECORD) & !(kernel_page - 1);
        // Leaves end at powers of two.
        let grouped_end = 1 << capacity.max(1).ilog2();
        let aside = Self { handles, records, skipped, grouped_end, capacity };
        (start > 0 && capacity > first).then_some(aside)
    }

    /// The leaf of the page map for `pages`, which are all that it serves.
    pub(crate) fn leaf(&self, pages: &Range<usize>) -> Leaf {
        let grouped = pages.start >= GROUPED && pages.end <= self.grouped_end;
        Leaf::aside(self.records.start.wrapping_sub(self.skipped), self.handles.start, grouped)
    }

    /// Pages that it can serve.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether the handles of all pages up to number `handles` are mapped, and the records of those up to number
    /// `records`.
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

    /// Bytes of the handles and of the records of all pages up to number `pages`.
    fn bytes_for(&self, pages: usize) -> (usize, usize) {
        let grouped = pages > GROUPED && pages <= self.grouped_end;
        let records = if grouped { pages.next_multiple_of(GROUPED) } else { pages };
        (pages * HANDLE, (records * RECORD).saturating_sub(self.skipped))
    }

    /// Where both arrays end.
    pub(crate) fn ends(&self) -> Ends {
        Ends { handles: self.handles.mapped, records: self.records.mapped }
    }

    /// Where both start: to truncate them there is to return everything.
    pub(crate) fn starts(&self) -> Ends {
        Ends { handles: self.handles.start, records: self.records.start }
    }

    /// Where both should end when only the handles of the pages up to number `handles` are used, and the records of
    /// those up to number `records`.
    pub(crate) fn shrunk(&self, handles: usize, records: usize, kernel_page: usize) -> Ends {
        let (handles, records) = (self.bytes_for(handles).0, self.bytes_for(records).1);
        Ends { handles: self.handles.shrunk(handles, kernel_page), records: self.records.shrunk(records, kernel_page) }
    }

    /// Maps what is missing to serve `pages` pages. If it is refused, a part may have been mapped.
    pub(crate) fn grow(&mut self, pages: usize, brk: &mut impl Brk) -> Result<(), Refused> {
        if pages > self.capacity {
            return Err(Refused);
        }
        let (handles, records) = self.bytes_for(pages);
        self.handles.grow(handles, brk)?;
        self.records.grow(records, brk)
    }

    /// Returns what is mapped beyond `ends` to the kernel.
    ///
    /// # Safety
    ///
    /// No handle and no record there is used.
    pub(crate) unsafe fn truncate(&mut self, ends: Ends, brk: &mut impl Brk) {
        // SAFETY: the caller's promise.
        unsafe {
            self.handles.truncate(ends.handles, brk);
            self.records.truncate(ends.records, brk);
        }
    }

    /// Returns the memory of the handles and records of whole groups among `pages` to the kernel, and keeps their addresses: they
    /// read as zero.
    ///
    /// # Safety
    ///
    /// These pages have handles and records here, of which the handles are null and the records not used.
    pub(crate) unsafe fn discard(&self, pages: &Range<usize>, brk: &mut impl Brk) {
        let kernel_page = brk.page_size();
        let start = pages.start.max(GROUPED).next_multiple_of(GROUPED);
        let end = pages.end.min(self.grouped_end) & !(GROUPED - 1);
        let (from, to) = (self.bytes_for(start), self.bytes_for(end));
        for (array, from, to) in [(self.handles, from.0, to.0), (self.records, from.1, to.1)] {
            let from = (array.start + from).next_multiple_of(kernel_page);
            let to = (array.start + to).min(array.mapped) & !(kernel_page - 1);
            if start < end && from < to {
                // SAFETY: whole kernel pages of what was mapped for the array, and the caller's promise. Refused, it stays.
                let _ = unsafe { brk.discard(from, to - from) };
            }
        }
    }

    /// Bytes that are mapped.
    pub(crate) fn bytes(&self) -> usize {
        self.handles.mapped - self.handles.start + (self.records.mapped - self.records.start)
    }
}

#[cfg(test)]
mod tests;
