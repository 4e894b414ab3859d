//! A heap's own functions, in turn with other threads. Errors are returned or passed to the caller's function.

use super::{Hmalloc, end};
use crate::central::spans::OutOfMemory;
use crate::door::misuse::Misuse;
use crate::ground::contents::Unfilled;
use crate::ground::lock::{Lock, Turn};
use crate::heap::Heap;
use crate::kernel::brk::Brk;
use crate::resize::{Begun, ResizeError};
use core::alloc::Layout;
use core::ptr::NonNull;

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// [`Heap::allocate`] in turn with other threads.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    #[inline(always)]
    pub fn allocate(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        if !self.lock.try_lock() {
            return self.allocate_contended(layout);
        }
        // SAFETY: it is the caller's turn.
        let Some(payload) = unsafe { &mut *self.heap.get() }.allocate_common(layout) else {
            return self.allocate_slow(layout);
        };
        // SAFETY: as above.
        if unsafe { self.lock.unlock() } {
            return self.wake_for(Ok(payload));
        }
        Ok(payload)
    }

    #[cold]
    #[inline(never)]
    fn allocate_contended(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        self.end_with(self.lock.wait(), |heap| heap.allocate(layout))
    }

    #[inline(never)]
    fn allocate_slow(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        self.end_with(Turn::Taken, |heap| heap.allocate_slow(layout))
    }

    /// [`Heap::allocate_zeroed`] in turn with other threads, which do not wait for the zeros to be written.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    pub fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        self.in_turn(|heap| heap.allocate_unfilled(layout)).map(Unfilled::fill)
    }

    /// [`Heap::free`] in turn with other threads. A misuse is passed to `misused`; the heap's own policy is not asked.
    ///
    /// # Safety
    ///
    /// As for [`Heap::free`].
    #[inline(always)]
    pub unsafe fn free(&self, payload: *mut u8, misused: impl FnOnce(&Misuse)) {
        // SAFETY: the caller's promise.
        unsafe { self.free_reporting(payload, || true, misused) }
    }

    /// [`free`](Self::free), but a misuse is explained only if `wanted` returns that this is wanted. `wanted` must not
    /// use the heap.
    ///
    /// # Safety
    ///
    /// As for [`Heap::free`].
    #[inline(always)]
    pub unsafe fn free_reporting(
        &self,
        payload: *mut u8,
        wanted: impl FnOnce() -> bool,
        misused: impl FnOnce(&Misuse),
    ) {
        if !self.lock.try_lock() {
            return self.free_contended(payload.addr(), wanted, misused);
        }
        // SAFETY: it is the caller's turn.
        match unsafe { &*self.heap.get() }.slot_at(payload.addr()) {
            Some(slot) if slot.free() => self.review(slot.slab),
            Some(_) => end(&self.lock, Turn::Taken),
            None => self.free_slow(payload.addr(), wanted, misused),
        }
    }

    #[cold]
    #[inline(never)]
    fn free_contended(&self, address: usize, wanted: impl FnOnce() -> bool, misused: impl FnOnce(&Misuse)) {
        self.finish_free(self.lock.wait(), address, wanted, misused);
    }

    #[inline(never)]
    fn free_slow(&self, address: usize, wanted: impl FnOnce() -> bool, misused: impl FnOnce(&Misuse)) {
        self.finish_free(Turn::Taken, address, wanted, misused);
    }

    #[inline(always)]
    fn finish_free(&self, turn: Turn, address: usize, wanted: impl FnOnce() -> bool, misused: impl FnOnce(&Misuse)) {
        let explain = |heap: &Heap<B>| wanted().then(|| heap.explain(address));
        if let Some(misuse) = self.end_with(turn, |heap| if heap.free_live_at(address) { None } else { explain(heap) })
        {
            misused(&misuse);
        }
    }

    /// [`Heap::free_sized`] in turn with other threads. The heap's own policy is not asked.
    ///
    /// # Errors
    ///
    /// The [`Misuse`].
    ///
    /// # Safety
    ///
    /// As for [`Heap::free_sized`].
    pub unsafe fn free_sized(&self, payload: *mut u8, layout: Layout) -> Result<(), Misuse> {
        // SAFETY: the caller's promise.
        self.in_turn(|heap| unsafe { heap.free_sized(payload, layout) })
    }

    /// [`Heap::resize`] in turn with other threads, which do not wait for the content of a large block to be copied. The
    /// heap's own policy is not asked.
    ///
    /// # Errors
    ///
    /// [`ResizeError`].
    ///
    /// # Safety
    ///
    /// As for [`Heap::resize`].
    pub unsafe fn resize(&self, payload: *mut u8, new: Layout) -> Result<NonNull<u8>, ResizeError> {
        let begun = self.in_turn(|heap| heap.begin_resize(payload.addr(), new))?;
        // SAFETY: the caller's promise.
        Ok(unsafe { self.complete(begun) })
    }

    /// Completes a resize that has begun: copies outside of any turn, and frees the old block in a second one.
    ///
    /// # Safety
    ///
    /// As for [`Heap::resize`].
    pub(super) unsafe fn complete(&self, begun: Begun) -> NonNull<u8> {
        let (moving, old) = match begun {
            Begun::Done(payload) => return payload,
            Begun::Moving(moving, old) => (moving, old),
        };
        // SAFETY: the caller's promise.
        unsafe { moving.copy() };
        self.in_turn(|heap| heap.finish_resize(old));
        moving.to
    }

    /// [`Heap::usable_size`] in turn with other threads.
    ///
    /// # Errors
    ///
    /// The [`Misuse`].
    pub fn usable_size(&self, payload: *const u8) -> Result<usize, Misuse> {
        self.in_turn(|heap| heap.usable_size(payload))
    }
}
