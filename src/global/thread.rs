//! Handles: a thread's own part of a heap, chosen by hand.

use super::Hmalloc;
use super::turn::{Entered, Mine};
use crate::central::spans::OutOfMemory;
use crate::door::misuse::Misuse;
use crate::global::lock::Lock;
use crate::ground::company::if_threads;
use crate::kernel::brk::Brk;
use crate::resize::ResizeError;
use crate::threads::OwnTier;
use crate::threads::own::BY_HANDLE;
use core::alloc::Layout;
use core::marker::PhantomData;
use core::ptr::NonNull;

/// A thread's own part of a heap: its calls take no lock for small blocks, wherever threads cannot be told apart by their
/// thread pointers, as in programs without a libc. Blocks may be freed by any thread, through its handle or the heap.
///
/// A handle stays with the thread that made it. When it is dropped, what it holds is left to the next one. If the heap has
/// no memory for one, or does not know threads, calls take turns as those of the heap do.
///
/// ```
/// # use core::alloc::Layout;
/// # static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
/// std::thread::spawn(|| {
///     let mine = HEAP.thread();
///     let block = mine.allocate(Layout::new::<[u64; 4]>())?;
///     // SAFETY: nothing uses the block any more.
///     unsafe { mine.free(block.as_ptr()) }.unwrap();
///     Ok::<(), hmalloc::OutOfMemory>(())
/// })
/// # .join().unwrap().unwrap();
/// ```
///
/// It cannot be sent:
///
/// ```compile_fail,E0277
/// # static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
/// let mine = HEAP.thread();
/// std::thread::spawn(move || drop(mine));
/// ```
#[derive(Debug)]
pub struct ThreadHeap<'a, L: Lock, B: Brk> {
    pub(super) heap: &'a Hmalloc<L, B>,
    own: Option<Own<'a>>,
    /// Neither sent nor shared: the tier is used by one thread.
    stays: PhantomData<*mut ()>,
}

/// The tier of a handle.
struct Own<'a>(&'a OwnTier);

impl core::fmt::Debug for Own<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Own").field(&self.0.number()).finish()
    }
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// A handle with which the calling thread uses the heap without a lock.
    #[must_use]
    pub fn thread(&self) -> ThreadHeap<'_, L, B> {
        let own = if L::ALONE { None } else { self.tier_for_handle() };
        ThreadHeap { heap: self, own: own.map(Own), stays: PhantomData }
    }
}

impl<L: Lock, B: Brk> ThreadHeap<'_, L, B> {
    /// Its tier. Without one its calls are the heap's own, which ask whether that is in checked mode: such a heap has no handles
    /// with tiers.
    #[inline(always)]
    pub(super) fn by(&self) -> Option<&OwnTier> {
        if_threads(self.own.as_ref().map(|own| own.0))
    }

    #[inline(always)]
    pub(super) fn enter(&self) -> Option<Entered<'_>> {
        let Some(own) = self.by() else { return self.heap.enter() };
        Entered::begin(own, BY_HANDLE)
    }

    /// [`enter`](Self::enter) where more than the common path follows.
    #[inline(always)]
    fn enter_slow(&self) -> Option<Mine<'_>> {
        self.enter().map(|entered| entered.mine)
    }

    /// [`Heap::allocate`](crate::Heap::allocate).
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    #[inline]
    pub fn allocate(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        self.heap.allocate_by::<true>(self.enter(), self.by(), layout)
    }

    /// [`Heap::allocate_zeroed`](crate::Heap::allocate_zeroed).
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    pub fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        let Some(by) = self.by() else { return self.heap.allocate_zeroed(layout) };
        self.heap.allocate_zeroed_by(self.enter_slow(), Some(by), layout)
    }

    /// [`Heap::free`](crate::Heap::free), of a block of any thread.
    ///
    /// # Errors
    ///
    /// The [`Misuse`].
    ///
    /// # Safety
    ///
    /// As for [`Heap::free`](crate::Heap::free).
    #[inline]
    pub unsafe fn free(&self, payload: *mut u8) -> Result<(), Misuse> {
        let mut result = Ok(());
        self.heap.free_by::<true>(self.enter(), self.by(), payload.addr(), || true, |misuse| result = Err(*misuse));
        result
    }

    /// [`Heap::free_sized`](crate::Heap::free_sized), of a block of any thread.
    ///
    /// # Errors
    ///
    /// The [`Misuse`].
    ///
    /// # Safety
    ///
    /// As for [`Heap::free`](crate::Heap::free).
    pub unsafe fn free_sized(&self, payload: *mut u8, layout: Layout) -> Result<(), Misuse> {
        let Some(by) = self.by() else {
            // SAFETY: the caller's promise.
            return unsafe { self.heap.free_sized(payload, layout) };
        };
        self.heap.free_sized_by(self.enter_slow(), Some(by), payload.addr(), layout)
    }

    /// [`Heap::resize`](crate::Heap::resize), of a block of any thread.
    ///
    /// # Errors
    ///
    /// [`ResizeError`].
    ///
    /// # Safety
    ///
    /// As for [`Heap::resize`](crate::Heap::resize).
    pub unsafe fn resize(&self, payload: *mut u8, new: Layout) -> Result<NonNull<u8>, ResizeError> {
        let Some(by) = self.by() else {
            // SAFETY: the caller's promise.
            return unsafe { self.heap.resize(payload, new) };
        };
        // SAFETY: as above.
        unsafe { self.heap.resize_by(self.enter_slow(), Some(by), payload.addr(), new) }
    }

    /// [`Heap::usable_size`](crate::Heap::usable_size), of a block of any thread.
    ///
    /// # Errors
    ///
    /// The [`Misuse`].
    pub fn usable_size(&self, payload: *const u8) -> Result<usize, Misuse> {
        let Some(by) = self.by() else { return self.heap.usable_size(payload) };
        self.heap.usable_size_by(self.enter_slow(), Some(by), payload.addr())
    }
}

impl<L: Lock, B: Brk> Drop for ThreadHeap<'_, L, B> {
    fn drop(&mut self) {
        if let Some(own) = &self.own {
            self.heap.leave_tier(own.0);
        }
    }
}
