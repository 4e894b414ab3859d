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

use crate::brk::{Brk, ROOM_PER_PAGE, Refused};
use crate::leaf::{HANDLE, Leaf, RECORD};
use core::ops::Range;

/// The least by which the handles grow if the kernel lets them, in bytes: by those of 512 pages.
const HANDLES_STEP: usize = 4 << 10;
/// The same for the records: by those of 170 pages.
const RECORDS_STEP: usize = 32 << 10;
/// Beyond that, an array grows by this fraction of itself. As much is kept of one that shrinks.
const STEP_FRACTION: usize = 16;

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
    fn generous(self, bytes: usize) -> usize {
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
        let wish = self.generous(held).max(least) & !(kernel_page - 1);
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
        let kept = if bytes == 0 { 0 } else { self.generous(bytes).next_multiple_of(kernel_page) };
        let (held, to) = (self.mapped - self.start, self.start + kept);
        if kept == 0 || kept < held - held / RETURN_FRACTION { to } else { self.mapped }
    }

    /// Returns what is mapped from `to` on.
    ///
    /// # Safety
    ///
    /// Nothing there is used.
    unsafe fn cut(&mut self, to: usize, brk: &mut impl Brk) {
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
    /// The first page that has a record here.
    first: usize,
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
        let aside = Self { handles, records, first, capacity };
        (start > 0 && capacity > first).then_some(aside)
    }

    /// The leaf for all pages that it serves.
    pub(crate) fn leaf(&self) -> Leaf {
        Leaf::aside(self.records.start.wrapping_sub(self.first * RECORD), self.handles.start)
    }

    /// Pages that it can serve.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether the handles of all pages up to number `pages`, and the records, are mapped.
    pub(crate) fn serves(&self, pages: usize) -> bool {
        let (handles, records) = self.bytes_for(pages);
        handles <= self.handles.mapped - self.handles.start && records <= self.records.mapped - self.records.start
    }

    /// The page past the last whose handle is mapped.
    pub(crate) fn handles_mapped(&self) -> usize {
        (self.handles.mapped - self.handles.start) / HANDLE
    }

    fn bytes_for(&self, pages: usize) -> (usize, usize) {
        (pages * HANDLE, pages.saturating_sub(self.first) * RECORD)
    }

    /// Where both arrays end.
    pub(crate) fn ends(&self) -> Ends {
        Ends { handles: self.handles.mapped, records: self.records.mapped }
    }

    /// Where both are to end when the heap has shrunk to `pages` pages.
    pub(crate) fn shrunk(&self, pages: usize, kernel_page: usize) -> Ends {
        let (handles, records) = self.bytes_for(pages);
        let (handles, records) = (self.handles.shrunk(handles, kernel_page), self.records.shrunk(records, kernel_page));
        Ends { handles, records }
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
            self.handles.cut(ends.handles, brk);
            self.records.cut(ends.records, brk);
        }
    }

    /// Bytes that are mapped.
    pub(crate) fn bytes(&self) -> usize {
        self.handles.mapped - self.handles.start + (self.records.mapped - self.records.start)
    }
}
