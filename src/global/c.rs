//! Requests of C programs, and of Rust programs for zeroed blocks. Only their common path is inlined: whatever else there is to do is
//! one call, the last thing that a request does. So it saves no register, and looks at no result but a block. What is returned where
//! there is no block, the caller's function says.
//!
//! With results instead, `malloc` and `free` took 114 instructions with a program's loop, not 99; `calloc` and `free` 175, not 127; and
//! a `realloc` that leaves a block where it is 212, not 76; `malloc_usable_size` 73, not 53.

use super::Hmalloc;
use super::turn::{Mine, SizeAlign};
use crate::door::misuse::Misuse;
use crate::global::lock::Lock;
use crate::ground::size_class::{MIN_ALIGN, SizeClass};
use crate::kernel::brk::Brk;
use crate::kernel::parts::SPEED;
use crate::resize::ResizeError;
use crate::tier::slot::Slot;
use core::alloc::Layout;
use core::ptr::NonNull;

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// [`allocate`](Self::allocate); without memory, `refused` is called and gives the answer.
    #[doc(hidden)]
    #[inline(always)]
    pub fn allocate_or(&self, layout: Layout, refused: impl FnOnce() -> *mut u8) -> *mut u8 {
        let Some(mut entered) = self.enter() else { return Self::allocate_beside_or(layout.into(), self, refused) };
        if layout.align() <= MIN_ALIGN
            && let Some(payload) = entered.mine.tier(self).pop_of_size(layout.size())
        {
            entered.leave();
            return payload.as_ptr();
        }
        Self::allocate_slow_or(layout.into(), entered.mine, self, refused)
    }

    #[cold]
    #[inline(never)]
    fn allocate_beside_or(shape: SizeAlign, this: &Self, refused: impl FnOnce() -> *mut u8) -> *mut u8 {
        Self::allocate_beside(shape, None, this).map_or_else(|_| refused(), NonNull::as_ptr)
    }

    #[inline(never)]
    fn allocate_slow_or(shape: SizeAlign, mine: Mine<'_>, this: &Self, refused: impl FnOnce() -> *mut u8) -> *mut u8 {
        let is_usual = shape.layout().align() <= MIN_ALIGN;
        let allocate = if is_usual { Self::allocate_slow::<false> } else { Self::allocate_aligned::<false> };
        allocate(shape, mine, this).map_or_else(|_| refused(), NonNull::as_ptr)
    }

    /// [`allocate_zeroed`](Self::allocate_zeroed); without memory, `refused` is called and gives the answer.
    #[doc(hidden)]
    #[inline(always)]
    pub fn allocate_zeroed_or(&self, layout: Layout, refused: impl FnOnce() -> *mut u8) -> *mut u8 {
        if !SPEED {
            return self.allocate_zeroed(layout).map_or_else(|_| refused(), NonNull::as_ptr);
        }
        let Some(mut entered) = self.enter() else {
            return Self::allocate_zeroed_beside_or(layout.into(), self, refused);
        };
        if layout.align() <= MIN_ALIGN
            && let Some(class) = SizeClass::of_size(layout.size())
            && let Some(unfilled) = entered.mine.tier(self).pop_unfilled(class, layout.size())
        {
            entered.leave();
            return unfilled.fill().as_ptr();
        }
        Self::allocate_zeroed_slow_or(layout.into(), entered.mine, self, refused)
    }

    #[cold]
    #[inline(never)]
    fn allocate_zeroed_beside_or(shape: SizeAlign, this: &Self, refused: impl FnOnce() -> *mut u8) -> *mut u8 {
        this.allocate_zeroed(shape.layout()).map_or_else(|_| refused(), NonNull::as_ptr)
    }

    #[inline(never)]
    fn allocate_zeroed_slow_or(
        shape: SizeAlign,
        mine: Mine<'_>,
        this: &Self,
        refused: impl FnOnce() -> *mut u8,
    ) -> *mut u8 {
        this.allocate_zeroed_by(Some(mine), None, shape.layout()).map_or_else(|_| refused(), NonNull::as_ptr)
    }

    /// [`resize`](Self::resize); after an error, `failed` is called with it and gives the answer.
    ///
    /// # Safety
    ///
    /// As for [`Heap::resize`](crate::Heap::resize).
    #[doc(hidden)]
    #[inline(always)]
    pub unsafe fn resize_or(
        &self,
        payload: *mut u8,
        new: Layout,
        failed: impl FnOnce(ResizeError) -> *mut u8,
    ) -> *mut u8 {
        let Some(entered) = self.enter() else {
            // SAFETY: the caller's promise.
            return unsafe { Self::resize_beside_or(payload, new.into(), self, failed) };
        };
        let address = payload.addr();
        if let Some(span) = self.lookup().find_below_break(address) {
            // In the order of `dealloc_by`, and for its reason.
            let slab = span.as_slab_by_reciprocal();
            if entered.mine.owns(slab) && slab.fits_closely(address, new) && Slot::live_at(span, address).is_some() {
                entered.leave();
                return payload;
            }
        }
        // SAFETY: the caller's promise.
        unsafe { Self::resize_slow_or(payload, new.into(), entered.mine, self, failed) }
    }

    /// # Safety
    ///
    /// As for [`Heap::resize`](crate::Heap::resize).
    #[cold]
    #[inline(never)]
    unsafe fn resize_beside_or(
        payload: *mut u8,
        new: SizeAlign,
        this: &Self,
        failed: impl FnOnce(ResizeError) -> *mut u8,
    ) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { this.resize(payload, new.layout()) }.map_or_else(failed, NonNull::as_ptr)
    }

    /// # Safety
    ///
    /// As for [`Heap::resize`](crate::Heap::resize).
    #[inline(never)]
    unsafe fn resize_slow_or(
        payload: *mut u8,
        new: SizeAlign,
        mine: Mine<'_>,
        this: &Self,
        failed: impl FnOnce(ResizeError) -> *mut u8,
    ) -> *mut u8 {
        // SAFETY: the caller's promise.
        let resized = unsafe { this.resize_by(Some(mine), None, payload.addr(), new.layout()) };
        resized.map_or_else(failed, NonNull::as_ptr)
    }

    /// [`usable_size`](Self::usable_size). A misuse is `misused`'s to answer, which is called outside of all turns.
    #[doc(hidden)]
    #[inline(always)]
    pub fn usable_size_or(&self, payload: *const u8, misused: impl FnOnce(&Misuse) -> usize) -> usize {
        let Some(entered) = self.enter() else { return Self::usable_size_beside_or(payload, self, misused) };
        let address = payload.addr();
        if let Some(span) = self.lookup().find_below_break(address) {
            let slab = span.as_slab_by_reciprocal();
            if entered.mine.owns(slab) && Slot::live_at(span, address).is_some() {
                let size = slab.slot_size();
                entered.leave();
                return size;
            }
        }
        Self::usable_size_slow_or(address, entered.mine, self, misused)
    }

    #[cold]
    #[inline(never)]
    fn usable_size_beside_or(payload: *const u8, this: &Self, misused: impl FnOnce(&Misuse) -> usize) -> usize {
        this.usable_size(payload).unwrap_or_else(|misuse| misused(&misuse))
    }

    #[inline(never)]
    fn usable_size_slow_or(
        address: usize,
        mine: Mine<'_>,
        this: &Self,
        misused: impl FnOnce(&Misuse) -> usize,
    ) -> usize {
        this.usable_size_by(Some(mine), None, address).unwrap_or_else(|misuse| misused(&misuse))
    }
}
