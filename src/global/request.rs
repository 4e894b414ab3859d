//! Allocating, for any number of threads. Errors are returned.

use super::Hmalloc;
use super::turn::{ByHandle, Entered, Mine, SizeAlign};
use crate::central::spans::OutOfMemory;
use crate::global::lock::Lock;
use crate::ground::contents::Unfilled;
use crate::ground::size_class::{MIN_ALIGN, SizeClass};
use crate::kernel::brk::Brk;
use crate::threads::World;
use core::alloc::Layout;
use core::ptr::NonNull;

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// [`Heap::allocate`](crate::Heap::allocate) for any number of threads.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    #[inline(always)]
    pub fn allocate(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        self.allocate_by::<false>(self.enter(), None, layout)
    }

    #[inline(always)]
    pub(super) fn allocate_by<const BY: bool>(
        &self,
        entered: Option<Entered<'_>>,
        by: ByHandle<'_>,
        layout: Layout,
    ) -> Result<NonNull<u8>, OutOfMemory> {
        let Some(mut entered) = entered else { return Self::allocate_beside(layout.into(), by, self) };
        if layout.align() > MIN_ALIGN {
            // A call of its own: else compilers make one branch of this test and the next, by two instructions more.
            return Self::allocate_aligned::<BY>(layout.into(), entered.mine, self);
        }
        let Some(payload) = entered.mine.tier(self).pop_of_size(layout.size()) else {
            return Self::allocate_slow::<BY>(layout.into(), entered.mine, self);
        };
        entered.leave();
        Ok(payload)
    }

    /// Allocates in the caller's tier when the class has no slot at hand.
    #[inline(never)]
    pub(super) fn allocate_slow<const BY: bool>(
        shape: SizeAlign,
        mine: Mine<'_>,
        this: &Self,
    ) -> Result<NonNull<u8>, OutOfMemory> {
        let (layout, by) = (shape.layout(), mine.by::<BY>());
        let Some(class) = SizeClass::of(layout) else { return Self::allocate_large(shape, mine, by, this) };
        Self::allocate_next::<BY>(shape, mine, class, this)
    }

    /// The same for a block of a class. A call of its own, so that a large block saves no registers for it: ten instructions.
    #[inline(never)]
    fn allocate_next<const BY: bool>(
        shape: SizeAlign,
        mut mine: Mine<'_>,
        class: SizeClass,
        this: &Self,
    ) -> Result<NonNull<u8>, OutOfMemory> {
        let (layout, by) = (shape.layout(), mine.by::<BY>());
        let Some(payload) = mine.tier(this).pop_next(class, this.lookup()) else {
            return this.allocate_after_sweep(mine, by, layout, class);
        };
        mine.leave();
        Ok(payload)
    }

    /// Allocates a block of a larger alignment than usual.
    #[inline(never)]
    pub(super) fn allocate_aligned<const BY: bool>(
        shape: SizeAlign,
        mut mine: Mine<'_>,
        this: &Self,
    ) -> Result<NonNull<u8>, OutOfMemory> {
        let Some(payload) = SizeClass::of(shape.layout()).and_then(|class| mine.tier(this).pop(class)) else {
            return Self::allocate_slow::<BY>(shape, mine, this);
        };
        mine.leave();
        Ok(payload)
    }

    /// Allocates in the caller's tier when the class's slab has been swept in vain, or in the central part.
    #[inline(never)]
    fn allocate_after_sweep(
        &self,
        mut mine: Mine<'_>,
        by: ByHandle<'_>,
        layout: Layout,
        class: SizeClass,
    ) -> Result<NonNull<u8>, OutOfMemory> {
        let Some(payload) = mine.tier(self).pop_alone(class, self.lookup()) else {
            return self.allocate_from(mine, by, layout);
        };
        self.finish(mine, by);
        Ok(payload)
    }

    /// Allocates in the caller's tier when the class must look for free slots, or in the central part.
    #[inline(never)]
    fn allocate_alone_slow(
        &self,
        mut mine: Mine<'_>,
        by: ByHandle<'_>,
        layout: Layout,
    ) -> Result<NonNull<u8>, OutOfMemory> {
        let Some(class) = SizeClass::of(layout) else { return Self::allocate_large(layout.into(), mine, by, self) };
        let tier = mine.tier(self);
        let Some(payload) = tier.find_alone(class, self.lookup()).and_then(|class| tier.pop(class)) else {
            return self.allocate_from(mine, by, layout);
        };
        self.finish(mine, by);
        Ok(payload)
    }

    /// Allocates in the central part, for a caller whose tier has nothing; ends its turn there. What cannot be had
    /// at once takes the longer way.
    #[inline(never)]
    fn allocate_from(&self, mine: Mine<'_>, by: ByHandle<'_>, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        let allocated = self.in_center_from(mine, by, |work| {
            if work.tier.has_queued() {
                work.retire_queued();
            }
            work.allocate_slow(layout)
        });
        match allocated {
            Some(Ok(payload)) => Ok(payload),
            refused => self.allocate_centrally(by, layout, refused.is_some()),
        }
    }

    /// Allocates in the caller's tier if that is found on a second look, or in the central part.
    #[cold]
    #[inline(never)]
    pub(super) fn allocate_beside(shape: SizeAlign, by: ByHandle<'_>, this: &Self) -> Result<NonNull<u8>, OutOfMemory> {
        let layout = shape.layout();
        if let Some(checked) = this.checked() {
            return this.checked_allocate(checked, layout, false);
        }
        match by.map_or_else(|| this.enter_beside(), |_| None) {
            Some(mine) => this.allocate_alone_slow(mine, by, layout),
            None => this.allocate_centrally(by, layout, false),
        }
    }

    /// Allocates in the central part, unless that has just `refused`; then from what all threads hold, and after the hook.
    #[cold]
    #[inline(never)]
    pub(super) fn allocate_centrally(
        &self,
        by: ByHandle<'_>,
        layout: Layout,
        mut refused: bool,
    ) -> Result<NonNull<u8>, OutOfMemory> {
        self.or_after_hook(layout, || self.try_centrally(by, layout, core::mem::take(&mut refused)))
    }

    #[inline(always)]
    fn try_centrally(&self, by: ByHandle<'_>, layout: Layout, refused: bool) -> Result<NonNull<u8>, OutOfMemory> {
        if let Some((_, true)) = self.interrupted() {
            return self.allocate_alone(layout);
        }
        let allocate = || self.in_center(by, |work| work.allocate(layout));
        let Some(mut allocated) = (if refused { Some(Err(OutOfMemory)) } else { allocate() }) else {
            return self.allocate_alone(layout);
        };
        if allocated.is_err() && self.empty_quarantine() {
            allocated = self.in_center(by, |work| work.allocate(layout)).unwrap_or(Err(OutOfMemory));
        }
        if allocated.is_err() && self.lock.world().is_some_and(World::has_company) {
            return self.allocate_from_all(by, layout);
        }
        allocated
    }

    /// Allocates from what all threads' tiers hold, because there is no more memory; unless that was done just before.
    #[cold]
    #[inline(never)]
    pub(super) fn allocate_from_all(&self, by: ByHandle<'_>, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        if self.lock.is_inside() {
            // A signal handler: its own thread cannot be stopped.
            return Err(OutOfMemory);
        }
        let asked = self.in_center(by, |work| work.may_ask_all());
        if asked == Some(true) { self.while_stopped(|heap| heap.allocate(layout)) } else { Err(OutOfMemory) }
    }

    /// [`Heap::allocate_zeroed`](crate::Heap::allocate_zeroed) for any number of threads, which do not wait for the zeros to
    /// be written.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    pub fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        let mine = self.enter_slow();
        if mine.is_none()
            && let Some(checked) = self.checked()
        {
            return self.checked_allocate(checked, layout, true);
        }
        self.allocate_zeroed_by(mine.or_else(|| self.enter_beside()), None, layout)
    }

    pub(super) fn allocate_zeroed_by(
        &self,
        mine: Option<Mine<'_>>,
        by: ByHandle<'_>,
        layout: Layout,
    ) -> Result<NonNull<u8>, OutOfMemory> {
        if let Some(mut mine) = mine {
            let tier = mine.tier(self);
            let class = SizeClass::of(layout).and_then(|class| tier.find_alone(class, self.lookup()));
            let unfilled = class.and_then(|class| tier.pop_unfilled(class, layout.size()));
            let unfilled = match unfilled {
                Some(unfilled) => {
                    self.finish(mine, by);
                    Some(unfilled)
                }
                None => self.in_center_after(mine, by, |work| work.allocate_unfilled(layout)).and_then(Result::ok),
            };
            if let Some(unfilled) = unfilled {
                return Ok(unfilled.fill());
            }
        }
        self.allocate_zeroed_centrally(by, layout)
    }

    #[cold]
    #[inline(never)]
    fn allocate_zeroed_centrally(&self, by: ByHandle<'_>, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        self.or_after_hook(layout, || {
            if let Some((_, true)) = self.interrupted() {
                return self.allocate_alone(layout);
            }
            match self.in_center(by, |work| work.allocate_unfilled(layout)) {
                Some(allocated) => allocated.map(Unfilled::fill),
                None => self.allocate_alone(layout),
            }
        })
    }
}
