//! Milestone 1: a heap at all.
//!
//! The kernel knows one border, the program break: below it the process may use memory, above it not. So there are
//! two questions. Where do new bytes come from? Raise the break, and what lies between the old one and the new
//! one is ours. How are they used again? Write down in front of every block how large it is and whether it is free.
//! That note is the *header*, and it is the whole idea of a heap.
//!
//! After `hmalloc(5)` and `hmalloc(100)`, on x86_64:
//!
//! ```text
//!   start                         + 21                                    + 137 = end = the break
//!   |                             |                                       |
//!   +--------+------+---+---------+----------+------+---+-----------------+
//!   | size 5 | free |   | 5 bytes | size 100 | free |   | 100 bytes       |  not mapped
//!   +--------+------+---+---------+----------+------+---+-----------------+
//!   |        + 8        |         |          + 29       |
//!   header              + 16      header                + 37, a multiple of nothing
//!                       payload                         payload
//! ```
//!
//! There are no links. The next header begins where a payload ends, so a walk adds sizes from the start until it
//! stands at the break.
//!
//! **What it does.** `hmalloc` takes the first free block that is large enough (*first fit*); if there is none, it
//! raises the break by header and payload. `hfree` writes one byte: free.
//!
//! **What is still wrong**, kept because every later milestone is the answer to one of these:
//!
//! - Payloads start at any address. A `u64` at an odd one is slow on some machines and kills the process on others.
//! - `hfree` verifies nothing. Any address is taken for a payload, and a byte in front of it is overwritten.
//! - The break is never lowered. What was needed once is kept until the process ends.
//! - A free block of 4096 bytes is given whole to a request for 1 byte.
//! - Every `hmalloc` walks over all blocks, used ones too.
//!
//! **What it relies on** (S1): from `start` to `end` there are headers and payloads without a gap, and only this file
//! writes to the headers. Headers stand at odd addresses, so they are read and written unaligned.

use crate::brk::Brk;
use core::iter::successors;
use core::mem::offset_of;
use core::ptr::{null_mut, with_exposed_provenance_mut};

/// In front of every payload. It measures 16 bytes (8 on a 32-bit machine), most of them wasted on `free`.
#[repr(C)]
pub(super) struct Header {
    size: usize,
    free: bool,
}

pub(super) const HEADER: usize = size_of::<Header>();

/// A heap of headers and payloads, end to end. See the [module](self).
pub struct Minimal<B: Brk> {
    pub(super) brk: B,
    start: usize,
    /// Where the last payload ends, and where this heap left the break. Equal to `start` while there is no block.
    end: usize,
}

impl<B: Brk> Minimal<B> {
    /// A heap without blocks. It asks where the break is when the first block is wanted.
    pub const fn new(brk: B) -> Self {
        Self { brk, start: 0, end: 0 }
    }

    /// `size` bytes at whatever address comes next, or null. A request for 0 bytes gets a header with nothing behind.
    ///
    /// # Safety
    ///
    /// The program writes only to payloads (S1), and no other user lowers the break below the heap's end.
    pub unsafe fn hmalloc(&mut self, size: usize) -> *mut u8 {
        let Ok(now) = self.brk.query() else { return null_mut() };
        if self.start == self.end {
            (self.start, self.end) = (now, now);
        }
        if now != self.end {
            return null_mut(); // Somebody moved the break: the bytes between `end` and it are no blocks of ours.
        }
        // A free block is given whole, however little was asked.
        let fit = self.walk().find(|&(_, block, free)| free && block >= size).map(|(header, block, _)| (header, block));
        let Some((header, size)) = fit.or_else(|| Some((self.raise(size)?, size))) else { return null_mut() };
        // SAFETY: `header` is in the heap (S1), or at the first of the bytes just raised.
        unsafe {
            header.write_unaligned(Header { size, free: false });
            header.add(1).cast()
        }
    }

    /// Marks a block free. That is all.
    ///
    /// # Safety
    ///
    /// `payload` came from this heap's `hmalloc`. Nothing checks that: whatever the address, the byte in front of it
    /// where a header has its mark becomes 1, be it part of a header, of somebody's data, or of nothing.
    pub unsafe fn hfree(&mut self, payload: *mut u8) {
        // SAFETY: by the caller's promise a header lies in front of `payload` (S1), and a `bool` fits any address.
        unsafe { payload.sub(HEADER - offset_of!(Header, free)).cast::<bool>().write(true) }
    }

    /// Raises the break by a header and `size` bytes, and returns where they begin. The sum is checked: one that wraps
    /// would ask for a few bytes and call them nearly all of memory.
    fn raise(&mut self, size: usize) -> Option<*mut Header> {
        let begin = self.end;
        let end = begin.checked_add(HEADER)?.checked_add(size)?;
        // SAFETY: raising takes nothing away.
        unsafe { self.brk.move_break(self.end, end) }.ok()?;
        self.end = end;
        Some(with_exposed_provenance_mut(begin))
    }

    /// Every header in address order, with its payload's size and its mark.
    pub(super) fn walk(&self) -> impl Iterator<Item = (*mut Header, usize, bool)> {
        let read = |at: *mut Header| {
            // SAFETY: steps of a header and its payload's size lead from `start` to the next header below `end` (S1).
            let header = unsafe { at.read_unaligned() };
            (at, header.size, header.free)
        };
        let here = move |at: usize| (at < self.end).then(|| read(with_exposed_provenance_mut(at)));
        successors(here(self.start), move |&(at, size, _)| here(at.addr() + HEADER + size))
    }
}
