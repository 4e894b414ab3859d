//! Requests of Rust programs: null for an error, and misuse by the heap's policy.

use super::Hmalloc;
use super::checked::Freed;
use super::turn::{ByHandle, Entered, Mine, SizeAlign};
use crate::door::validate::admit_slot;
use crate::global::lock::Lock;
use crate::ground::header::{Slab, Span};
use crate::ground::policy::Policy;
use crate::kernel::brk::Brk;
use crate::kernel::watchers::{TELLS, tell_allocated, tell_freed};
use crate::threads::handlers::PutOff;
use crate::tier::slot::Slot;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};

// SAFETY: blocks are disjoint and as large and as aligned as their layout says; nothing here unwinds.
unsafe impl<L: Lock, B: Brk> GlobalAlloc for Hmalloc<L, B> {
    #[cfg_attr(feature = "speed", inline)]
    #[cfg_attr(not(feature = "speed"), inline(never))]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        told(or_null(self.allocate(layout)), layout)
    }

    #[cfg_attr(feature = "speed", inline)]
    #[cfg_attr(not(feature = "speed"), inline(never))]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !TELLS {
            return self.allocate_zeroed_or(layout, null_mut);
        }
        // The zeros are written after a watcher was told of the block.
        let block = told(or_null(self.allocate(layout)), layout);
        if !block.is_null() {
            // SAFETY: a new block of this layout.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    #[cfg_attr(feature = "speed", inline)]
    #[cfg_attr(not(feature = "speed"), inline(never))]
    unsafe fn dealloc(&self, payload: *mut u8, layout: Layout) {
        if TELLS {
            tell_freed(payload);
        }
        self.dealloc_by::<false>(self.enter(), None, payload.addr(), layout);
    }

    #[cfg_attr(feature = "speed", inline)]
    #[cfg_attr(not(feature = "speed"), inline(never))]
    unsafe fn realloc(&self, payload: *mut u8, old: Layout, new_size: usize) -> *mut u8 {
        if TELLS {
            let Ok(new) = Layout::from_size_align(new_size, old.align()) else { return null_mut() };
            // SAFETY: the caller's promise.
            return unsafe { self.moved(payload, old, new) };
        }
        self.realloc_by(self.enter(), None, payload, old, (new_size, old.align()))
    }
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// Frees a block of this layout; the policy decides about a misuse.
    #[inline(always)]
    pub(super) fn dealloc_by<const BY: bool>(
        &self,
        entered: Option<Entered<'_>>,
        by: ByHandle<'_>,
        address: usize,
        layout: Layout,
    ) {
        let Some(entered) = entered else { return Self::dealloc_beside(address, layout.into(), by, self) };
        let Some(span) = self.lookup().find_below_break(address) else {
            return Self::dealloc_from::<BY>(address, layout.into(), entered.mine, self);
        };
        // Only the last of these three says whether it is a slab. What the first two read means nothing elsewhere, but no span that
        // was retired names the caller's tier, and a slab that does stays its own during the turn. In this order no register has to
        // be saved.
        let slab = span.as_slab_by_reciprocal();
        if entered.mine.owns(slab)
            && slab.fits_closely(address, layout)
            && let Some(review) = Slot::at(span, address).and_then(Slot::free_if_live)
        {
            if review {
                return self.review(entered.mine, by, slab);
            }
            return entered.leave();
        }
        Self::dealloc_other::<BY>(address, layout.into(), span, entered.mine, self);
    }

    /// Frees in the caller's tier if that is found on a second look, or in the central part.
    #[cold]
    #[inline(never)]
    fn dealloc_beside(address: usize, shape: SizeAlign, by: ByHandle<'_>, this: &Self) {
        let layout = shape.layout();
        if let Some(checked) = this.checked() {
            match this.checked_free(checked, address, Some(layout)) {
                Freed::Done => return,
                Freed::Wrong(misuse) => return this.policy().apply("free", &misuse),
                Freed::Unchecked => {
                    let freed = this.free_sized_unchecked(address, layout);
                    return freed.unwrap_or_else(|misuse| this.policy().apply("free", &misuse));
                }
            }
        }
        match by.map_or_else(|| this.enter_beside(), |_| None) {
            Some(mine) => this.dealloc_slow::<false>(mine, address, layout),
            None => this.dealloc_centrally(by, address, layout),
        }
    }

    /// Frees what the common path does not, in `span`: a slot of a slab that is another thread's, or in which others have freed slots;
    /// a large block; or has the policy decide about what is none.
    #[inline(never)]
    fn dealloc_other<const BY: bool>(address: usize, shape: SizeAlign, span: Span, mine: Mine<'_>, this: &Self) {
        // What is no slab is found out first, for large blocks come and go here.
        if span.reciprocal() == 0 {
            // Before the lock, whose instruction waits for all stores, and lets no load begin before it.
            span.prefetch_central();
            return Self::dealloc_from::<BY>(address, shape, mine, this);
        }
        Self::dealloc_of_slab::<BY>(address, shape, span.as_slab_by_reciprocal(), mine, this);
    }

    /// The same for what is in a slab. A call of its own, so that a large block saves no registers for it: twelve instructions.
    #[inline(never)]
    fn dealloc_of_slab<const BY: bool>(address: usize, shape: SizeAlign, slab: Slab, mine: Mine<'_>, this: &Self) {
        let Some(world) = this.lock.world() else {
            return Self::dealloc_own::<BY>(address, shape, slab, mine, this);
        };
        if mine.is(slab.owner_number()) || !slab.fits_closely(address, shape.layout()) {
            return Self::dealloc_own::<BY>(address, shape, slab, mine, this);
        }
        let by = mine.by::<BY>();
        if !this.free_others(mine, world, slab, address) {
            this.dealloc_centrally(by, address, shape.layout());
        }
    }

    /// Frees a slot of `slab`, which is the caller's, or which `layout` does not fit.
    #[inline(never)]
    fn dealloc_own<const BY: bool>(address: usize, shape: SizeAlign, slab: Slab, mine: Mine<'_>, this: &Self) {
        this.dealloc_shared::<BY>(mine, slab, address, shape.layout());
    }

    /// Frees a slot of `slab`, which is another thread's, or in which others have freed slots; or which `layout` does not fit.
    #[inline(always)]
    fn dealloc_shared<const BY: bool>(&self, mine: Mine<'_>, slab: Slab, address: usize, layout: Layout) {
        let by = mine.by::<BY>();
        if !slab.fits_closely(address, layout) {
            mine.leave();
            return self.dealloc_centrally(by, address, layout);
        }
        if !self.free_shared(mine, by, slab, address) {
            self.dealloc_centrally(by, address, layout);
        }
    }

    #[inline(never)]
    fn dealloc_slow<const BY: bool>(&self, mine: Mine<'_>, address: usize, layout: Layout) {
        match admit_slot(self.lookup(), address) {
            Some(slot) => self.dealloc_shared::<BY>(mine, slot.slab, address, layout),
            None => Self::dealloc_from::<BY>(address, layout.into(), mine, self),
        }
    }

    /// Frees what is no slot, or one in a region: in the central part. What that does not free at once takes the longer way.
    #[inline(never)]
    fn dealloc_from<const BY: bool>(address: usize, shape: SizeAlign, mine: Mine<'_>, this: &Self) {
        let (layout, by) = (shape.layout(), mine.by::<BY>());
        if !this.free_short(mine, by, address, Some(layout)) {
            this.dealloc_centrally(by, address, layout);
        }
    }

    #[cold]
    #[inline(never)]
    fn dealloc_centrally(&self, by: ByHandle<'_>, address: usize, layout: Layout) {
        if self.free_in_handler(address) || self.free_alone(address) {
            return;
        }
        let wanted = self.policy() != Policy::Ignore;
        let mut misuse = None;
        let done = self.in_center(by, |work| {
            if let Err(unfit) = work.free_fitting(address, layout)
                && wanted
            {
                misuse = Some(work.explain_unfit(address, unfit));
            }
        });
        match misuse {
            Some(misuse) => self.policy().apply("free", &misuse),
            None if done.is_none() => self.put_off(PutOff::Free(address)),
            None => {}
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

pub(super) fn or_null<E>(result: Result<NonNull<u8>, E>) -> *mut u8 {
    result.map_or(null_mut(), NonNull::as_ptr)
}
