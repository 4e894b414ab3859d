//! Exercise 1: a header in front of each payload, and first fit. The page is `learn/book/src/exercise-1.md`.
//!
//! Replace each `gap!(...)` by your own code, and let it be graded: `cargo run -p learn -- grade 1`

use core::iter::successors;
use core::mem::offset_of;
use core::ptr::{null_mut, with_exposed_provenance_mut};
use hmalloc::brk::Brk;
use learn_heap::gap;

/// In front of every payload.
#[repr(C)]
pub struct Header {
    size: usize,
    free: bool,
}

pub const HEADER: usize = size_of::<Header>();

/// A heap of headers and payloads, end to end.
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

    /// `size` bytes at whatever address comes next, or null.
    pub unsafe fn hmalloc(&mut self, size: usize) -> *mut u8 {
        let Ok(now) = self.brk.query() else { return null_mut() };
        if self.start == self.end {
            (self.start, self.end) = (now, now);
        }
        if now != self.end {
            return null_mut(); // Somebody moved the break: the bytes between `end` and it are no blocks of ours.
        }
        // `walk` goes over all blocks: for each its header, the size of its payload, and whether it is free.
        let fit: Option<(*mut Header, usize)> = gap!("fit: the first block that is free and large enough: its header and its size");
        // If there is none, the break is raised.
        let Some((header, size)) = fit.or_else(|| Some((self.raise(size)?, size))) else { return null_mut() };
        unsafe {
            header.write_unaligned(gap!("mark: the header of a used block of `size` bytes"));
            gap!("payload: the address of the payload, which follows the header")
        }
    }

    /// Marks a block free. That is all.
    pub unsafe fn hfree(&mut self, payload: *mut u8) {
        unsafe {
            let header: *mut u8 = gap!("header: where the header of this payload begins");
            header.add(offset_of!(Header, free)).cast::<bool>().write(true)
        }
    }

    /// Raises the break by a header and `size` bytes, and returns where they begin.
    fn raise(&mut self, size: usize) -> Option<*mut Header> {
        let begin = self.end;
        let end: usize = gap!("end: where the new block ends; `None` (`?`) if the sum is no address");
        unsafe { self.brk.move_break(self.end, end) }.ok()?;
        self.end = end;
        Some(with_exposed_provenance_mut(begin))
    }

    /// Every header in address order, with its payload's size and its mark.
    pub fn walk(&self) -> impl Iterator<Item = (*mut Header, usize, bool)> {
        let read = |at: *mut Header| {
            let header = unsafe { at.read_unaligned() };
            (at, header.size, header.free)
        };
        let here = move |at: usize| (at < self.end).then(|| read(with_exposed_provenance_mut(at)));
        successors(here(self.start), move |&(at, size, _)| here(at.addr() + HEADER + size))
    }
}
