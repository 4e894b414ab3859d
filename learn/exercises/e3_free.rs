//! Exercise 3: a free that works. The page is `learn/book/src/exercise-3.md`.
//!
//! Replace each `gap!(...)` by your own code, and let it be graded: `cargo run -p learn -- grade 3`

use core::iter::successors;
use core::ptr::{null_mut, with_exposed_provenance_mut};
use hmalloc::brk::Brk;
use learn_heap::gap;

/// The alignment of C's `max_align_t`.
const ALIGN: usize = if cfg!(any(target_arch = "arm", target_arch = "mips", target_arch = "s390x")) { 8 } else { 16 };

/// In front of every payload.
#[repr(C)]
pub struct Header {
    size: usize,
    free: bool,
    next: *mut Header,
}

/// From a header to its payload.
pub const HEADER: usize = size_of::<Header>().next_multiple_of(ALIGN);

/// A heap as a list of headers.
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
        let fit = self.walk().find(|&(_, block, free)| free && block >= size).map(|(header, ..)| header);
        let Some(header) = fit.or_else(|| self.raise(size)) else { return null_mut() };
        unsafe {
            (*header).free = false;
            header.byte_add(HEADER).cast()
        }
    }

    /// Frees a block. What is no live block of this heap is ignored: nothing in front of such an address is read or written.
    pub unsafe fn hfree(&mut self, payload: *mut u8) {
        let found: Option<(*mut Header, usize, bool)> = gap!("find: the used block of the list whose payload starts at exactly `payload`");
        let Some((header, size, _)) = found else { return };
        let below = self.walk().take_while(|&(other, ..)| other != header).last();
        unsafe {
            (*header).free = true;
            // The last block goes back to the kernel: the break is moved from where the block ends to where its header
            // begins. If it does not end at the break, it is not the last, and the break is not moved.
            if gap!("lower: move the break; is the answer `Ok`?") {
                // Its header is below the break no more, so the list has to end before it.
                *below.map_or(&raw mut self.head, |(below, ..)| &raw mut (*below).next) = gap!("unlink: what the list goes on with");
            }
        }
    }

    /// Raises the break by a header and `size` bytes and puts the new block, free, at the end of the list.
    fn raise(&mut self, size: usize) -> Option<*mut Header> {
        let from = self.brk.query().ok()?;
        let begin = from.checked_next_multiple_of(ALIGN)?;
        let (header, last) = (with_exposed_provenance_mut::<Header>(begin), self.walk().last());
        unsafe {
            self.brk.move_break(from, begin.checked_add(HEADER)?.checked_add(size)?).ok()?;
            header.write(Header { size, free: true, next: null_mut() });
            *last.map_or(&raw mut self.head, |(last, ..)| &raw mut (*last).next) = gap!("link: the last block's `next`, or the head of an empty list");
        }
        Some(header)
    }

    /// Every header in address order, with its payload's size and its mark.
    pub fn walk(&self) -> impl Iterator<Item = (*mut Header, usize, bool)> {
        let read = |at: *mut Header| unsafe { at.as_ref() }.map(|header| (at, header.size, header.free));
        successors(read(self.head), move |&(at, ..)| read(unsafe { (*at).next }))
    }
}
