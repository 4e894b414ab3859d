//! Exercise 4: split what is too large, and trim as far down as it is free. The page is `learn/book/src/exercise-4.md`.
//!
//! Replace each `gap!(...)` by your own code, and let it be graded: `cargo run -p learn -- grade 4`

use core::iter::successors;
use core::ptr::{null_mut, with_exposed_provenance_mut};
use hmalloc::brk::Brk;
use learn_heap::gap;

/// The alignment of C's `max_align_t`, and the smallest payload.
const ALIGN: usize = if cfg!(any(target_arch = "arm", target_arch = "mips", target_arch = "s390x")) { 8 } else { 16 };

/// In front of every payload.
#[repr(C)]
pub struct Header {
    size: usize,
    previous: *mut Header,
    next: *mut Header,
    free: bool,
}

pub const HEADER: usize = size_of::<Header>().next_multiple_of(ALIGN);

/// A heap as a list of headers that can be walked both ways.
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
            self.split(header, size);
            (*header).free = false;
            header.byte_add(HEADER).cast()
        }
    }

    /// Frees a block, and trims the top. What is no live block of this heap is ignored.
    pub unsafe fn hfree(&mut self, payload: *mut u8) {
        let found = self.walk().find(|&(header, _, free)| !free && header.addr() + HEADER == payload.addr());
        let Some((mut header, ..)) = found else { return };
        unsafe {
            (*header).free = true;
            // The block that ends at the break is the last. Each turn lowers the break over one.
            while gap!("trim: as long as there is a block, and it is free") {
                let (previous, end) = ((*header).previous, header.addr() + HEADER + (*header).size);
                if self.brk.move_break(end, header.addr()).is_err() {
                    return; // Not the last, or refused: the block stays where it is, free.
                }
                self.link(previous, null_mut());
                header = gap!("down: the block to look at next");
            }
        }
    }

    /// Shortens a block that is not in use to `size` bytes, if what remains can hold a block.
    unsafe fn split(&mut self, header: *mut Header, size: usize) {
        unsafe {
            let rest = (*header).size - size;
            if gap!("rest: whether `rest` bytes can hold a header and the smallest payload") {
                let remainder: *mut Header = gap!("remainder: where the header of the rest begins");
                remainder.write(Header { size: gap!("left: bytes of its payload"), previous: null_mut(), next: null_mut(), free: true });
                gap!("link: the remainder comes between `header` and the block that follows it now, in both directions (`self.link`)");
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
        unsafe {
            self.brk.move_break(from, begin.checked_add(HEADER)?.checked_add(size)?).ok()?;
            header.write(Header { size, previous: null_mut(), next: null_mut(), free: true });
            self.link(last, header);
        }
        Some(header)
    }

    /// Makes `next` follow `previous`. Null stands for the head on the left and for the end on the right.
    unsafe fn link(&mut self, previous: *mut Header, next: *mut Header) {
        unsafe {
            *(if previous.is_null() { &raw mut self.head } else { &raw mut (*previous).next }) = next;
            if !next.is_null() {
                (*next).previous = previous;
            }
        }
    }

    /// Every header in address order, with its payload's size and its mark.
    pub fn walk(&self) -> impl Iterator<Item = (*mut Header, usize, bool)> {
        let read = |at: *mut Header| unsafe { at.as_ref() }.map(|header| (at, header.size, header.free));
        successors(read(self.head), move |&(at, ..)| read(unsafe { (*at).next }))
    }
}
