//! Freeing, for any number of threads. Errors are returned or passed to the caller's function.

use super::Hmalloc;
use super::checked::Freed;
use super::turn::{ByHandle, Entered, Mine};
use crate::door::misuse::Misuse;
use crate::door::validate::admit_slot;
use crate::global::lock::Lock;
use crate::ground::header::{Slab, Span};
use crate::kernel::brk::Brk;
use crate::threads::handlers::PutOff;
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
}
