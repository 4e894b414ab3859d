//! Freeing: through the one door, then in the tier or the central part; and returning memory to the kernel afterwards.

use super::Heap;
use crate::door::misuse::Misuse;
use crate::door::validate::{Live, admit, admit_slot, explain, wrong_layout};
use crate::ground::header::{Slab, Span};
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
    pub(crate) fn slot_at(&self, address: usize) -> Option<Slot> {
        admit_slot(&self.spans.map, address)
    }

    /// The same, if `layout` fills more than half of it.
    #[inline(always)]
    pub(crate) fn common_slot(&self, address: usize, layout: Layout) -> Option<Slot> {
        self.slot_at(address).filter(|slot| slot.fits_closely(address, layout))
    }

    /// Frees the live block at `address`, a slot or a large one, if there is one.
    pub(crate) fn free_live_at(&mut self, address: usize) -> bool {
        let live = admit(&self.spans.map, address);
        live.map(|live| self.free_live(live)).is_some()
    }

    /// Frees what the common path did not: a slot in a region, or a large block.
    #[inline(never)]
    fn free_slow(&mut self, address: usize) -> Result<(), Misuse> {
        if self.free_live_at(address) { Ok(()) } else { Err(self.explain(address)) }
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
        self.free_fitting(address, layout).map_err(|unfit| self.explain_unfit(address, unfit))
    }

    /// Frees the live block at `address` if `layout` can be its own; else returns the live block there, if there is
    /// one.
    pub(crate) fn free_fitting(&mut self, address: usize, layout: Layout) -> Result<(), Option<Live>> {
        let live = self.admit_fitting(address, layout)?;
        self.free_live(live);
        Ok(())
    }

    pub(crate) fn admit_fitting(&self, address: usize, layout: Layout) -> Result<Live, Option<Live>> {
        let live = admit(&self.spans.map, address).ok_or(None)?;
        if live.can_be(address, layout, self.slack_kept) { Ok(live) } else { Err(Some(live)) }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn explain_unfit(&self, address: usize, live: Option<Live>) -> Misuse {
        live.map_or_else(|| self.explain(address), |live| wrong_layout(live, address))
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn explain(&self, address: usize) -> Misuse {
        explain(self.spans.find_around(address), address)
    }

    pub(crate) fn free_live(&mut self, live: Live) {
        match live {
            Live::Slot(slot) => self.free_slot(slot),
            Live::Large(span) => self.free_large(span),
        }
    }

    #[inline(always)]
    fn free_slot(&mut self, slot: Slot) {
        if slot.free() {
            self.review(slot.slab);
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn review(&mut self, slab: Slab) {
        if let Some(free) = self.tier.review(slab, &mut self.spans) {
            self.return_due(free);
        }
    }

    fn free_large(&mut self, span: Span) {
        let free = self.spans.free_span(span);
        self.return_due(free);
    }

    /// Returns what is due to the kernel after a span was freed: mostly nothing.
    pub(crate) fn return_due(&mut self, free: Span) {
        if self.spans.is_return_due() {
            self.return_due_slow(free.start());
        }
    }

    #[cold]
    #[inline(never)]
    fn return_due_slow(&mut self, address: usize) {
        if let Some(plan) = self.spans.plan_return() {
            self.tier.detach_classes(&mut self.spans);
            self.spans.return_some(address, plan);
            self.spans.return_regions();
        }
        self.spans.lower_over_metadata();
    }
}
