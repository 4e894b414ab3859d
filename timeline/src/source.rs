//! Memory for a heap, with counts of what is asked of it, and a clock that the calls move on.

use hmalloc::brk::{Brk, Refused, Reserved, Source};
use std::ops::Range;

/// Addresses that are reserved. A larger heap goes on in regions.
const ADDRESSES: usize = if cfg!(target_pointer_width = "64") { 64 << 30 } else { 512 << 20 };

/// A [`Reserved`] break that counts.
#[derive(Debug)]
pub struct Counting {
    source: Reserved,
    /// Bytes by which the break was raised.
    pub raised: usize,
    /// Bytes by which it was lowered.
    pub lowered: usize,
    /// Bytes that were discarded or unmapped.
    pub returned: usize,
    /// Milliseconds.
    pub clock: u64,
}

impl Counting {
    /// A break that has not been raised yet.
    ///
    /// ```
    /// let heap = hmalloc::Heap::new(hmalloc_timeline::source::Counting::new());
    /// assert_eq!(heap.brk().raised, 0);
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self { source: Reserved::with_addresses(ADDRESSES), raised: 0, lowered: 0, returned: 0, clock: 0 }
    }
}

impl Default for Counting {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: everything is passed on to a source that keeps the trait's promises.
unsafe impl Brk for Counting {
    fn query(&self) -> Result<usize, Refused> {
        self.source.query()
    }

    unsafe fn move_break(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise, here and below.
        unsafe { self.source.move_break(from, to) }?;
        self.raised += to.saturating_sub(from);
        self.lowered += from.saturating_sub(to);
        Ok(())
    }

    fn map(&mut self, bytes: usize) -> Result<usize, Refused> {
        self.source.map(bytes)
    }

    fn room(&mut self) -> Result<Range<usize>, Refused> {
        self.source.room()
    }

    fn map_at(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        self.source.map_at(start, bytes)
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: as above.
        unsafe { self.source.unmap(start, bytes) }?;
        self.returned += bytes;
        Ok(())
    }

    unsafe fn release(&mut self) -> Result<(), Refused> {
        // SAFETY: as above.
        unsafe { self.source.release() }
    }

    unsafe fn discard(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: as above.
        unsafe { self.source.discard(start, bytes) }?;
        self.returned += bytes;
        Ok(())
    }

    unsafe fn relocate(&mut self, from: usize, to: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: as above.
        unsafe { self.source.relocate(from, to, bytes) }
    }

    unsafe fn seal(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: as above.
        unsafe { self.source.seal(start, bytes) }
    }

    unsafe fn unseal(&mut self, start: usize, bytes: usize) {
        // SAFETY: as above.
        unsafe { self.source.unseal(start, bytes) }
    }

    unsafe fn reopen(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: as above.
        unsafe { self.source.reopen(start, bytes) }
    }

    fn is_locked(&mut self, start: usize) -> bool {
        self.source.is_locked(start)
    }

    fn is_resident(&mut self, start: usize) -> bool {
        self.source.is_resident(start)
    }

    fn now(&self) -> Option<u64> {
        Some(self.clock)
    }

    fn page_size(&self) -> usize {
        self.source.page_size()
    }

    fn source(&self) -> Source {
        self.source.source()
    }
}
