//! Requests of Rust programs: null for an error, and misuse by the heap's policy.

use super::Hmalloc;
use super::turn::Mine;
use crate::central::spans::OutOfMemory;
use crate::door::validate::{admit_seen, admit_slot};
use crate::global::lock::Lock;
use crate::ground::header::Slab;
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
        let address = payload.addr();
        let Some(mine) = self.enter() else { return self.dealloc_beside(address, layout) };
        match admit_seen(self.lookup(), address) {
            Some(seen) if mine.owns(seen.slot.slab) && seen.slot.fits_closely(address, layout) => {
                if seen.free() {
                    return self.review(mine, None, seen.slot.slab);
                }
                mine.leave();
            }
            Some(seen) => self.dealloc_shared(mine, seen.slot.slab, address, layout),
            None => self.dealloc_slow(mine, address, layout),
        }
    }

    #[inline]
    unsafe fn realloc(&self, payload: *mut u8, old: Layout, new_size: usize) -> *mut u8 {
        let Ok(new) = Layout::from_size_align(new_size, old.align()) else { return null_mut() };
        let Some(mine) = self.enter() else { return self.realloc_beside(payload, old, new) };
        let address = payload.addr();
        match admit_slot(self.lookup(), address) {
            Some(slot)
                if mine.owns(slot.slab) && slot.fits_closely(address, old) && slot.fits_closely(address, new) =>
            {
                mine.leave();
                payload
            }
            _ => self.realloc_slow(mine, payload, old, new),
        }
    }
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// Frees in the caller's tier if that is found on a second look, or in the central part.
    #[cold]
    #[inline(never)]
    fn dealloc_beside(&self, address: usize, layout: Layout) {
        match self.enter_beside() {
            Some(mine) => self.dealloc_slow(mine, address, layout),
            None => self.dealloc_centrally(address, layout),
        }
    }

    /// Frees a slot of `slab`, which is another thread's, or in which others have freed slots; or which `layout` does not fit.
    #[inline(never)]
    fn dealloc_shared(&self, mine: Mine<'_>, slab: Slab, address: usize, layout: Layout) {
        if !slab.fits_closely(address, layout) {
            mine.leave();
            return self.dealloc_centrally(address, layout);
        }
        if !self.free_shared(mine, None, slab, address) {
            self.dealloc_centrally(address, layout);
        }
    }

    #[inline(never)]
    fn dealloc_slow(&self, mine: Mine<'_>, address: usize, layout: Layout) {
        match admit_slot(self.lookup(), address) {
            Some(slot) => self.dealloc_shared(mine, slot.slab, address, layout),
            None => {
                mine.leave();
                self.dealloc_centrally(address, layout);
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn dealloc_centrally(&self, address: usize, layout: Layout) {
        if self.free_in_handler(address) || self.free_alone(address) {
            return;
        }
        let wanted = self.policy != Policy::Ignore;
        let misuse = self.in_center(None, |work| match work.free_fitting(address, layout) {
            Err(unfit) if wanted => Some(work.explain_unfit(address, unfit)),
            _ => None,
        });
        if let Some(misuse) = misuse {
            self.policy.apply("free", &misuse);
        }
    }

    #[cold]
    #[inline(never)]
    fn realloc_beside(&self, payload: *mut u8, old: Layout, new: Layout) -> *mut u8 {
        match self.enter_beside() {
            Some(mine) => self.realloc_slow(mine, payload, old, new),
            None => self.realloc_centrally(payload, old, new),
        }
    }

    /// Moves a slot of the caller's tier to another, or does what that cannot.
    #[inline(never)]
    fn realloc_slow(&self, mine: Mine<'_>, payload: *mut u8, old: Layout, new: Layout) -> *mut u8 {
        let address = payload.addr();
        let slot = admit_slot(self.lookup(), address).filter(|slot| slot.fits_closely(address, old));
        let moved = match slot {
            // SAFETY: the caller of `realloc` does not use the old block any more.
            Some(_) => unsafe { self.resize_alone(mine, None, address, new) },
            None => {
                mine.leave();
                None
            }
        };
        moved.map_or_else(|| self.realloc_centrally(payload, old, new), NonNull::as_ptr)
    }

    #[cold]
    #[inline(never)]
    fn realloc_centrally(&self, payload: *mut u8, old: Layout, new: Layout) -> *mut u8 {
        // SAFETY: the caller of `realloc` does not use the old block any more.
        if let Some(moved) = unsafe { self.resize_alone_or_inside(payload.addr(), new) } {
            return or_null(moved);
        }
        let wanted = self.policy != Policy::Ignore;
        let begun = self.in_center(None, |work| {
            let begun = work.begin_resize_fitting(payload.addr(), old, new);
            begun.map_err(|unfit| wanted.then(|| work.explain_unfit(payload.addr(), unfit)))
        });
        match begun {
            // SAFETY: the caller of `realloc` does not use the old block any more.
            Ok(Ok(begun)) => unsafe { self.complete(None, begun) }.as_ptr(),
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
