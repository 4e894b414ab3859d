//! Exercise 5: free neighbours become one block, and blocks change their size. The page is `learn/book/src/exercise-5.md`.
//!
//! Replace each `gap!(...)` by your own code, and let it be graded: `cargo run -p learn -- grade 5`

use core::iter::successors;
use core::ptr::{null_mut, with_exposed_provenance_mut};
use hmalloc::brk::Brk;
use learn_heap::gap;

/// The alignment of C's `max_align_t`, and the smallest payload.
const ALIGN: usize = if cfg!(any(target_arch = "arm", target_arch = "mips", target_arch = "s390x")) { 8 } else { 16 };

pub const HEADER: usize = size_of::<Header>().next_multiple_of(ALIGN);

/// In front of every payload.
pub struct Header {
    size: usize,
    free: bool,
    next: *mut Header,
}

/// A heap whose free neighbours are joined.
pub struct Heap<B: Brk> {
    pub brk: B,
    head: *mut Header,
}

impl<B: Brk> Heap<B> {
    pub const fn new(brk: B) -> Self {
        Self { brk, head: null_mut() }
    }

    /// At least `size` bytes at a multiple of [`ALIGN`], or null.
    pub unsafe fn hmalloc(&mut self, size: usize) -> *mut u8 {
        let Some(size) = size.max(1).checked_next_multiple_of(ALIGN) else { return null_mut() };
        let found = self.walk().find(|&(_, block, free)| free && block >= size).map(|(header, ..)| header);
        let Some(header) = found.or_else(|| self.raise(size)) else { return null_mut() };
        unsafe { self.fit(header, size, false) };
        header.wrapping_byte_add(HEADER).cast()
    }

    /// Frees a block. What is no live block of this heap is ignored.
    pub unsafe fn hfree(&mut self, payload: *mut u8) {
        let found = self.walk().find(|&(header, _, free)| !free && header.addr() + HEADER == payload.addr());
        let Some((header, ..)) = found else { return };
        let below: Option<(*mut Header, usize, bool)> = gap!("below: the free block that ends exactly where `header` begins, if there is one");
        unsafe {
            (*header).free = true; // So that a free block below takes it in like any other.
            self.fit(below.map_or(header, |(below, ..)| below), usize::MAX, true);
        }
    }

    /// `count` times `size` zero bytes, or null.
    pub unsafe fn hcalloc(&mut self, count: usize, size: usize) -> *mut u8 {
        let bytes: usize = gap!("product: `count` times `size`; a product that overflows must not get a block");
        unsafe {
            let payload = self.hmalloc(bytes);
            payload.write_bytes(0, if payload.is_null() { 0 } else { bytes });
            payload
        }
    }

    /// The block with `size` bytes, moved if need be. Null leaves it as it was; but a `size` of 0 frees it.
    pub unsafe fn hrealloc(&mut self, payload: *mut u8, size: usize) -> *mut u8 {
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
                gap!("move: its bytes come along, and the old block is freed");
            }
            moved
        }
    }

    /// Makes a block used or free, and of `size` bytes or as near to it as it can. Says whether it has them.
    unsafe fn fit(&mut self, header: *mut Header, size: usize, free: bool) -> bool {
        let below = self.walk().take_while(|&(at, ..)| at != header).last();
        unsafe {
            (*header).free = free;
            while gap!("neighbour: the next block begins exactly where this one ends (others may have raised the break in between), and is free") {
                gap!("join: its header becomes payload, too; and the list goes on behind it");
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
        unsafe {
            self.brk.move_break(from, header.addr().checked_add(HEADER)?.checked_add(size)?).ok()?;
            header.write(Header { size, free: true, next: null_mut() });
            *last.map_or(&raw mut self.head, |(last, ..)| &raw mut (*last).next) = header;
        }
        Some(header)
    }

    /// Every header in address order, with its payload's size and its mark.
    pub fn walk(&self) -> impl Iterator<Item = (*mut Header, usize, bool)> {
        let read = |at: *mut Header| unsafe { at.as_ref() }.map(|header| (at, header.size, header.free));
        successors(read(self.head), move |&(at, ..)| read(unsafe { (*at).next }))
    }
}
