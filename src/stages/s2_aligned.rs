//! Milestone 2: payloads that any type can live in.
//!
//! A processor fetches memory in words, and a word that lies across two of them costs two fetches, a trap into the
//! kernel that patches it up, or the process (SIGBUS), depending on the machine; an atomic access has no
//! second try at all. C promises that what `malloc` returns suits every basic type. The strictest of these has the
//! alignment of `max_align_t`, so it is enough that *every* payload starts at a multiple of that, [`ALIGN`].
//!
//! Three roundings make it so: the first header starts at a multiple, headers measure a multiple, payloads
//! measure a multiple. Then every sum of them is one. After `hmalloc(5)` and `hmalloc(100)`, on x86_64:
//!
//! ```text
//!   start                              + 32                               + 160 = end = the break
//!   |                                  |                                  |
//!   +---------+------+---+--------+----+----------+------+---+-------+----+
//!   | size 16 | free |   | 5 used | 11 | size 112 | free |   | 100   | 12 |  not mapped
//!   +---------+------+---+--------+----+----------+------+---+-------+----+
//!   |                    |        |    |                     |       |
//!   header               + 16     |    header                + 48    slack
//!                        payload  slack                      payload
//! ```
//!
//! **What it adds.** Alignment, for at most `ALIGN` bytes of slack in each block. And one thing for free: blocks
//! come in fewer sizes now, so a freed one fits the next request more often.
//!
//! **What is still wrong**: `hfree` still believes any address; the break is never lowered; a large free block
//! is given whole to a small request; every `hmalloc` walks over all blocks.
//!
//! **What it relies on** (S2): from `start` to `end` there are headers and payloads without a gap, each at a multiple
//! of [`ALIGN`], and only this file writes to the headers. The unaligned reads of milestone 1 are gone with the cause.

use crate::brk::Brk;
use core::iter::successors;
use core::mem::offset_of;
use core::ptr::{null_mut, with_exposed_provenance_mut};

/// The alignment of C's `max_align_t`. It is the platform's choice, not the word size: 16 where `long double` or a
/// vector type wants it, even on 32-bit x86.
pub const ALIGN: usize =
    if cfg!(any(target_arch = "arm", target_arch = "mips", target_arch = "s390x")) { 8 } else { 16 };

/// In front of every payload.
#[repr(C)]
pub(super) struct Header {
    size: usize,
    free: bool,
}

/// The header's bytes and what rounding adds: the payload starts behind both.
pub(super) const HEADER: usize = size_of::<Header>().next_multiple_of(ALIGN);

/// A heap of aligned blocks, end to end. See the [module](self).
pub struct Aligned<B: Brk> {
    pub(super) brk: B,
    start: usize,
    /// Where the last payload ends, and where this heap left the break. Equal to `start` while there is no block.
    end: usize,
}

impl<B: Brk> Aligned<B> {
    /// A heap without blocks. It asks where the break is when the first block is wanted.
    pub const fn new(brk: B) -> Self {
        Self { brk, start: 0, end: 0 }
    }

    /// At least `size` bytes at a multiple of [`ALIGN`], or null. A request for 0 bytes gets the smallest block.
    ///
    /// # Safety
    ///
    /// The program writes only to payloads (S2), and no other user lowers the break below the heap's end.
    pub unsafe fn hmalloc(&mut self, size: usize) -> *mut u8 {
        let Ok(now) = self.brk.query() else { return null_mut() };
        if self.start == self.end {
            (self.start, self.end) = (now, now); // Not a multiple yet: the first raise skips what is missing.
        }
        if now != self.end {
            return null_mut(); // Somebody moved the break: the bytes between `end` and it are no blocks of ours.
        }
        let Some(size) = size.max(1).checked_next_multiple_of(ALIGN) else { return null_mut() };
        // A free block is given whole, however little was asked.
        let fit = self.walk().find(|&(_, block, free)| free && block >= size).map(|(header, block, _)| (header, block));
        let Some((header, size)) = fit.or_else(|| Some((self.raise(size)?, size))) else { return null_mut() };
        // SAFETY: `header` is in the heap (S2), or at the first aligned byte of those just raised.
        unsafe {
            header.write(Header { size, free: false });
            header.byte_add(HEADER).cast()
        }
    }

    /// Marks a block free. That is all.
    ///
    /// # Safety
    ///
    /// `payload` came from this heap's `hmalloc`. Nothing checks that: whatever the address, the byte in front of it
    /// where a header has its mark becomes 1, be it part of a header, of somebody's data, or of nothing.
    pub unsafe fn hfree(&mut self, payload: *mut u8) {
        // SAFETY: by the caller's promise a header lies in front of `payload` (S2).
        unsafe { payload.sub(HEADER - offset_of!(Header, free)).cast::<bool>().write(true) }
    }

    /// Raises the break by a header and `size` bytes, and returns where they begin: the first multiple from the old
    /// break on. Only the first raise ever skips bytes for that; they lie below `start` from then on.
    fn raise(&mut self, size: usize) -> Option<*mut Header> {
        let begin = self.end.checked_next_multiple_of(ALIGN)?;
        let end = begin.checked_add(HEADER)?.checked_add(size)?;
        // SAFETY: raising takes nothing away.
        unsafe { self.brk.move_break(self.end, end) }.ok()?;
        if self.start == self.end {
            self.start = begin;
        }
        self.end = end;
        Some(with_exposed_provenance_mut(begin))
    }

    /// Every header in address order, with its payload's size and its mark.
    pub(super) fn walk(&self) -> impl Iterator<Item = (*mut Header, usize, bool)> {
        let read = |at: *mut Header| {
            // SAFETY: steps of a header and its payload's size lead from `start` to the next header below `end` (S2).
            let header = unsafe { at.read() };
            (at, header.size, header.free)
        };
        let here = move |at: usize| (at < self.end).then(|| read(with_exposed_provenance_mut(at)));
        successors(here(self.start), move |&(at, size, _)| here(at.addr() + HEADER + size))
    }
}
