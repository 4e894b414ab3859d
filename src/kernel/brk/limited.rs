//! A source with a limit.

use super::{Brk, Refused, Source};
use core::ops::Range;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

/// Another source, which hands out at most a given number of bytes at a time.
///
/// What counts is memory from the kernel, whether blocks live in it or not: what the break was raised by, mappings, metadata
/// and its guards, and the tiers of threads, as in [`Stats::heap_bytes`](crate::Stats::heap_bytes). Beyond that, the source
/// refuses, and a request for which the heap needs more is answered by [`OutOfMemory`](crate::OutOfMemory). Near the limit
/// the heap takes memory in smaller steps, so that of a limit of some MiB 95 % can be used for blocks that fit their slots.
/// An empty heap needs 16 KiB for its first metadata, and each size class 16 KiB more; one whose threads have tiers 76 KiB for
/// the first ones.
///
/// ```
/// use hmalloc::brk::{Automatic, Limited};
/// use hmalloc::{Futex, Hmalloc};
///
/// static HEAP: Hmalloc<Futex, Limited<Automatic>> = Hmalloc::with_source(Limited::new(Automatic::new(), 8 << 20));
/// let layout = core::alloc::Layout::from_size_align(9 << 20, 1).unwrap();
/// assert!(HEAP.allocate(layout).is_err());
/// ```
#[derive(Debug)]
pub struct Limited<B> {
    source: B,
    /// Bytes that may be handed out.
    limit: AtomicUsize,
    /// Bytes that are handed out.
    used: AtomicUsize,
}

impl<B> Limited<B> {
    /// `source`, of which at most `limit` bytes are handed out at a time.
    #[must_use]
    pub const fn new(source: B, limit: usize) -> Self {
        Self { source, limit: AtomicUsize::new(limit), used: AtomicUsize::new(0) }
    }

    /// The most bytes that are handed out at a time.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    /// Sets another limit. If more is handed out already, that stays, and no more is added.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Relaxed);
    }

    /// Bytes that are handed out now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Does `step`, which hands out `bytes` bytes, within the limit.
    fn hand_out<T>(&mut self, bytes: usize, step: impl FnOnce(&mut B) -> Result<T, Refused>) -> Result<T, Refused> {
        let used = self.used().checked_add(bytes).filter(|&used| used <= self.limit()).ok_or(Refused)?;
        let result = step(&mut self.source)?;
        self.used.store(used, Relaxed);
        Ok(result)
    }

    /// Does `step`, which takes `bytes` bytes back.
    fn take_back(&mut self, bytes: usize, step: impl FnOnce(&mut B) -> Result<(), Refused>) -> Result<(), Refused> {
        step(&mut self.source)?;
        self.used.store(self.used().saturating_sub(bytes), Relaxed);
        Ok(())
    }
}

// SAFETY: everything is passed on to a source that keeps the trait's promises, or refused.
unsafe impl<B: Brk> Brk for Limited<B> {
    fn query(&self) -> Result<usize, Refused> {
        self.source.query()
    }

    unsafe fn move_break(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        if to > from {
            // SAFETY: the caller's promise.
            self.hand_out(to - from, |source| unsafe { source.move_break(from, to) })
        } else {
            // SAFETY: the caller's promise.
            self.take_back(from - to, |source| unsafe { source.move_break(from, to) })
        }
    }

    fn map(&mut self, bytes: usize) -> Result<usize, Refused> {
        self.hand_out(bytes, |source| source.map(bytes))
    }

    fn room(&mut self) -> Result<Range<usize>, Refused> {
        self.source.room()
    }

    fn map_at(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        self.hand_out(bytes, |source| source.map_at(start, bytes))
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        self.take_back(bytes, |source| unsafe { source.unmap(start, bytes) })
    }

    unsafe fn release(&mut self) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        self.take_back(usize::MAX, |source| unsafe { source.release() })
    }

    unsafe fn discard(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { self.source.discard(start, bytes) }
    }

    unsafe fn relocate(&mut self, from: usize, to: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { self.source.relocate(from, to, bytes) }
    }

    unsafe fn seal(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { self.source.seal(start, bytes) }
    }

    unsafe fn unseal(&mut self, start: usize, bytes: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.source.unseal(start, bytes) }
    }

    unsafe fn reopen(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { self.source.reopen(start, bytes) }
    }

    fn expect_use(&mut self, start: usize, bytes: usize) {
        self.source.expect_use(start, bytes);
    }

    fn is_locked(&mut self, start: usize) -> bool {
        self.source.is_locked(start)
    }

    fn is_resident(&mut self, start: usize) -> bool {
        self.source.is_resident(start)
    }

    fn now(&self) -> Option<u64> {
        self.source.now()
    }

    fn page_size(&self) -> usize {
        self.source.page_size()
    }

    fn source(&self) -> Source {
        self.source.source()
    }
}
