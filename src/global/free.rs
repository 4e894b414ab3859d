//! Freeing, for any number of threads. Errors are returned or passed to the caller's function.

use super::Hmalloc;
use super::checked::Freed;
use super::turn::{ByHandle, Entered, Mine};
use crate::door::misuse::{Misuse, MisuseKind};
use crate::door::validate::admit_slot;
use crate::global::lock::Lock;
use crate::ground::header::{Slab, Span};
use crate::kernel::brk::Brk;
use crate::threads::World;
use crate::threads::handlers::PutOff;
use crate::tier::others::{Beside, Outcome};
use crate::tier::slot::Slot;
use crate::work::Work;

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// [`Heap::free`](crate::Heap::free) for any number of threads. A misuse is passed to `misused`; the heap's own policy is
    /// not asked.
    ///
    /// # Safety
    ///
    /// As for [`Heap::free`](crate::Heap::free).
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
    /// As for [`Heap::free`](crate::Heap::free).
    #[inline(always)]
    pub unsafe fn free_reporting(
        &self,
        payload: *mut u8,
        wanted: impl FnOnce() -> bool,
        misused: impl FnOnce(&Misuse),
    ) {
        self.free_by::<false>(self.enter(), None, payload.addr(), wanted, misused);
    }

    /// The same for a block that must have been asked for with this alignment, in bytes: in checked mode, which knows that, another
    /// one is a misuse.
    ///
    /// # Safety
    ///
    /// As for [`Heap::free`](crate::Heap::free).
    #[doc(hidden)]
    #[inline(always)]
    pub unsafe fn free_of_align_reporting(
        &self,
        payload: *mut u8,
        align: usize,
        wanted: impl FnOnce() -> bool,
        misused: impl FnOnce(&Misuse),
    ) {
        match self.enter() {
            Some(entered) => self.free_by::<false>(Some(entered), None, payload.addr(), wanted, misused),
            None => self.free_of_align(payload.addr(), align, wanted, misused),
        }
    }

    #[cold]
    #[inline(never)]
    fn free_of_align(
        &self,
        address: usize,
        align: usize,
        wanted: impl FnOnce() -> bool,
        misused: impl FnOnce(&Misuse),
    ) {
        match self.checked().and_then(|checked| self.other_align(checked, address, align)) {
            Some(misuse) => misused(&misuse),
            None => Self::free_beside(address, None, self, wanted, misused),
        }
    }

    #[inline(always)]
    pub(super) fn free_by<const BY: bool>(
        &self,
        entered: Option<Entered<'_>>,
        by: ByHandle<'_>,
        address: usize,
        wanted: impl FnOnce() -> bool,
        misused: impl FnOnce(&Misuse),
    ) {
        let Some(entered) = entered else { return Self::free_beside(address, by, self, wanted, misused) };
        let Some(span) = self.lookup().find_below_break(address) else {
            return Self::free_slow::<BY>(address, entered.mine, self, wanted, misused);
        };
        // In the order of `dealloc_by`, and for its reason.
        let slab = span.as_slab_by_reciprocal();
        if entered.mine.owns(slab)
            && let Some(review) = Slot::at(span, address).and_then(Slot::free_if_live)
        {
            if review {
                return self.review(entered.mine, by, slab);
            }
            return entered.leave();
        }
        Self::free_other::<BY>(address, span, entered.mine, self, wanted, misused);
    }

    /// Frees what the common path does not, in `span`: a slot of a slab that is another thread's, or in which others have freed slots;
    /// a large block; or says that no live block starts there.
    #[inline(never)]
    fn free_other<const BY: bool>(
        address: usize,
        span: Span,
        mine: Mine<'_>,
        this: &Self,
        wanted: impl FnOnce() -> bool,
        misused: impl FnOnce(&Misuse),
    ) {
        // What is no slab is found out first, for large blocks come and go here.
        if span.reciprocal() == 0 {
            span.prefetch_central();
            return Self::free_slow::<BY>(address, mine, this, wanted, misused);
        }
        Self::free_shared_or_explain::<BY>(address, span.as_slab_by_reciprocal(), mine, this, wanted, misused);
    }

    /// Reviews a slab of the caller's tier in which a slot was freed, and ends the turn.
    #[cold]
    #[inline(never)]
    pub(super) fn review(&self, mut mine: Mine<'_>, by: ByHandle<'_>, slab: Slab) {
        if L::ALONE {
            let _ = self.in_center(by, |work| work.review(slab));
        } else {
            mine.tier(self).review_alone(slab);
            self.finish(mine, by);
        }
    }

    /// Frees in the caller's tier if that is found on a second look, or in the central part.
    #[cold]
    #[inline(never)]
    fn free_beside(
        address: usize,
        by: ByHandle<'_>,
        this: &Self,
        wanted: impl FnOnce() -> bool,
        misused: impl FnOnce(&Misuse),
    ) {
        if let Some(checked) = this.checked() {
            match this.checked_free(checked, address, None) {
                Freed::Done => return,
                Freed::Wrong(misuse) => return misused(&misuse),
                Freed::Unchecked => {}
            }
        }
        match by.map_or_else(|| this.enter_beside(), |_| None) {
            Some(mine) => Self::free_slow::<false>(address, mine, this, wanted, misused),
            None => this.free_centrally(by, address, wanted, misused),
        }
    }

    /// Frees a block of which checked mode knows nothing, or which it has verified.
    #[cold]
    #[inline(never)]
    pub(super) fn free_unchecked(&self, address: usize, wanted: impl FnOnce() -> bool, misused: impl FnOnce(&Misuse)) {
        match self.enter_beside() {
            Some(mine) => Self::free_slow::<false>(address, mine, self, wanted, misused),
            None => self.free_centrally(None, address, wanted, misused),
        }
    }

    /// Frees what is not the caller's, or has been freed by others, or is no slot.
    #[inline(never)]
    fn free_slow<const BY: bool>(
        address: usize,
        mine: Mine<'_>,
        this: &Self,
        wanted: impl FnOnce() -> bool,
        misused: impl FnOnce(&Misuse),
    ) {
        let by = mine.by::<BY>();
        match admit_slot(this.lookup(), address) {
            Some(slot) => Self::free_shared_or_explain::<BY>(address, slot.slab, mine, this, wanted, misused),
            None if this.free_short(mine, by, address, None) => {}
            None => this.free_centrally(by, address, wanted, misused),
        }
    }

    /// Frees a slot of a slab that is another thread's, or in which others have freed slots; or says that no live one starts there.
    #[inline(never)]
    fn free_shared_or_explain<const BY: bool>(
        address: usize,
        slab: Slab,
        mine: Mine<'_>,
        this: &Self,
        wanted: impl FnOnce() -> bool,
        misused: impl FnOnce(&Misuse),
    ) {
        let by = mine.by::<BY>();
        if !this.free_shared(mine, by, slab, address) {
            this.free_centrally(by, address, wanted, misused);
        }
    }

    /// Frees the slot at `address` of a slab that is another thread's, or in which others have freed slots, and ends the turn.
    /// False if that was not possible.
    #[inline(always)]
    pub(super) fn free_shared(&self, mine: Mine<'_>, by: ByHandle<'_>, slab: Slab, address: usize) -> bool {
        let Some(world) = self.lock.world() else {
            mine.leave();
            return false;
        };
        if mine.is(slab.owner_number()) {
            return self.free_beside_others(mine, by, world, slab, address);
        }
        self.free_others(mine, world, slab, address)
    }

    /// Frees the slot at `address` of another thread's slab, and ends the turn. False if that was not possible.
    #[inline(always)]
    pub(super) fn free_others(&self, mine: Mine<'_>, world: &World, slab: Slab, address: usize) -> bool {
        match world.directory.free_quietly(slab, address) {
            Ok(number) if slab.may_be_freed_by_others(number) => mine.leave(),
            Ok(number) => Self::tell_owner(slab, number, mine, world, self),
            Err(_) => {
                mine.leave();
                return false;
            }
        }
        true
    }

    /// Tells the owner of a slab, who may not know it, that another thread has freed the slot of this number, and ends the turn.
    #[cold]
    #[inline(never)]
    fn tell_owner(slab: Slab, number: usize, mine: Mine<'_>, world: &World, this: &Self) {
        let owner = slab.owner_number();
        let outcome = world.directory.tell(slab, number);
        mine.leave();
        if outcome == Outcome::FreedUnseen {
            this.look_for(owner);
        }
    }

    /// Frees a slot of the caller's own tier, unless another thread has, and ends the turn.
    #[inline(never)]
    fn free_beside_others(&self, mine: Mine<'_>, by: ByHandle<'_>, world: &World, slab: Slab, address: usize) -> bool {
        let Some(slot) = Slot::live_at(slab.span(), address) else {
            mine.leave();
            return false;
        };
        if slot.slab.may_be_freed_by_others(slot.number()) {
            match world.directory.freed_beside(slot) {
                Beside::Itself => {
                    mine.leave();
                    return false;
                }
                Beside::Nothing => return self.free_and_forget(mine, by, slot),
                Beside::Others => {}
            }
        }
        if slot.free() {
            self.review(mine, by, slot.slab);
        } else {
            mine.leave();
        }
        true
    }

    /// Frees a slot of the caller's own tier, unless another thread has meanwhile, and ends the turn. Before that, the owner
    /// forgets that others have freed in the slab, so that its next frees need not look for that.
    #[cold]
    #[inline(never)]
    fn free_and_forget(&self, mut mine: Mine<'_>, by: ByHandle<'_>, slot: Slot) -> bool {
        mine.tier(self).collect(slot.slab);
        let live = slot.is_live();
        if live && slot.free() {
            mine.tier(self).review_alone(slot.slab);
        }
        self.finish(mine, by);
        live
    }

    #[cold]
    #[inline(never)]
    pub(super) fn free_centrally(
        &self,
        by: ByHandle<'_>,
        address: usize,
        wanted: impl FnOnce() -> bool,
        misused: impl FnOnce(&Misuse),
    ) {
        if self.free_in_handler(address) || self.free_alone(address) {
            return;
        }
        let explain = |work: &Work<'_, B>| wanted().then(|| work.explain(address));
        let misuse = self.in_center(by, |work| if work.free_live_at(address) { None } else { explain(work) });
        match misuse {
            Some(Some(misuse)) => misused(&misuse),
            Some(None) => {}
            None => self.put_off(PutOff::Free(address)),
        }
    }

    /// Ends a turn in the caller's tier after more than the common path, and does what is left to do in the central part.
    #[inline(always)]
    pub(super) fn finish(&self, mut mine: Mine<'_>, by: ByHandle<'_>) {
        let tier = mine.tier(self);
        let queued = tier.has_queued();
        let twice = tier.company().is_some_and(|others| others.has_found_twice());
        mine.leave();
        if queued || twice {
            self.finish_centrally(by, queued, twice);
        }
    }

    /// What is left to do in the central part; later, if the caller is a signal handler and cannot get there.
    #[cold]
    #[inline(never)]
    fn finish_centrally(&self, by: ByHandle<'_>, queued: bool, twice: bool) {
        if self.lock.is_interrupted() {
            return;
        }
        if queued {
            // What is not retired now stays in the queue.
            let _ = self.in_center(by, |work| work.retire_queued());
        }
        if twice {
            self.report_twice(by);
        }
    }

    /// Reports the blocks that were freed twice at the same instant, by their owner and by another thread.
    #[cold]
    #[inline(never)]
    pub(super) fn report_twice(&self, by: ByHandle<'_>) {
        let Some(world) = self.lock.world() else { return };
        if self.lock.is_interrupted() || !world.handlers.begin() {
            return;
        }
        loop {
            let found = self.in_center(by, |work| {
                let address = world.tiers().find_map(|tier| tier.others.twice.take())?;
                Some(Misuse { kind: MisuseKind::AlreadyFree, ..work.explain(address) })
            });
            match found.flatten() {
                Some(misuse) => self.report_late(&misuse),
                None => break,
            }
        }
        world.handlers.end();
    }
}
