//! What the tour needs of a heap: to allocate, to free, and to walk its blocks.

use core::alloc::Layout;
use core::ptr::null_mut;
use hmalloc::brk::{Brk, Linux};
use hmalloc::stages::Stage;
use hmalloc::{BlockState, Heap, Misuse};

/// A block of the heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// Address of the first byte: the header's, if there is one.
    pub(crate) start: usize,
    /// Bytes of the header in front of the payload. The production heap keeps its headers elsewhere.
    pub(crate) header: usize,
    /// Bytes of the payload.
    pub(crate) size: usize,
    pub(crate) state: BlockState,
}

impl Row {
    pub(crate) fn payload(&self) -> usize {
        self.start + self.header
    }

    pub(crate) fn end(&self) -> usize {
        self.payload() + self.size
    }
}

/// A heap that can be shown.
pub(crate) trait Shown {
    fn allocate(&mut self, size: usize) -> *mut u8;

    /// Frees what may or may not be a payload.
    fn free(&mut self, payload: *mut u8) -> Result<(), Misuse>;

    /// Whether the heap can be trimmed.
    fn can_trim(&self) -> bool;

    /// Lowers the break as far as possible, and returns by how many bytes.
    fn trim(&mut self) -> usize;

    fn rows(&self) -> impl Iterator<Item = Row>;

    /// Bytes of the header in front of each payload. `None` for the production heap, whose small payloads lie in slabs.
    fn header(&self) -> Option<usize>;
}

/// A stage of the journal.
pub(crate) struct Milestone<S>(pub(crate) S);

impl<S: Stage<Source = Linux>> Shown for Milestone<S> {
    fn allocate(&mut self, size: usize) -> *mut u8 {
        // SAFETY: the tour writes to payloads only, and nothing else in this process moves the break.
        unsafe { self.0.hmalloc(size) }
    }

    fn free(&mut self, payload: *mut u8) -> Result<(), Misuse> {
        // SAFETY: the tour does not use what it freed. The one address that is not a payload's lies so far inside a
        // payload that a stage which trusts it writes into that payload.
        unsafe { self.0.hfree(payload) };
        Ok(())
    }

    fn can_trim(&self) -> bool {
        false
    }

    fn trim(&mut self) -> usize {
        0
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        self.0.blocks().map(|block| Row {
            start: block.header,
            header: block.payload - block.header,
            size: block.size,
            state: if block.free { BlockState::Free } else { BlockState::Used },
        })
    }

    fn header(&self) -> Option<usize> {
        Some(S::HEADER)
    }
}

/// The alignment of milestone 2's payloads.
const ALIGN: usize = hmalloc::stages::s2_aligned::ALIGN;

impl Shown for Heap<Linux> {
    fn allocate(&mut self, size: usize) -> *mut u8 {
        let payload = Layout::from_size_align(size, ALIGN).ok().and_then(|layout| Heap::allocate(self, layout).ok());
        payload.map_or(null_mut(), |payload| payload.as_ptr())
    }

    fn free(&mut self, payload: *mut u8) -> Result<(), Misuse> {
        // SAFETY: the tour does not use what it freed.
        unsafe { Heap::free(self, payload) }
    }

    fn can_trim(&self) -> bool {
        true
    }

    fn trim(&mut self) -> usize {
        Heap::trim(self, 0)
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        self.blocks().map(|block| Row { start: block.address, header: 0, size: block.size, state: block.state })
    }

    fn header(&self) -> Option<usize> {
        None
    }
}

/// The program break, or 0 if the kernel does not say.
pub(crate) fn program_break() -> usize {
    Linux.query().unwrap_or(0)
}
