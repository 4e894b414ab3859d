//! Turns: in the caller's own tier without a lock, or in the central part under it.

use super::Hmalloc;
use crate::global::lock::{Lock, Turn};
use crate::ground::header::Slab;
use crate::ground::page_map::Lookup;
use crate::heap::Heap;
use crate::kernel::brk::Brk;
use crate::kernel::seat;
use crate::look::debugger;
use crate::threads::own::BY_HANDLE;
use crate::threads::{OwnTier, WORLD_BYTES, World};
use crate::tier::Tier;
use crate::tier::others::Others;
use crate::work::Work;

/// The tier of a handle; `None` where the calling thread has its own.
pub(super) type ByHandle<'a> = Option<&'a OwnTier>;

/// A turn in the caller's own tier.
pub(super) struct Mine<'a> {
    /// The thread's tier; `None` if it is the heap's, for there is one thread.
    own: Option<&'a OwnTier>,
    /// The heap's, in that case.
    only: *mut Tier,
}

impl<'a> Mine<'a> {
    #[inline(always)]
    pub(super) fn of(own: &'a OwnTier) -> Self {
        Self { own: Some(own), only: core::ptr::null_mut() }
    }

    /// The tier.
    #[inline(always)]
    pub(super) fn tier(&mut self) -> &mut Tier {
        let tier = self.own.map_or(self.only, OwnTier::tier);
        // SAFETY: whoever has a turn is the only one who uses the tier.
        unsafe { &mut *tier }
    }

    /// Whether a slab is the tier's, and no other thread has freed slots of it.
    #[inline(always)]
    pub(super) fn owns(&self, slab: Slab) -> bool {
        self.own.is_none_or(|own| own.number() == slab.owner_word())
    }

    /// Whether it is tier number `number`.
    #[inline(always)]
    pub(super) fn is(&self, number: u16) -> bool {
        self.own.is_none_or(|own| own.number() == number)
    }

    /// Ends the turn.
    #[inline(always)]
    pub(super) fn leave(self) {
        if let Some(own) = self.own {
            own.lease.leave();
        }
    }
}

/// A turn in the central part.
struct Center<'a> {
    turn: Turn,
    /// The tier that is used in it, unless it is the heap's own.
    own: Option<&'a OwnTier>,
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// Begins a turn in the caller's own tier. Not if it has none, or is not to use it now: then it takes a turn in the
    /// central part.
    #[inline(always)]
    pub(super) fn enter(&self) -> Option<Mine<'_>> {
        if L::ALONE {
            // SAFETY: the heap is there; no reference is made.
            return Some(Mine { own: None, only: unsafe { &raw mut (*self.heap.get()).tier } });
        }
        let world = self.lock.world_of_threads()?;
        let thread = seat::thread_pointer();
        let own = world.table.guess(thread);
        own.lease.enter(thread).then(|| Mine::of(own))
    }

    /// [`enter`](Self::enter) where that was not possible, for a thread whose first entry in the table is another's: one of
    /// sixty where ten threads have tiers. `None` at compile time where none has: what would be done then is not in the program.
    #[inline(always)]
    pub(super) fn enter_beside(&self) -> Option<Mine<'_>> {
        if cfg!(feature = "threads") { self.enter_beside_slow() } else { None }
    }

    #[cold]
    #[inline(never)]
    fn enter_beside_slow(&self) -> Option<Mine<'_>> {
        // Asked first: without such tiers there may be no thread pointer to read.
        let world = self.lock.world_of_threads()?;
        let thread = seat::thread_pointer();
        let own = world.table.find(thread)?;
        own.lease.enter(thread).then(|| Mine::of(own))
    }

    /// The part of the page map that is read without the lock.
    #[inline(always)]
    pub(super) fn lookup(&self) -> &Lookup {
        // SAFETY: the heap is there, and what others write while this is borrowed is atomic.
        unsafe { &(*self.heap.get()).spans.map.lookup }
    }

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
            return Some(use_heap(&mut heap.work()));
        }
        let (mut work, center) = self.enter_center(handle)?;
        let result = use_heap(&mut work);
        self.leave_center(&mut work, center, handle);
        Some(result)
    }

    /// The same for a caller who has its turn in its own tier, which ends with this. `None` if the lock is not free: then the
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
        Some(result)
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
        let (mut work, center) = self.join_center(mine.own?)?;
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
        // SAFETY: it is the caller's turn, and references into the cell never outlive a turn.
        let work = unsafe { self.work_of(&mut *self.heap.get(), own) };
        Some((work, Center { turn: Turn::Taken, own: Some(own) }))
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

    /// The tier of the calling thread, which has the turn. One is made for it if threads can have tiers; if the one that it
    /// has is in the middle of an operation, this is a signal handler and gets a spare one.
    #[inline(always)]
    fn own_tier(&self, heap: &mut Heap<B>) -> Option<&OwnTier> {
        let found = self.lock.world_of_threads().and_then(|world| world.table.find(seat::thread_pointer()));
        found.filter(|own| !own.lease.is_busy()).or_else(|| self.own_tier_slow(heap))
    }

    #[cold]
    #[inline(never)]
    fn own_tier_slow(&self, heap: &mut Heap<B>) -> Option<&OwnTier> {
        let thread = self.lock.thread();
        if L::ALONE || thread == 0 {
            return None;
        }
        let world = self.world(heap)?;
        let found = world.table.find(thread).filter(|own| !own.lease.is_busy());
        found.or_else(|| world.register(thread, |bytes| heap.spans.map_for_threads(bytes)))
    }

    /// The tiers of threads, if the caller is a signal handler that has interrupted its own thread in the middle of an
    /// operation; and whether that was in the central part, so that the lock cannot be had.
    #[cold]
    #[inline(never)]
    pub(super) fn interrupted(&self) -> Option<(&World, bool)> {
        let world = self.lock.world_of_threads()?;
        if self.lock.is_interrupted() {
            return Some((world, true));
        }
        let own = world.table.find(seat::thread_pointer());
        own.filter(|own| own.lease.is_busy()).map(|_| (world, false))
    }

    /// A tier for a handle of the calling thread.
    pub(super) fn tier_for_handle(&self) -> Option<&OwnTier> {
        let turn = self.begin()?;
        // SAFETY: it is the caller's turn, and references into the cell never outlive a turn.
        let heap = unsafe { &mut *self.heap.get() };
        let own =
            self.world(heap).and_then(|world| world.register(BY_HANDLE, |bytes| heap.spans.map_for_threads(bytes)));
        super::end(&self.lock, turn);
        own
    }

    /// Leaves a tier to the next thread that needs one. In a handler that cannot do so, the tier stays its task's, and is left
    /// when that has ended.
    pub(super) fn leave_tier(&self, own: &OwnTier) {
        let Some(turn) = self.begin() else { return };
        if let Some(world) = self.lock.world() {
            world.vacate(own);
        }
        super::end(&self.lock, turn);
    }

    /// The tiers of threads, which are made at the first call, if there can be any.
    #[cold]
    #[inline(never)]
    pub(super) fn world(&self, heap: &mut Heap<B>) -> Option<&World> {
        if self.lock.world().is_none() && self.lock.may_have_world() {
            let mapping = heap.spans.map_for_threads(WORLD_BYTES).ok();
            // SAFETY: the mapping is new, zero, and stays.
            self.lock.set_world(mapping.map(|mapping| unsafe { World::make(mapping) }));
        }
        self.lock.world()
    }
}
