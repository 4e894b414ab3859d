//! Freeing blocks of a heap: the common path. The others are in [`work`](crate::work).

use super::Heap;
use crate::door::misuse::Misuse;
use crate::door::validate::admit_slot;
use crate::kernel::brk::Brk;
use crate::tier::slot::Slot;
use core::alloc::Layout;

impl<B: Brk> Heap<B> {
    /// Frees the block whose payload starts at `payload`.
    ///
    /// The pointer is checked exactly and in constant time. Any address may be passed: the check reads no memory but
    /// the heap's own metadata.
    ///
    /// # Errors
    ///
    /// The [`Misuse`], if no live block starts there. Nothing has changed then.
    ///
    /// # Safety
    ///
    /// If `payload` is a live block's, nothing uses that block any more.
    #[inline(always)]
    pub unsafe fn free(&mut self, payload: *mut u8) -> Result<(), Misuse> {
        match self.slot_at(payload.addr()) {
            Some(slot) => {
                self.free_slot(slot);
                Ok(())
            }
            None => self.free_slow(payload.addr()),
        }
    }

    /// The live slot that starts at `address`: nearly every block is one.
    #[inline(always)]
    fn slot_at(&self, address: usize) -> Option<Slot> {
        admit_slot(&self.spans.map.lookup, address)
    }

    /// The same, if `layout` fills more than half of it.
    #[inline(always)]
    fn common_slot(&self, address: usize, layout: Layout) -> Option<Slot> {
        self.slot_at(address).filter(|slot| slot.fits_closely(address, layout))
    }

    /// Frees what the common path did not: a slot in a region, or a large block.
    #[inline(never)]
    fn free_slow(&mut self, address: usize) -> Result<(), Misuse> {
        if self.work().free_live_at(address) { Ok(()) } else { Err(self.work().explain(address)) }
    }

    /// Like [`free`](Self::free) for a caller that knows the block's layout, which is checked, too.
    ///
    /// # Errors
    ///
    /// As for [`free`](Self::free); and [`WrongLayout`](crate::MisuseKind::WrongLayout) if `layout` does not fit the
    /// block, or is so small that the heap would not have given it a block of this size.
    ///
    /// # Safety
    ///
    /// As for [`free`](Self::free).
    ///
    /// ```
    /// # use core::alloc::Layout;
    /// # use hmalloc::{Heap, MisuseKind, brk::Reserved};
    /// let mut heap = Heap::new(Reserved::new());
    /// let block = heap.allocate(Layout::new::<[u8; 100]>())?.as_ptr();
    /// // SAFETY: the block is not used any more.
    /// let refused = unsafe { heap.free_sized(block, Layout::new::<[u8; 5000]>()) };
    /// assert_eq!(refused.unwrap_err().kind, MisuseKind::WrongLayout);
    /// // SAFETY: as above.
    /// unsafe { heap.free_sized(block, Layout::new::<[u8; 100]>()) }.unwrap();
    /// # Ok::<(), hmalloc::OutOfMemory>(())
    /// ```
    #[inline]
    pub unsafe fn free_sized(&mut self, payload: *mut u8, layout: Layout) -> Result<(), Misuse> {
        match self.common_slot(payload.addr(), layout) {
            Some(slot) => {
                self.free_slot(slot);
                Ok(())
            }
            None => self.free_sized_slow(payload.addr(), layout),
        }
    }

    /// Frees what the common path did not: any block but a slot more than half filled by its layout.
    #[inline(never)]
    fn free_sized_slow(&mut self, address: usize, layout: Layout) -> Result<(), Misuse> {
        let mut work = self.work();
        work.free_fitting(address, layout).map_err(|unfit| work.explain_unfit(address, unfit))
    }

    #[inline(always)]
    fn free_slot(&mut self, slot: Slot) {
        if slot.free() {
            self.work().review(slot.slab);
        }
    }
}
