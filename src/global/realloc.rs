//! Resizing for Rust programs: null for an error, and misuse by the heap's policy.

use super::Hmalloc;
use super::rust::or_null;
use super::turn::{ByHandle, Entered, Mine, SizeAlign};
use crate::central::spans::OutOfMemory;
use crate::door::validate::admit_slot;
use crate::global::lock::Lock;
use crate::ground::policy::Policy;
use crate::kernel::brk::Brk;
use crate::resize::ResizeError;
use crate::tier::slot::{Slot, is_aligned};
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// Resizes a block by moving it, so that a watcher sees which bytes were written.
    ///
    /// # Safety
    ///
    /// As for [`GlobalAlloc::realloc`].
    pub(super) unsafe fn moved(&self, payload: *mut u8, old: Layout, new: Layout) -> *mut u8 {
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

    /// Resizes a block of the layout `old`, in place if possible; the policy decides about a misuse, and then the answer is
    /// null, as if there were no memory. The caller does not use the block any more, unless the answer is null or its address.
    ///
    /// `new` is a size and an alignment. Whether they make a layout is asked only where the block does not stay: a slot of
    /// the old layout that holds them closely says so, too. That, and the order of the tests, as in
    /// [`dealloc_by`](Self::dealloc_by), save 14 of 58 instructions.
    #[inline(always)]
    pub(super) fn realloc_by(
        &self,
        entered: Option<Entered<'_>>,
        by: ByHandle<'_>,
        payload: *mut u8,
        old: Layout,
        new: (usize, usize),
    ) -> *mut u8 {
        let Some(entered) = entered else { return Self::realloc_beside(payload, old.into(), new, by, self) };
        let address = payload.addr();
        if let Some(span) = self.lookup().find_below_break(address) {
            let slab = span.as_slab_by_reciprocal();
            if entered.mine.owns(slab)
                && slab.fits_closely(address, old)
                && slab.holds_closely(new.0)
                && is_aligned(address, new.1)
                && Slot::live_at(span, address).is_some()
            {
                entered.leave();
                return payload;
            }
        }
        Self::realloc_slow(payload, old.into(), new, entered.mine, by, self)
    }

    #[cold]
    #[inline(never)]
    fn realloc_beside(payload: *mut u8, old: SizeAlign, new: (usize, usize), by: ByHandle<'_>, this: &Self) -> *mut u8 {
        let Ok(layout) = Layout::from_size_align(new.0, new.1) else { return null_mut() };
        if let Some(checked) = this.checked() {
            // SAFETY: the caller of `realloc` does not use the old block any more.
            return match unsafe { this.checked_resize(checked, payload.addr(), Some(old.layout()), layout) } {
                Ok(moved) => moved.as_ptr(),
                Err(ResizeError::OutOfMemory) => null_mut(),
                Err(ResizeError::Misuse(misuse)) => {
                    this.policy().apply("realloc", &misuse);
                    null_mut()
                }
            };
        }
        match by.map_or_else(|| this.enter_beside(), |_| None) {
            Some(mine) => Self::realloc_slow(payload, old, new, mine, by, this),
            None => this.realloc_centrally(by, payload, old.layout(), layout),
        }
    }

    /// Moves a slot of the caller's tier to another, or does what that cannot.
    #[inline(never)]
    fn realloc_slow(
        payload: *mut u8,
        old: SizeAlign,
        new: (usize, usize),
        mine: Mine<'_>,
        by: ByHandle<'_>,
        this: &Self,
    ) -> *mut u8 {
        let (address, old) = (payload.addr(), old.layout());
        let Ok(new) = Layout::from_size_align(new.0, new.1) else {
            mine.leave();
            return null_mut();
        };
        let slot = admit_slot(this.lookup(), address).filter(|slot| slot.fits_closely(address, old));
        let moved = match slot {
            // SAFETY: the caller of `realloc` does not use the old block any more.
            Some(_) => unsafe { this.resize_alone(mine, by, address, new) },
            // SAFETY: as above.
            None => unsafe {
                this.resize_after(mine, by, |work| work.begin_resize_fitting(address, old, new).ok()?.ok())
            },
        };
        moved.map_or_else(|| this.realloc_centrally(by, payload, old, new), NonNull::as_ptr)
    }

    #[cold]
    #[inline(never)]
    fn realloc_centrally(&self, by: ByHandle<'_>, payload: *mut u8, old: Layout, new: Layout) -> *mut u8 {
        // SAFETY: the caller of `realloc` does not use the old block any more.
        if let Some(moved) = unsafe { self.resize_alone_or_inside(payload.addr(), new) } {
            return or_null(moved);
        }
        let wanted = self.policy() != Policy::Ignore;
        let mut misuse = None;
        let begin = || {
            let begun = self.in_center(by, |work| match work.begin_resize_fitting(payload.addr(), old, new) {
                Ok(begun) => begun.map(Some),
                Err(unfit) => {
                    misuse = wanted.then(|| work.explain_unfit(payload.addr(), unfit));
                    Ok(None)
                }
            });
            begun.transpose()
        };
        match self.or_after_hook(new, begin) {
            // SAFETY: the caller of `realloc` does not use the old block any more.
            Ok(Some(Some(begun))) => unsafe { self.complete(by, begun) }.as_ptr(),
            // SAFETY: as above.
            Ok(None) if cfg!(feature = "threads") => or_null(unsafe { self.resize_unlocked(payload.addr(), new) }),
            Err(OutOfMemory) | Ok(None | Some(None)) => {
                misuse.iter().for_each(|misuse| self.policy().apply("realloc", misuse));
                null_mut()
            }
        }
    }
}
