//! Heaps that come and go: one for each request, tenant or phase, all of whose memory is given back at once.

mod construct;

use crate::central::spans::OutOfMemory;
use crate::door::block::Block;
use crate::door::misuse::Misuse;
use crate::global::alone::Unshared;
use crate::global::futex::Futex;
use crate::global::lock::Lock;
use crate::global::{HeapMap, Hmalloc};
use crate::ground::corrupt::Corruption;
use crate::ground::policy::Policy;
use crate::kernel::brk::{Brk, Limited, Reserved};
use crate::look::histogram::Histogram;
use crate::look::stats::Stats;
use crate::resize::ResizeError;
use core::alloc::Layout;
use core::ptr::NonNull;

/// A heap of which all memory goes back to the kernel when it is dropped or [reset](Self::reset), whatever was allocated from
/// it and not freed. There may be thousands at a time.
///
/// [`LocalHeap`] and [`SharedHeap`] are the two kinds. They are meant to be used through an `Allocator` trait (cargo features
/// `allocator-api2` and `allocator-api2-04`, or `--cfg hmalloc_nightly`), which is implemented for `&LocalHeap` and
/// `&SharedHeap`: `Vec::new_in(&heap)` borrows its heap, so it cannot outlive it, and the compiler refuses to reset or drop a
/// heap that is in use.
///
/// ```
/// use core::alloc::Layout;
/// use hmalloc::LocalHeap;
///
/// let mut heap = LocalHeap::new();
/// for request in 0..3 {
///     for size in 0..100 {
///         heap.allocate(Layout::from_size_align(size, 1).unwrap())?;
///     }
///     assert_eq!(heap.stats().live_blocks, 100);
///     heap.reset(); // Nothing has to be freed.
///     assert_eq!(heap.stats().heap_bytes, 0);
/// }
/// # Ok::<(), hmalloc::OutOfMemory>(())
/// ```
///
/// A heap takes some 8 KiB where it stands, and 4 GiB of addresses. With its first block it has 272 KiB from the kernel, of
/// which it touches the pages that it uses, and has made 3 or 4 system calls. When it is dropped it makes one, and one more for
/// each region if it was larger than its addresses; how long that takes depends on how much memory the kernel takes back: for
/// 30 MB some 2 milliseconds. Blocks are checked as in any heap: freeing a block of another heap is a misuse of this one. The
/// addresses of dropped heaps are used again, so a pointer that outlived one may be taken for a block of a later heap.
///
/// In a child of `fork` it is a copy, as the rest of the parent's memory. A signal handler must not use it if it may have
/// interrupted a call to it.
#[derive(Debug)]
pub struct ScopedHeap<L: Lock, B: Brk> {
    pub(crate) heap: Hmalloc<L, B>,
}

/// A [heap that comes and goes](ScopedHeap), for one thread at a time: it takes no lock. It can be sent to another thread while
/// nothing borrows it, and it cannot be shared:
///
/// ```compile_fail,E0277
/// let heap = hmalloc::LocalHeap::new();
/// std::thread::scope(|scope| {
///     scope.spawn(|| heap.stats());
/// });
/// ```
pub type LocalHeap<B = Reserved> = ScopedHeap<Unshared, B>;

/// A [heap that comes and goes](ScopedHeap), for any number of threads, which take turns by a lock. From the 31st lock of a
/// process on, heaps share one.
///
/// ```
/// let heap = hmalloc::SharedHeap::new();
/// std::thread::scope(|scope| {
///     for _ in 0..2 {
///         scope.spawn(|| heap.allocate(core::alloc::Layout::new::<u64>()).unwrap().addr());
///     }
/// });
/// assert_eq!(heap.stats().live_blocks, 2);
/// ```
pub type SharedHeap<B = Reserved> = ScopedHeap<Futex, B>;

impl<L: Lock, B: Brk> ScopedHeap<L, B> {
    /// This heap with another policy for misuse than to abort.
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        self.heap.set_policy(policy);
        self
    }

    /// This heap with a function that is called before a request fails: see [`Hmalloc::with_hook`].
    #[must_use]
    #[cfg(feature = "limits")]
    pub const fn with_hook(mut self, hook: fn(Layout) -> bool) -> Self {
        self.heap.set_hook(hook);
        self
    }

    /// Gives all memory back to the kernel, whatever number of blocks there is, and begins anew: one system call, and one more
    /// for each region. The counts of [`stats`](Self::stats) begin anew, too.
    pub fn reset(&mut self) {
        // SAFETY: nothing borrows this value, and blocks are used only while it is borrowed.
        unsafe { self.heap.heap_mut().release() }
    }

    /// [`Hmalloc::allocate`]. The block is valid until it is freed, or this value is reset or dropped.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    #[inline]
    pub fn allocate(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        self.heap.allocate(layout)
    }

    /// [`Hmalloc::allocate_zeroed`].
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    pub fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        self.heap.allocate_zeroed(layout)
    }

    /// Frees a block. The heap's policy is not asked.
    ///
    /// # Errors
    ///
    /// The [`Misuse`], if no live block of this heap starts there.
    ///
    /// # Safety
    ///
    /// As for [`Heap::free`](crate::Heap::free).
    #[inline]
    pub unsafe fn free(&self, payload: *mut u8) -> Result<(), Misuse> {
        let mut result = Ok(());
        // SAFETY: the caller's promise.
        unsafe { self.heap.free(payload, |misuse| result = Err(*misuse)) };
        result
    }

    /// [`Hmalloc::free_sized`].
    ///
    /// # Errors
    ///
    /// The [`Misuse`].
    ///
    /// # Safety
    ///
    /// As for [`Heap::free`](crate::Heap::free).
    pub unsafe fn free_sized(&self, payload: *mut u8, layout: Layout) -> Result<(), Misuse> {
        // SAFETY: the caller's promise.
        unsafe { self.heap.free_sized(payload, layout) }
    }

    /// [`Hmalloc::resize`].
    ///
    /// # Errors
    ///
    /// [`ResizeError`].
    ///
    /// # Safety
    ///
    /// As for [`Heap::resize`](crate::Heap::resize).
    pub unsafe fn resize(&self, payload: *mut u8, new: Layout) -> Result<NonNull<u8>, ResizeError> {
        // SAFETY: the caller's promise.
        unsafe { self.heap.resize(payload, new) }
    }

    /// [`Hmalloc::usable_size`].
    ///
    /// # Errors
    ///
    /// The [`Misuse`].
    pub fn usable_size(&self, payload: *const u8) -> Result<usize, Misuse> {
        self.heap.usable_size(payload)
    }

    /// [`Hmalloc::stats`].
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.heap.stats()
    }

    /// [`Hmalloc::check`].
    ///
    /// # Errors
    ///
    /// The first [`Corruption`] found.
    pub fn check(&self) -> Result<(), Corruption> {
        self.heap.check()
    }

    /// [`Hmalloc::trim`].
    pub fn trim(&self, keep: usize) -> usize {
        self.heap.trim(keep)
    }

    /// [`Hmalloc::histogram`].
    #[must_use]
    pub fn histogram(&self) -> Histogram {
        self.heap.histogram()
    }

    /// [`Hmalloc::map`].
    #[must_use]
    pub fn map(&self) -> HeapMap<'_, L, B> {
        self.heap.map()
    }

    /// [`Hmalloc::snapshot`].
    pub fn snapshot(&self, into: &mut [Block]) -> usize {
        self.heap.snapshot(into)
    }
}

impl<L: Lock, B: Brk> ScopedHeap<L, Limited<B>> {
    /// [`Hmalloc::set_limit`].
    pub fn set_limit(&self, bytes: usize) {
        self.heap.set_limit(bytes);
    }
}

impl<L: Lock, B: Brk> Drop for ScopedHeap<L, B> {
    fn drop(&mut self) {
        self.reset();
    }
}
