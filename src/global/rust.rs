//! Requests of Rust programs: null for an error, and misuse by the heap's policy.

use super::Hmalloc;
use super::checked::Freed;
use super::turn::{ByHandle, Mine};
use crate::central::spans::OutOfMemory;
use crate::door::validate::{admit_seen, admit_slot};
use crate::global::lock::Lock;
use crate::ground::header::Slab;
use crate::ground::policy::Policy;
use crate::kernel::brk::Brk;
use crate::kernel::watchers::{TELLS, tell_allocated, tell_freed};
use crate::resize::ResizeError;
use crate::threads::handlers::PutOff;
use crate::work::Work;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};

// SAFETY: blocks are disjoint and as large and as aligned as their layout says; nothing here unwinds.
unsafe impl<L: Lock, B: Brk> GlobalAlloc for Hmalloc<L, B> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        told(or_null(self.allocate(layout)), layout)
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !TELLS {
            return or_null(self.allocate_zeroed(layout));
        }
        // The zeros are written after a watcher was told of the block.
        let block = told(or_null(self.allocate(layout)), layout);
        if !block.is_null() {
            // SAFETY: a new block of this layout.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    #[inline]
    unsafe fn dealloc(&self, payload: *mut u8, layout: Layout) {
        if TELLS {
            tell_freed(payload);
        }
        self.dealloc_by(self.enter(), None, payload.addr(), layout);
    }

    #[inline]
    unsafe fn realloc(&self, payload: *mut u8, old: Layout, new_size: usize) -> *mut u8 {
        let Ok(new) = Layout::from_size_align(new_size, old.align()) else { return null_mut() };
        if TELLS {
            // SAFETY: the caller's promise.
            return unsafe { self.moved(payload, old, new) };
        }
        self.realloc_by(self.enter(), None, payload, old, new)
    }
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// Resizes a block by moving it, so that a watcher sees which bytes were written.
    ///
    /// # Safety
    ///
    /// As for [`GlobalAlloc::realloc`].
    unsafe fn moved(&self, payload: *mut u8, old: Layout, new: Layout) -> *mut u8 {
        // SAFETY: a new block is as long as it was asked for, and the old one by the caller's promise.
        unsafe {
            let block = self.alloc(new);
            if !block.is_null() {
                block.copy_from_nonoverlapping(payload, old.size().min(new.size()));
                self.dealloc(payload, old);
            }
            block
        }
    }

    /// Frees a block of this layout; the policy decides about a misuse.
    #[inline(always)]
    pub(super) fn dealloc_by(&self, mine: Option<Mine<'_>>, by: ByHandle<'_>, address: usize, layout: Layout) {
        let Some(mine) = mine else { return self.dealloc_beside(by, address, layout) };
        match admit_seen(self.lookup(), address) {
            Some(seen) if mine.owns(seen.slot.slab) && seen.slot.fits_closely(address, layout) => {
                if seen.free() {
                    return self.review(mine, by, seen.slot.slab);
                }
                mine.leave();
            }
            Some(seen) => self.dealloc_shared(mine, by, seen.slot.slab, address, layout),
            None => self.dealloc_from(mine, by, address, layout),
        }
    }

    /// Resizes a block of the layout `old`, in place if possible; the policy decides about a misuse, and then the answer is
    /// null, as if there were no memory. The caller does not use the block any more, unless the answer is null or its address.
    #[inline(always)]
    pub(super) fn realloc_by(
        &self,
        mine: Option<Mine<'_>>,
        by: ByHandle<'_>,
        payload: *mut u8,
        old: Layout,
        new: Layout,
    ) -> *mut u8 {
        let Some(mine) = mine else { return self.realloc_beside(by, payload, old, new) };
        let address = payload.addr();
        match admit_slot(self.lookup(), address) {
            Some(slot)
                if mine.owns(slot.slab) && slot.fits_closely(address, old) && slot.fits_closely(address, new) =>
            {
                mine.leave();
                payload
            }
            _ => self.realloc_slow(mine, by, payload, old, new),
        }
    }

    /// Frees in the caller's tier if that is found on a second look, or in the central part.
    #[cold]
    #[inline(never)]
    fn dealloc_beside(&self, by: ByHandle<'_>, address: usize, layout: Layout) {
        if let Some(checked) = self.checked() {
            match self.checked_free(checked, address, Some(layout)) {
                Freed::Done => return,
                Freed::Wrong(misuse) => return self.policy().apply("free", &misuse),
                Freed::Unchecked => {
                    let freed = self.free_sized_unchecked(address, layout);
                    return freed.unwrap_or_else(|misuse| self.policy().apply("free", &misuse));
                }
            }
        }
        match by.map_or_else(|| self.enter_beside(), |_| None) {
            Some(mine) => self.dealloc_slow(mine, by, address, layout),
            None => self.dealloc_centrally(by, address, layout),
        }
    }

    /// Frees a slot of `slab`, which is another thread's, or in which others have freed slots; or which `layout` does not fit.
    #[inline(never)]
    fn dealloc_shared(&self, mine: Mine<'_>, by: ByHandle<'_>, slab: Slab, address: usize, layout: Layout) {
        if !slab.fits_closely(address, layout) {
            mine.leave();
            return self.dealloc_centrally(by, address, layout);
        }
        if !self.free_shared(mine, by, slab, address) {
            self.dealloc_centrally(by, address, layout);
        }
    }

    #[inline(never)]
    fn dealloc_slow(&self, mine: Mine<'_>, by: ByHandle<'_>, address: usize, layout: Layout) {
        match admit_slot(self.lookup(), address) {
            Some(slot) => self.dealloc_shared(mine, by, slot.slab, address, layout),
            None => self.dealloc_from(mine, by, address, layout),
        }
    }

    /// Frees what is no slot, or one in a region: in the central part. What that does not free at once takes the longer way.
    #[inline(never)]
    fn dealloc_from(&self, mine: Mine<'_>, by: ByHandle<'_>, address: usize, layout: Layout) {
        let free =
            |work: &mut Work<'_, B>| work.free_filled(address, layout) || work.free_fitting(address, layout).is_ok();
        let freed = self.in_center_from(mine, by, free);
        if freed != Some(true) {
            self.dealloc_centrally(by, address, layout);
        }
    }

    #[cold]
    #[inline(never)]
    fn dealloc_centrally(&self, by: ByHandle<'_>, address: usize, layout: Layout) {
        if self.free_in_handler(address) || self.free_alone(address) {
            return;
        }
        let wanted = self.policy() != Policy::Ignore;
        let misuse = self.in_center(by, |work| match work.free_fitting(address, layout) {
            Err(unfit) if wanted => Some(work.explain_unfit(address, unfit)),
            _ => None,
        });
        match misuse {
            Some(Some(misuse)) => self.policy().apply("free", &misuse),
            Some(None) => {}
            None => self.put_off(PutOff::Free(address)),
        }
    }

    #[cold]
    #[inline(never)]
    fn realloc_beside(&self, by: ByHandle<'_>, payload: *mut u8, old: Layout, new: Layout) -> *mut u8 {
        if let Some(checked) = self.checked() {
            // SAFETY: the caller of `realloc` does not use the old block any more.
            return match unsafe { self.checked_resize(checked, payload.addr(), Some(old), new) } {
                Ok(moved) => moved.as_ptr(),
                Err(ResizeError::OutOfMemory) => null_mut(),
                Err(ResizeError::Misuse(misuse)) => {
                    self.policy().apply("realloc", &misuse);
                    null_mut()
                }
            };
        }
        match by.map_or_else(|| self.enter_beside(), |_| None) {
            Some(mine) => self.realloc_slow(mine, by, payload, old, new),
            None => self.realloc_centrally(by, payload, old, new),
        }
    }

    /// Moves a slot of the caller's tier to another, or does what that cannot.
    #[inline(never)]
    fn realloc_slow(&self, mine: Mine<'_>, by: ByHandle<'_>, payload: *mut u8, old: Layout, new: Layout) -> *mut u8 {
        let address = payload.addr();
        let slot = admit_slot(self.lookup(), address).filter(|slot| slot.fits_closely(address, old));
        let moved = match slot {
            // SAFETY: the caller of `realloc` does not use the old block any more.
            Some(_) => unsafe { self.resize_alone(mine, by, address, new) },
            // SAFETY: as above.
            None => unsafe {
                self.resize_after(mine, by, |work| work.begin_resize_fitting(address, old, new).ok()?.ok())
            },
        };
        moved.map_or_else(|| self.realloc_centrally(by, payload, old, new), NonNull::as_ptr)
    }

    #[cold]
    #[inline(never)]
    fn realloc_centrally(&self, by: ByHandle<'_>, payload: *mut u8, old: Layout, new: Layout) -> *mut u8 {
        // SAFETY: the caller of `realloc` does not use the old block any more.
        if let Some(moved) = unsafe { self.resize_alone_or_inside(payload.addr(), new) } {
            return or_null(moved);
        }
        let wanted = self.policy() != Policy::Ignore;
        let begin = || {
            let begun = self.in_center(by, |work| match work.begin_resize_fitting(payload.addr(), old, new) {
                Ok(begun) => begun.map(Ok),
                Err(unfit) => Ok(Err(wanted.then(|| work.explain_unfit(payload.addr(), unfit)))),
            });
            begun.transpose()
        };
        match self.or_after_hook(new, begin) {
            // SAFETY: the caller of `realloc` does not use the old block any more.
            Ok(Some(Ok(begun))) => unsafe { self.complete(by, begun) }.as_ptr(),
            // SAFETY: as above.
            Ok(None) if cfg!(feature = "threads") => or_null(unsafe { self.resize_unlocked(payload.addr(), new) }),
            Err(OutOfMemory) | Ok(None | Some(Err(None))) => null_mut(),
            Ok(Some(Err(Some(misuse)))) => {
                self.policy().apply("realloc", &misuse);
                null_mut()
            }
        }
    }
}

/// Tells whoever watches of a new block.
#[inline(always)]
fn told(block: *mut u8, layout: Layout) -> *mut u8 {
    if TELLS && !block.is_null() {
        tell_allocated(block, layout.size());
    }
    block
}

fn or_null<E>(result: Result<NonNull<u8>, E>) -> *mut u8 {
    result.map_or(null_mut(), NonNull::as_ptr)
}
