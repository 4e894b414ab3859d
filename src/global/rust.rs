//! Requests of Rust programs: null for an error, and misuse by the heap's policy.

use super::{Hmalloc, end};
use crate::central::spans::OutOfMemory;
use crate::ground::lock::{Lock, Turn};
use crate::ground::policy::Policy;
use crate::kernel::brk::Brk;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};

// SAFETY: blocks are disjoint and as large and as aligned as their layout says; nothing here unwinds.
unsafe impl<L: Lock, B: Brk> GlobalAlloc for Hmalloc<L, B> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        or_null(self.allocate(layout))
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        or_null(self.allocate_zeroed(layout))
    }

    #[inline]
    unsafe fn dealloc(&self, payload: *mut u8, layout: Layout) {
        if !self.lock.try_lock() {
            return self.dealloc_contended(payload.addr(), layout);
        }
        // SAFETY: it is the caller's turn.
        match unsafe { &*self.heap.get() }.common_slot(payload.addr(), layout) {
            Some(slot) if slot.free() => self.review(slot.slab),
            Some(_) => end(&self.lock, Turn::Taken),
            None => self.dealloc_slow(payload.addr(), layout),
        }
    }

    #[inline]
    unsafe fn realloc(&self, payload: *mut u8, old: Layout, new_size: usize) -> *mut u8 {
        let Ok(new) = Layout::from_size_align(new_size, old.align()) else { return null_mut() };
        if !self.lock.try_lock() {
            return self.realloc_contended(payload, old, new);
        }
        // SAFETY: it is the caller's turn.
        if !unsafe { &*self.heap.get() }.resize_common(payload, old, new) {
            return self.realloc_slow(payload, old, new);
        }
        // SAFETY: as above.
        if unsafe { self.lock.unlock() } {
            return self.wake_for(payload);
        }
        payload
    }
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    #[cold]
    #[inline(never)]
    fn dealloc_contended(&self, address: usize, layout: Layout) {
        self.finish_dealloc(self.lock.wait(), address, layout);
    }

    #[inline(never)]
    fn dealloc_slow(&self, address: usize, layout: Layout) {
        self.finish_dealloc(Turn::Taken, address, layout);
    }

    #[inline(always)]
    fn finish_dealloc(&self, turn: Turn, address: usize, layout: Layout) {
        let wanted = self.policy != Policy::Ignore;
        let misuse = self.end_with(turn, |heap| match heap.free_fitting(address, layout) {
            Err(unfit) if wanted => Some(heap.explain_unfit(address, unfit)),
            _ => None,
        });
        if let Some(misuse) = misuse {
            self.policy.apply("free", &misuse);
        }
    }

    #[inline(never)]
    fn realloc_slow(&self, payload: *mut u8, old: Layout, new: Layout) -> *mut u8 {
        self.finish_realloc(Turn::Taken, payload, old, new)
    }

    #[cold]
    #[inline(never)]
    fn realloc_contended(&self, payload: *mut u8, old: Layout, new: Layout) -> *mut u8 {
        self.finish_realloc(self.lock.wait(), payload, old, new)
    }

    #[inline(always)]
    fn finish_realloc(&self, turn: Turn, payload: *mut u8, old: Layout, new: Layout) -> *mut u8 {
        let wanted = self.policy != Policy::Ignore;
        let begun = self.end_with(turn, |heap| {
            let begun = heap.begin_resize_fitting(payload.addr(), old, new);
            begun.map_err(|unfit| wanted.then(|| heap.explain_unfit(payload.addr(), unfit)))
        });
        match begun {
            // SAFETY: the caller of `realloc` does not use the old block any more.
            Ok(Ok(begun)) => unsafe { self.complete(begun) }.as_ptr(),
            Ok(Err(OutOfMemory)) | Err(None) => null_mut(),
            Err(Some(misuse)) => {
                self.policy.apply("realloc", &misuse);
                null_mut()
            }
        }
    }
}

fn or_null<E>(result: Result<NonNull<u8>, E>) -> *mut u8 {
    result.map_or(null_mut(), NonNull::as_ptr)
}
