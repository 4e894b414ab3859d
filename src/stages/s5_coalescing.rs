//! Milestone 5: free neighbours become one block, and blocks change their size.
//! ```text
//!   join     [A free][B used][C free][D used]    free B       [A ............... free][D used]
//!   grow     [A used][B free][C used]            A, larger    [A ..... used][B free][C used]
//!            [A used][B used]| break             B, larger    [A used][B .......... used]| break
//!   shrink   [A ........... used][B used]        A, smaller   [A used][........ free][B used]
//! ```
//! - **What it adds.** No two free blocks are neighbours, and at most one is on top. A block resized stays where it is
//!   if there is room. `fit` does all that, without `previous`: the verifying walk passes the block below anyway.
//! - **What is still wrong.** Every call walks over the list; the break moves with every block at the top; a byte
//!   written too far destroys a header; one owner, one thread. The production heap is the answer to these.
//! - **What it relies on** (S5): the list of S3; and in each call, what S4 asks of who calls `hmalloc` and `hfree`.
#![expect(clippy::missing_safety_doc, reason = "S5 is the contract of every call")]

use crate::brk::Brk;
use core::{iter::successors, ptr::null_mut, ptr::with_exposed_provenance_mut};

/// The alignment of C's `max_align_t`, and the smallest payload. Both it and the header are those of milestone 3.
const ALIGN: usize = if cfg!(any(target_arch = "arm", target_arch = "mips", target_arch = "s390x")) { 8 } else { 16 };
pub(super) const HEADER: usize = size_of::<Header>().next_multiple_of(ALIGN);
pub(super) struct Header {
    size: usize,
    free: bool,
    next: *mut Header,
}

/// A heap whose free neighbours are joined. See the [module](self).
pub struct Coalescing<B: Brk> {
    pub(super) brk: B,
    head: *mut Header,
}

impl<B: Brk> Coalescing<B> {
    /// A heap without blocks. It asks where the break is when the first block is wanted.
    pub const fn new(brk: B) -> Self {
        Self { brk, head: null_mut() }
    }

    /// At least `size` bytes at a multiple of `max_align_t`'s alignment, or null.
    pub unsafe fn hmalloc(&mut self, size: usize) -> *mut u8 {
        let Some(size) = size.max(1).checked_next_multiple_of(ALIGN) else { return null_mut() };
        let found = self.walk().find(|&(_, block, free)| free && block >= size).map(|(header, ..)| header);
        let Some(header) = found.or_else(|| self.raise(size)) else { return null_mut() };
        // SAFETY: `header` is in the list, and its payload is not in use (S5).
        unsafe { self.fit(header, size, false) };
        header.wrapping_byte_add(HEADER).cast()
    }

    /// Frees a block. What is no live block of this heap is ignored.
    pub unsafe fn hfree(&mut self, payload: *mut u8) {
        let found = self.walk().find(|&(header, _, free)| !free && header.addr() + HEADER == payload.addr());
        let Some((header, ..)) = found else { return };
        let below = self.walk().find(|&(below, size, free)| free && below.wrapping_byte_add(HEADER + size) == header);
        // SAFETY: both are in the list, and by the caller's promise nothing uses the payload any more (S5).
        unsafe {
            (*header).free = true; // So that a free block below takes it in like any other.
            self.fit(below.map_or(header, |(below, ..)| below), usize::MAX, true);
        }
    }

    /// `count` times `size` zero bytes, or null. A product that overflows saturates, and no request of so many bytes succeeds.
    pub unsafe fn hcalloc(&mut self, count: usize, size: usize) -> *mut u8 {
        let bytes = count.saturating_mul(size);
        // SAFETY: the caller's promise; a block has `bytes` bytes, full of whatever was there before.
        unsafe {
            let payload = self.hmalloc(bytes);
            payload.write_bytes(0, if payload.is_null() { 0 } else { bytes });
            payload
        }
    }

    /// The block with `size` bytes, moved if need be. Null leaves it as it was; but a `size` of 0 frees it.
    pub unsafe fn hrealloc(&mut self, payload: *mut u8, size: usize) -> *mut u8 {
        // SAFETY: `header` is in the list, and both blocks have the `old` bytes that are copied (S5).
        unsafe {
            if payload.is_null() || size == 0 {
                self.hfree(payload);
                return if size == 0 { null_mut() } else { self.hmalloc(size) };
            }
            let found = self.walk().find(|&(header, _, free)| !free && header.addr() + HEADER == payload.addr());
            let Some((header, old, _)) = found else { return null_mut() };
            let Some(wanted) = size.checked_next_multiple_of(ALIGN) else { return null_mut() };
            if self.fit(header, wanted, false) {
                return payload;
            }
            self.fit(header, old, false); // The neighbour was not enough: it is free again.
            let moved = self.hmalloc(size);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(payload, old);
                self.hfree(payload);
            }
            moved
        }
    }

    /// [`hrealloc`](Self::hrealloc) to `count` times `size` bytes, and null if the product overflows.
    pub unsafe fn hreallocarray(&mut self, payload: *mut u8, count: usize, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise is the same.
        unsafe { self.hrealloc(payload, count.saturating_mul(size)) }
    }

    /// Makes a block used or free, and of `size` bytes or as near to it as it can. Says whether it has them.
    unsafe fn fit(&mut self, header: *mut Header, size: usize, free: bool) -> bool {
        let below = self.walk().take_while(|&(at, ..)| at != header).last();
        // SAFETY: headers of the list (S5). One is not touched any more once the break is below it.
        unsafe {
            (*header).free = free;
            while (*header).next == header.byte_add(HEADER + (*header).size) && (*(*header).next).free {
                (*header).size += HEADER + (*(*header).next).size; // Join: its header becomes payload, too.
                (*header).next = (*(*header).next).next;
            }
            let end = header.addr() + HEADER + (*header).size;
            let to = if free { header.addr() } else { (header.addr() + HEADER).saturating_add(size) };
            if to != end && self.brk.move_break(end, to).is_ok() {
                if free {
                    *below.map_or(&raw mut self.head, |(below, ..)| &raw mut (*below).next) = null_mut();
                    return true; // Trim: it was the last, and is gone.
                }
                (*header).size = size; // The last one grows and shrinks with the break.
            }
            if (*header).size.saturating_sub(size) >= HEADER + ALIGN {
                let rest = header.byte_add(HEADER + size); // Split: what remains is free.
                rest.write(Header { size: (*header).size - size - HEADER, free: true, next: (*header).next });
                ((*header).size, (*header).next) = (size, rest);
            }
            (*header).size >= size
        }
    }

    /// Raises the break by a header and `size` bytes and puts the new block, free, at the end of the list.
    fn raise(&mut self, size: usize) -> Option<*mut Header> {
        let (from, last) = (self.brk.query().ok()?, self.walk().last());
        let header = with_exposed_provenance_mut::<Header>(from.checked_next_multiple_of(ALIGN)?);
        // SAFETY: the header's bytes are written once they are raised; `last` is in the list (S5).
        unsafe {
            self.brk.move_break(from, header.addr().checked_add(HEADER)?.checked_add(size)?).ok()?;
            header.write(Header { size, free: true, next: null_mut() });
            *last.map_or(&raw mut self.head, |(last, ..)| &raw mut (*last).next) = header;
        }
        Some(header)
    }

    /// Every header in address order, with its payload's size and its mark.
    pub(super) fn walk(&self) -> impl Iterator<Item = (*mut Header, usize, bool)> {
        // SAFETY: links lead to headers or are null (S5).
        let read = |at: *mut Header| unsafe { at.as_ref() }.map(|header| (at, header.size, header.free));
        // SAFETY: as above.
        successors(read(self.head), move |&(at, ..)| read(unsafe { (*at).next }))
    }
}
