//! Turns in the central part, under the lock.

use super::Hmalloc;
use super::turn::{ByHandle, Mine};
use crate::global::lock::{Lock, Turn};
use crate::heap::Heap;
use crate::kernel::brk::Brk;
use crate::look::debugger;
use crate::threads::{OwnTier, World};
use crate::tier::others::Others;
use crate::work::Work;

/// A turn in the central part.
struct Center<'a> {
    turn: Turn,
    /// The tier that is used in it, unless it is the heap's own.
    own: Option<&'a OwnTier>,
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// Calls `use_heap` in a turn in the central part, with the tier of a handle, or the caller's own
    /// if it has one. `None` if the caller [must not wait](Self::begin) for that.
    ///
    /// What is not `use_heap` stands once in a program, and not at each call of this.
    #[inline(always)]
    pub(super) fn in_center<R>(&self, handle: ByHandle<'_>, use_heap: impl FnOnce(&mut Work<'_, B>) -> R) -> Option<R> {
        if L::ALONE {
            // SAFETY: it is always the caller's turn, and references into the cell never outlive a call.
            let heap = unsafe { &mut *self.heap.get() };
            if heap.spans.first.is_none() && !self.lock.comes_and_goes() {
                debugger::enter(None, core::ptr::from_ref(self).addr(), &Self::OFFSETS);
            }
            let mut work = heap.work();
            let result = use_heap(&mut work);
            self.name_if_sampled(work.unnamed, handle);
            return Some(result);
        }
        self.use_center(|| self.enter_center(handle), handle, use_heap)
    }

    /// The same for a caller whose turn in its own tier ends with this. `None` if the lock is not free: then the
    /// longer way, [`in_center`](Self::in_center), waits for it, and finds out whether the caller is a signal handler.
    ///
    /// The tier need not be found again, and no handler has to be asked for: one that interrupts this finds the tier in use,
    /// and one that has interrupted the central part finds the lock taken. That saves 360 of 1,410 instructions for a large
    /// block that comes and goes. The caller does not wait for the lock, as its holder may wait for the caller's tier.
    #[inline(always)]
    pub(super) fn in_center_from<R>(
        &self,
        mine: Mine<'_>,
        by: ByHandle<'_>,
        use_heap: impl FnOnce(&mut Work<'_, B>) -> R,
    ) -> Option<R> {
        if L::ALONE {
            return self.in_center(by, use_heap);
        }
        let own = mine.own?;
        if !self.lock.try_lock() {
            own.lease.leave();
            return None;
        }
        // SAFETY: it is the caller's turn, and references into the cell never outlive a turn.
        let mut work = unsafe { self.work_of(&mut *self.heap.get(), own) };
        let result = use_heap(&mut work);
        if work.wants_rest() || work.tier.company().is_some_and(Others::has_found_twice) {
            self.leave_center(&mut work, Center { turn: Turn::Taken, own: Some(own) }, by);
            return Some(result);
        }
        own.lease.leave();
        super::end(&self.lock, Turn::Taken);
        if self.has_put_off() {
            self.free_put_off();
        }
        self.name_if_sampled(work.unnamed, by);
        Some(result)
    }

    /// The same for a caller that has taken the lock already.
    #[inline(always)]
    pub(super) fn in_center_on<R>(
        &self,
        mine: Mine<'_>,
        by: ByHandle<'_>,
        use_heap: impl FnOnce(&mut Work<'_, B>) -> R,
    ) -> Option<R> {
        if L::ALONE {
            return self.in_center(by, use_heap);
        }
        self.use_center(|| mine.own.map(|own| self.go_on_in_center(own)), by, use_heap)
    }

    /// [`in_center_from`](Self::in_center_from) for callers who need it less often: what is not `use_heap` stands once in a
    /// program.
    #[inline(always)]
    pub(super) fn in_center_after<R>(
        &self,
        mine: Mine<'_>,
        by: ByHandle<'_>,
        use_heap: impl FnOnce(&mut Work<'_, B>) -> R,
    ) -> Option<R> {
        if L::ALONE {
            return self.in_center(by, use_heap);
        }
        self.use_center(|| mine.own.and_then(|own| self.join_center(own)), by, use_heap)
    }

    /// Calls `use_heap` in a turn in the central part, if `begin` begins one, and ends it.
    ///
    /// What works in the turn is no argument: the references in one last until the function returns, which is after the turn.
    #[inline(always)]
    fn use_center<'a, R>(
        &'a self,
        begin: impl FnOnce() -> Option<(Work<'a, B>, Center<'a>)>,
        by: ByHandle<'_>,
        use_heap: impl FnOnce(&mut Work<'_, B>) -> R,
    ) -> Option<R> {
        let (mut work, center) = begin()?;
        let result = use_heap(&mut work);
        self.leave_center(&mut work, center, by);
        Some(result)
    }

    #[inline(never)]
    fn join_center<'a>(&'a self, own: &'a OwnTier) -> Option<(Work<'a, B>, Center<'a>)> {
        if !self.lock.try_lock() {
            own.lease.leave();
            return None;
        }
        Some(self.go_on_in_center(own))
    }

    /// What a caller that has taken the lock works with.
    #[inline(never)]
    fn go_on_in_center<'a>(&'a self, own: &'a OwnTier) -> (Work<'a, B>, Center<'a>) {
        // SAFETY: it is the caller's turn, and references into the cell never outlive a turn.
        let work = unsafe { self.work_of(&mut *self.heap.get(), own) };
        (work, Center { turn: Turn::Taken, own: Some(own) })
    }

    /// What works in a turn in the central part, with a tier.
    ///
    /// # Safety
    ///
    /// The caller has the turn, owns the tier, and is in no other operation in it.
    #[inline(always)]
    unsafe fn work_of<'a>(&'a self, heap: &'a mut Heap<B>, own: &'a OwnTier) -> Work<'a, B> {
        let world = self.lock.world();
        heap.spans.has_readers = world.is_some_and(World::has_company);
        // SAFETY: the caller's promise.
        let tier = unsafe { &mut *own.tier() };
        tier.draining = heap.spans.is_draining();
        Work {
            tier,
            spans: &mut heap.spans,
            slack_kept: &mut heap.slack_kept,
            world,
            common: Some(&mut heap.tier),
            wants_rest: false,
            unnamed: None,
        }
    }

    /// Begins a turn in the central part.
    #[inline(never)]
    fn enter_center<'a>(&'a self, handle: ByHandle<'a>) -> Option<(Work<'a, B>, Center<'a>)> {
        let turn = if self.lock.try_lock() { Turn::Taken } else { self.wait_for_use()? };
        // SAFETY: it is the caller's turn, and references into the cell never outlive a turn.
        let heap = unsafe { &mut *self.heap.get() };
        // A handle's tier may be in the middle of an operation, if this is a signal handler.
        let own = handle.filter(|own| !own.lease.is_busy()).or_else(|| self.own_tier(heap));
        let Some(own) = own else {
            let world = self.lock.world();
            heap.spans.has_readers = world.is_some();
            return Some((Work { world, ..heap.work() }, Center { turn, own }));
        };
        own.lease.enter_center();
        // SAFETY: the caller owns it, has the lock, and is in no other operation.
        Some((unsafe { self.work_of(heap, own) }, Center { turn, own: Some(own) }))
    }

    /// Ends a turn in the central part, and does what it has left to do.
    #[inline(never)]
    fn leave_center(&self, work: &mut Work<'_, B>, center: Center<'_>, handle: ByHandle<'_>) {
        let (mut rest, mut twice) = (false, false);
        if let Some(own) = center.own {
            rest = work.wants_rest() && work.may_rest();
            twice = work.tier.company().is_some_and(Others::has_found_twice);
            own.lease.leave();
        }
        super::end(&self.lock, center.turn);
        if rest || twice || self.has_put_off() {
            self.catch_up(rest, twice, handle);
        }
        self.name_if_sampled(work.unnamed, handle);
    }

    /// Whether handlers have put anything off. Asked after a turn: before its end, one may still have to.
    #[inline(always)]
    fn has_put_off(&self) -> bool {
        self.lock.world().is_some_and(|world| world.handlers.has_put_off())
    }

    /// What a turn in the central part has left to do.
    #[cold]
    #[inline(never)]
    fn catch_up(&self, rest: bool, twice: bool, handle: ByHandle<'_>) {
        if rest {
            self.rest();
        }
        if twice {
            self.report_twice(handle);
        }
        self.free_put_off();
    }
}
