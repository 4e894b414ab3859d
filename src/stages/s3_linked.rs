//! Milestone 3: a list, and with it the first two things a heap can be asked to answer for.
//!
//! Every header now says where the next one is. The last one's link is null, and so is an empty heap's `head`. After
//! `hmalloc(5)` and `hmalloc(100)`, on x86_64:
//!
//! ```text
//!   head
//!   |
//!   v                             + 48                                  + 192 = the break
//!   +---------+------+------+-----+----------+------+------+------------+
//!   | size 16 | free | next | 16  | size 112 | free | null | 112        |  not mapped
//!   +---------+------+--|---+-----+----------+------+------+------------+
//!   header              |   |     ^ header                 + 80
//!                       |   + 32  |                        payload
//!                       +---------+
//! ```
//!
//! **What it adds.**
//!
//! - *A free is verified.* `hfree` looks for a live block whose payload starts at exactly the pointer it was given.
//!   It compares addresses and never follows the pointer. Null, an address inside a block, one of another heap, a block
//!   that is free already: nothing is found, and nothing happens. Nor on an empty heap, where the C original did
//!   not guard against the null head and followed it.
//! - *The last block goes back to the kernel.* When it is freed, the break is lowered to its header, and the block
//!   before it becomes the last. When it was the only one, the heap is empty again.
//! - *Others may raise the break.* A block is reached by a link, so it need not begin where the one before it ends.
//!
//! **What is still wrong.**
//!
//! - The known bug of this milestone: **free blocks below a freed last block stay on top of the heap.** Of A, B and C,
//!   free B, then C. C goes back to the kernel; B, free and now the last, does not, and no later free will look at it
//!   again. To go on downwards, one has to know what lies below B.
//! - A free block is given whole to a small request, and two small ones side by side never serve a large one.
//! - To verify costs a walk over the list, for every free.
//!
//! **What it relies on** (S3): from `head`, the links lead through headers in address order to null; each header lies
//! with its payload in memory that this heap raised; only this file writes to them.

use crate::brk::Brk;
use core::iter::successors;
use core::ptr::{null_mut, with_exposed_provenance_mut};

/// The alignment of C's `max_align_t`.
const ALIGN: usize = if cfg!(any(target_arch = "arm", target_arch = "mips", target_arch = "s390x")) { 8 } else { 16 };

/// In front of every payload: 32 bytes on x86_64, of which the alignment takes 8.
#[repr(C)]
pub(super) struct Header {
    size: usize,
    free: bool,
    next: *mut Header,
}

pub(super) const HEADER: usize = size_of::<Header>().next_multiple_of(ALIGN);

/// A heap as a list of headers. See the [module](self).
pub struct Linked<B: Brk> {
    pub(super) brk: B,
    head: *mut Header,
}

impl<B: Brk> Linked<B> {
    /// A heap without blocks. It asks where the break is when the first block is wanted.
    pub const fn new(brk: B) -> Self {
        Self { brk, head: null_mut() }
    }

    /// At least `size` bytes at a multiple of `max_align_t`'s alignment, or null.
    ///
    /// # Safety
    ///
    /// The program writes only to payloads (S3), and no other user lowers the break below the heap's end.
    pub unsafe fn hmalloc(&mut self, size: usize) -> *mut u8 {
        let Some(size) = size.max(1).checked_next_multiple_of(ALIGN) else { return null_mut() };
        let fit = self.walk().find(|&(_, block, free)| free && block >= size).map(|(header, ..)| header);
        let Some(header) = fit.or_else(|| self.raise(size)) else { return null_mut() };
        // SAFETY: `header` is in the list, and a payload lies behind it (S3).
        unsafe {
            (*header).free = false;
            header.byte_add(HEADER).cast()
        }
    }

    /// Frees a block, and lowers the break if it is the last. What is no live block of this heap is ignored.
    ///
    /// # Safety
    ///
    /// Nothing uses the block any more.
    pub unsafe fn hfree(&mut self, payload: *mut u8) {
        let found = self.walk().find(|&(header, _, free)| !free && header.addr() + HEADER == payload.addr());
        let Some((header, size, _)) = found else { return };
        let below = self.walk().take_while(|&(other, ..)| other != header).last();
        // SAFETY: both are in the list (S3). `header` is not touched any more once the break is below it.
        unsafe {
            (*header).free = true;
            // The block that ends at the break is the last: unless others raised the break above it. The break first, the
            // list after it: if lowering is refused, the block is still there, free.
            if self.brk.move_break(header.addr() + HEADER + size, header.addr()).is_ok() {
                *below.map_or(&raw mut self.head, |(below, ..)| &raw mut (*below).next) = null_mut();
            }
        }
    }

    /// Raises the break by a header and `size` bytes and puts the new block, free, at the end of the list.
    fn raise(&mut self, size: usize) -> Option<*mut Header> {
        let from = self.brk.query().ok()?;
        let begin = from.checked_next_multiple_of(ALIGN)?;
        let (header, last) = (with_exposed_provenance_mut::<Header>(begin), self.walk().last());
        // SAFETY: the bytes from `begin` on are written once they are raised; `last` is in the list (S3).
        unsafe {
            self.brk.move_break(from, begin.checked_add(HEADER)?.checked_add(size)?).ok()?;
            header.write(Header { size, free: true, next: null_mut() });
            *last.map_or(&raw mut self.head, |(last, ..)| &raw mut (*last).next) = header;
        }
        Some(header)
    }

    /// Every header in address order, with its payload's size and its mark.
    pub(super) fn walk(&self) -> impl Iterator<Item = (*mut Header, usize, bool)> {
        // SAFETY: links lead to headers or are null (S3).
        let read = |at: *mut Header| unsafe { at.as_ref() }.map(|header| (at, header.size, header.free));
        // SAFETY: as above.
        successors(read(self.head), move |&(at, ..)| read(unsafe { (*at).next }))
    }
}
