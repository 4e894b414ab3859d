//! Exercise 2: payloads that any type can live in. The page is `learn/book/src/exercise-2.md`.
//!
//! Replace each `gap!(...)` by your own code, and let it be graded: `cargo run -p learn -- grade 2`

use core::iter::successors;
use core::mem::offset_of;
use core::ptr::{null_mut, with_exposed_provenance_mut};
use hmalloc::brk::Brk;
use learn_heap::gap;

/// The alignment of C's `max_align_t`.
pub const ALIGN: usize =
    if cfg!(any(target_arch = "arm", target_arch = "mips", target_arch = "s390x")) { 8 } else { 16 };

/// In front of every payload.
#[repr(C)]
pub struct Header {
    size: usize,
    free: bool,
}

/// From a header to its payload: the first of three roundings.
pub const HEADER: usize = size_of::<Header>().next_multiple_of(ALIGN);

/// A heap of aligned blocks, end to end.
pub struct Heap<B: Brk> {
    pub brk: B,
    start: usize,
    /// Where the last payload ends, and where this heap left the break. Equal to `start` while there is no block.
    end: usize,
}

impl<B: Brk> Heap<B> {
    pub const fn new(brk: B) -> Self {
        Self { brk, start: 0, end: 0 }
    }

    /// At least `size` bytes at a multiple of [`ALIGN`], or null. A request for 0 bytes gets the smallest block.
    pub unsafe fn hmalloc(&mut self, size: usize) -> *mut u8 {
        let Ok(now) = self.brk.query() else { return null_mut() };
        if self.start == self.end {
            (self.start, self.end) = (now, now); // Not a multiple yet: the first raise skips what is missing.
        }
        if now != self.end {
            return null_mut(); // Somebody moved the break: the bytes between `end` and it are no blocks of ours.
        }
        let Some(size): Option<usize> = gap!("size: `size`, at least 1, rounded up to a multiple of `ALIGN`; `None` if there is none")
        else {
            return null_mut();
        };
        // A free block is given whole, however little was asked.
        let fit = self.walk().find(|&(_, block, free)| free && block >= size).map(|(header, block, _)| (header, block));
        let Some((header, size)) = fit.or_else(|| Some((self.raise(size)?, size))) else { return null_mut() };
        unsafe {
            header.write(Header { size, free: false });
            header.byte_add(HEADER).cast()
        }
    }

    /// Marks a block free. That is all.
    pub unsafe fn hfree(&mut self, payload: *mut u8) {
        unsafe { payload.sub(HEADER - offset_of!(Header, free)).cast::<bool>().write(true) }
    }

    /// Raises the break by a header and `size` bytes, and returns where they begin.
    fn raise(&mut self, size: usize) -> Option<*mut Header> {
        let begin: usize = gap!("begin: the first multiple of `ALIGN` from `self.end` on; `None` (`?`) if there is none");
        let end = begin.checked_add(HEADER)?.checked_add(size)?;
        unsafe { self.brk.move_break(self.end, end) }.ok()?;
        if self.start == self.end {
            self.start = begin;
        }
        self.end = end;
        Some(with_exposed_provenance_mut(begin))
    }

    /// Every header in address order, with its payload's size and its mark.
    pub fn walk(&self) -> impl Iterator<Item = (*mut Header, usize, bool)> {
        let read = |at: *mut Header| {
            let header = unsafe { at.read() };
            (at, header.size, header.free)
        };
        let here = move |at: usize| (at < self.end).then(|| read(with_exposed_provenance_mut(at)));
        successors(here(self.start), move |&(at, size, _)| here(at.addr() + HEADER + size))
    }
}
