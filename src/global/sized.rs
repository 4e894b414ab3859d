//! Frees whose caller says the size, for any number of threads: it has to be the block's.

use super::Hmalloc;
use super::checked::Freed;
use super::turn::{ByHandle, Mine, SizeAlign};
use crate::door::misuse::Misuse;
use crate::door::validate::admit_slot;
use crate::global::lock::Lock;
use crate::kernel::brk::Brk;
use crate::threads::handlers::PutOff;
use crate::tier::slot::Slot;
use core::alloc::Layout;

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// [`Heap::free_sized`](crate::Heap::free_sized) for any number of threads. The heap's own policy is not asked.
    ///
    /// # Errors
    ///
    /// The [`Misuse`].
    ///
    /// # Safety
    ///
    /// As for [`Heap::free_sized`](crate::Heap::free_sized).
    pub unsafe fn free_sized(&self, payload: *mut u8, layout: Layout) -> Result<(), Misuse> {
        let mine = self.enter_slow();
        if mine.is_none()
            && let Some(checked) = self.checked()
        {
            match self.checked_free(checked, payload.addr(), Some(layout)) {
                Freed::Done => return Ok(()),
                Freed::Wrong(misuse) => return Err(misuse),
                Freed::Unchecked => return self.free_sized_unchecked(payload.addr(), layout),
            }
        }
        self.free_sized_by(mine.or_else(|| self.enter_beside()), None, payload.addr(), layout)
    }

    pub(super) fn free_sized_by(
        &self,
        mine: Option<Mine<'_>>,
        by: ByHandle<'_>,
        address: usize,
        layout: Layout,
    ) -> Result<(), Misuse> {
        if let Some(mine) = mine {
            let slot = admit_slot(self.lookup(), address).filter(|slot| slot.fits_closely(address, layout));
            match slot {
                Some(slot) if mine.owns(slot.slab) => {
                    if slot.free() {
                        self.review(mine, by, slot.slab)
                    } else {
                        mine.leave()
                    }
                    return Ok(());
                }
                Some(slot) => {
                    if self.free_shared(mine, by, slot.slab, address) {
                        return Ok(());
                    }
                }
                None => {
                    let freed = self.in_center_after(mine, by, |work| work.free_fitting(address, layout).is_ok());
                    if freed == Some(true) {
                        return Ok(());
                    }
                }
            }
        }
        if self.free_in_handler(address) || self.free_alone(address) {
            return Ok(());
        }
        let freed = self.in_center(by, |work| {
            work.free_fitting(address, layout).map_err(|unfit| work.explain_unfit(address, unfit))
        });
        freed.unwrap_or_else(|| {
            self.put_off(PutOff::Free(address));
            Ok(())
        })
    }

    /// [`free_sized`](Self::free_sized); `misused` is called with a misuse, and not while a lock is held.
    ///
    /// # Safety
    ///
    /// As for [`Heap::free_sized`](crate::Heap::free_sized).
    #[doc(hidden)]
    #[inline(always)]
    pub unsafe fn free_sized_reporting(&self, payload: *mut u8, layout: Layout, misused: impl FnOnce(&Misuse)) {
        let Some(entered) = self.enter() else { return Self::free_sized_beside(payload, layout.into(), self, misused) };
        let address = payload.addr();
        if let Some(span) = self.lookup().find_below_break(address) {
            // In the order of `dealloc_by`, and for its reason.
            let slab = span.as_slab_by_reciprocal();
            if entered.mine.owns(slab)
                && slab.fits_closely(address, layout)
                && let Some(review) = Slot::at(span, address).and_then(Slot::free_if_live)
            {
                if review {
                    return self.review(entered.mine, None, slab);
                }
                return entered.leave();
            }
        }
        Self::free_sized_slow(payload, layout.into(), entered.mine, self, misused);
    }

    #[cold]
    #[inline(never)]
    fn free_sized_beside(payload: *mut u8, shape: SizeAlign, this: &Self, misused: impl FnOnce(&Misuse)) {
        // SAFETY: the caller of `free_sized_reporting` is done with the block.
        if let Err(misuse) = unsafe { this.free_sized(payload, shape.layout()) } {
            misused(&misuse);
        }
    }

    #[inline(never)]
    fn free_sized_slow(payload: *mut u8, shape: SizeAlign, mine: Mine<'_>, this: &Self, misused: impl FnOnce(&Misuse)) {
        if let Err(misuse) = this.free_sized_by(Some(mine), None, payload.addr(), shape.layout()) {
            misused(&misuse);
        }
    }
}
