//! Milestone 4: a link backwards, and two repairs that it allows.
//!
//! The header gets `previous`. On x86_64 that costs nothing: alignment wasted these bytes in milestone 3.
//!
//! ```text
//!   header   +------+----------+------+------+-----------+    split: a free block of 256 serves a request for 64
//!            | size | previous | next | free | payload   |           [H|.................................... 256]
//!            +------+----------+------+------+-----------+           [H|....... 64] [H|.................... 160]
//!            0      8          16     24     32                       used           the remainder, free
//!
//!   trim: D, the last, is freed      [A used] [B free] [C free] [D used]| break
//!                                    [A used]| break
//! ```
//!
//! **What it adds.**
//!
//! - *Splitting.* The front of a free block serves the request. If what remains can hold a block, a header and the
//!   smallest payload, it becomes one: the *remainder*, free. Otherwise it stays in the block as slack.
//! - *Cascading trim.* When the last block is freed, the break is lowered over it, then over the block before it if
//!   that is free too, and so on. Milestone 3's known bug is gone: no free block is last, unless
//!   the kernel refused to lower the break or somebody else raised it.
//!
//! **What is still wrong.** Splitting makes blocks smaller and nothing makes them larger again: free neighbours stay
//! apart, and a heap full of small free blocks has to grow for a large request. Both calls walk over used
//! blocks. And who needs a larger block has to take a new one, copy, and free the old one by himself.
//!
//! **What it relies on** (S4): from `head`, `next` leads through headers in address order to null, and `previous` leads
//! the same way back; each header lies with its payload in memory that this heap raised; only this file writes to them.

use crate::brk::Brk;
use core::iter::successors;
use core::ptr::{null_mut, with_exposed_provenance_mut};

/// The alignment of C's `max_align_t`, and the smallest payload.
const ALIGN: usize = if cfg!(any(target_arch = "arm", target_arch = "mips", target_arch = "s390x")) { 8 } else { 16 };

/// In front of every payload.
#[repr(C)]
pub(super) struct Header {
    size: usize,
    previous: *mut Header,
    next: *mut Header,
    free: bool,
}

pub(super) const HEADER: usize = size_of::<Header>().next_multiple_of(ALIGN);

/// A heap as a list of headers that can be walked both ways. See the [module](self).
pub struct Splitting<B: Brk> {
    pub(super) brk: B,
    head: *mut Header,
}

impl<B: Brk> Splitting<B> {
    /// A heap without blocks. It asks where the break is when the first block is wanted.
    pub const fn new(brk: B) -> Self {
        Self { brk, head: null_mut() }
    }

    /// At least `size` bytes at a multiple of `max_align_t`'s alignment, or null.
    ///
    /// # Safety
    ///
    /// The program writes only to payloads (S4), and no other user lowers the break below the heap's end.
    pub unsafe fn hmalloc(&mut self, size: usize) -> *mut u8 {
        let Some(size) = size.max(1).checked_next_multiple_of(ALIGN) else { return null_mut() };
        let fit = self.walk().find(|&(_, block, free)| free && block >= size).map(|(header, ..)| header);
        let Some(header) = fit.or_else(|| self.raise(size)) else { return null_mut() };
        // SAFETY: `header` is in the list, and its payload, at least `size` bytes, is not in use (S4).
        unsafe {
            self.split(header, size);
            (*header).free = false;
            header.byte_add(HEADER).cast()
        }
    }

    /// Frees a block, and trims the top. What is no live block of this heap is ignored.
    ///
    /// # Safety
    ///
    /// Nothing uses the block any more.
    pub unsafe fn hfree(&mut self, payload: *mut u8) {
        let found = self.walk().find(|&(header, _, free)| !free && header.addr() + HEADER == payload.addr());
        let Some((mut header, ..)) = found else { return };
        // SAFETY: headers of the list (S4). One is not touched any more once the break is below it.
        unsafe {
            (*header).free = true;
            // The block that ends at the break is the last. Each turn lowers the break over one.
            while !header.is_null() && (*header).free {
                let (previous, end) = ((*header).previous, header.addr() + HEADER + (*header).size);
                if self.brk.move_break(end, header.addr()).is_err() {
                    return; // Not the last, or refused: the block stays where it is, free.
                }
                self.link(previous, null_mut());
                header = previous;
            }
        }
    }

    /// Shortens a block that is not in use to `size` bytes, if what remains can hold a block.
    unsafe fn split(&mut self, header: *mut Header, size: usize) {
        // SAFETY: the remainder's header and payload lie in the payload of `header`, which is in the list (S4).
        unsafe {
            let rest = (*header).size - size;
            if rest >= HEADER + ALIGN {
                let remainder = header.byte_add(HEADER + size);
                remainder.write(Header { size: rest - HEADER, previous: null_mut(), next: null_mut(), free: true });
                self.link(remainder, (*header).next);
                self.link(header, remainder);
                (*header).size = size;
            }
        }
    }

    /// Raises the break by a header and `size` bytes and puts the new block, free, at the end of the list.
    fn raise(&mut self, size: usize) -> Option<*mut Header> {
        let from = self.brk.query().ok()?;
        let begin = from.checked_next_multiple_of(ALIGN)?;
        let header = with_exposed_provenance_mut::<Header>(begin);
        let last = self.walk().last().map_or(null_mut(), |(last, ..)| last);
        // SAFETY: the bytes from `begin` on are written once they are raised; `last` is in the list or null.
        unsafe {
            self.brk.move_break(from, begin.checked_add(HEADER)?.checked_add(size)?).ok()?;
            header.write(Header { size, previous: null_mut(), next: null_mut(), free: true });
            self.link(last, header);
        }
        Some(header)
    }

    /// Makes `next` follow `previous`. Null stands for the head on the left and for the end on the right.
    unsafe fn link(&mut self, previous: *mut Header, next: *mut Header) {
        // SAFETY: what is not null is a header (S4).
        unsafe {
            *(if previous.is_null() { &raw mut self.head } else { &raw mut (*previous).next }) = next;
            if !next.is_null() {
                (*next).previous = previous;
            }
        }
    }

    /// Every header in address order, with its payload's size and its mark.
    pub(super) fn walk(&self) -> impl Iterator<Item = (*mut Header, usize, bool)> {
        // SAFETY: links lead to headers or are null (S4).
        let read = |at: *mut Header| unsafe { at.as_ref() }.map(|header| (at, header.size, header.free));
        // SAFETY: as above.
        successors(read(self.head), move |&(at, ..)| read(unsafe { (*at).next }))
    }
}
