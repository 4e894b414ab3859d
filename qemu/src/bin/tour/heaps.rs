//! What the tour needs of a heap: the two calls, and a look at every block.

use core::alloc::Layout;
use core::ptr::null_mut;
use hmalloc::brk::{Brk, Linux};
use hmalloc::stages::Stage;
use hmalloc::{BlockState, Heap, Misuse};

/// A stretch of the heap.
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
    fn take(&mut self, size: usize) -> *mut u8;

    /// Gives back what may or may not be a payload.
    fn give(&mut self, payload: *mut u8) -> Result<(), Misuse>;

    /// Lowers the break as far as it goes and says over how many bytes, where there is a call for it.
    fn trim(&mut self) -> Option<usize>;

    fn rows(&self) -> impl Iterator<Item = Row>;

    /// Bytes of the header in front of each payload. `None` for the production heap, whose small payloads lie in slabs.
    fn header(&self) -> Option<usize>;
}

/// A stage of the journal.
pub(crate) struct Milestone<S>(pub(crate) S);

impl<S: Stage<Source = Linux>> Shown for Milestone<S> {
    fn take(&mut self, size: usize) -> *mut u8 {
        // SAFETY: the tour writes to payloads only, and nobody else in this process moves the break.
        unsafe { self.0.hmalloc(size) }
    }

    fn give(&mut self, payload: *mut u8) -> Result<(), Misuse> {
        // SAFETY: the tour does not use what it gave back. The one address it gives that is no payload lies so deep in
        // a payload that a stage which believes it writes into that payload.
        unsafe { self.0.hfree(payload) };
        Ok(())
    }

    fn trim(&mut self) -> Option<usize> {
        None
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

/// The alignment that milestone 2 gives its payloads.
const ALIGN: usize = hmalloc::stages::s2_aligned::ALIGN;

impl Shown for Heap<Linux> {
    fn take(&mut self, size: usize) -> *mut u8 {
        let payload = Layout::from_size_align(size, ALIGN).ok().and_then(|layout| self.allocate(layout).ok());
        payload.map_or(null_mut(), |payload| payload.as_ptr())
    }

    fn give(&mut self, payload: *mut u8) -> Result<(), Misuse> {
        // SAFETY: the tour does not use what it gave back.
        unsafe { self.free(payload) }
    }

    fn trim(&mut self) -> Option<usize> {
        Some(Heap::trim(self, 0))
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        self.blocks().map(|block| Row { start: block.address, header: 0, size: block.size, state: block.state })
    }

    fn header(&self) -> Option<usize> {
        None
    }
}

/// Where the break stands, or 0 if the kernel does not say.
pub(crate) fn program_break() -> usize {
    Linux.query().unwrap_or(0)
}
