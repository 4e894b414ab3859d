//! Turns: in the caller's own tier without a lock, or in the central part under it.

use super::Hmalloc;
use crate::global::lock::{Lock, Turn};
use crate::ground::header::Slab;
use crate::ground::page_map::Lookup;
use crate::ground::record::UNKNOWN;
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

    /// The thread, as records name it.
    #[inline(always)]
    pub(super) fn task(&self) -> u32 {
        self.own.map_or(UNKNOWN, OwnTier::task)
    }

    /// Whether only the caller frees slots of the tier.
    #[inline(always)]
    pub(super) fn is_alone(&self) -> bool {
        self.own.is_some_and(|own| !own.others.is_shared())
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
        let world = self.lock.world_at_hand()?;
        let thread = seat::thread_pointer();
        let own = world.table.guess(thread);
        own.lease.enter(thread).then(|| Mine::of(own))
    }

    /// [`enter`](Self::enter) where that was not possible, for a thread whose first entry in the table is another's: one of
    /// sixty where ten threads have tiers.
    #[cold]
    #[inline(never)]
    pub(super) fn enter_beside(&self) -> Option<Mine<'_>> {
        // Asked first: without such tiers there may be no thread pointer to read.
        let world = self.lock.world_of_threads()?;
        let thread = seat::thread_pointer();
        let own = world.table.find(thread)?;
        own.lease.enter(thread).then(|| Mine::of(own))
    }

    /// [`enter`](Self::enter) in checked mode, in which no tier is at hand.
    #[inline(always)]
    pub(super) fn enter_checked(&self) -> Option<Mine<'_>> {
        let world = self.lock.world_of_threads()?;
        let thread = seat::thread_pointer();
        let own = world.table.guess(thread);
        if own.lease.enter(thread) { Some(Mine::of(own)) } else { self.enter_beside() }
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

    /// Begins a turn in the central part.
    #[inline(never)]
    fn enter_center<'a>(&'a self, handle: ByHandle<'a>) -> Option<(Work<'a, B>, Center<'a>)> {
        let turn = self.begin()?;
        // SAFETY: it is the caller's turn, and references into the cell never outlive a turn.
        let heap = unsafe { &mut *self.heap.get() };
        // A handle's tier may be in the middle of an operation, if this is a signal handler.
        let own = handle.filter(|own| !own.lease.is_busy()).or_else(|| self.own_tier(heap));
        let world = self.lock.world();
        let Some(own) = own else {
            heap.spans.has_readers = world.is_some();
            return Some((Work { world, ..heap.work() }, Center { turn, own }));
        };
        own.lease.enter_center();
        let work = Work {
            // SAFETY: the caller owns it, has the lock, and is in no other operation.
            tier: unsafe { &mut *own.tier() },
            spans: &mut heap.spans,
            slack_kept: &mut heap.slack_kept,
            world,
            common: Some(&mut heap.tier),
            wants_rest: false,
        };
        work.tier.draining = work.spans.is_draining();
        work.spans.has_readers = world.is_some_and(World::has_company);
        Some((work, Center { turn, own: Some(own) }))
    }

    /// Ends a turn in the central part, and does what it has left to do.
    #[inline(never)]
    fn leave_center(&self, work: &mut Work<'_, B>, center: Center<'_>, handle: ByHandle<'_>) {
        let Some(own) = center.own else { return super::end(&self.lock, center.turn) };
        let rest = work.wants_rest() && work.may_rest();
        let twice = work.tier.company().is_some_and(Others::has_found_twice);
        own.lease.leave();
        super::end(&self.lock, center.turn);
        let put_off = self.lock.world().is_some_and(|world| world.handlers.has_put_off());
        if rest || twice || put_off {
            self.catch_up(rest, twice, handle);
        }
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
        if self.mode.wanted().is_some() {
            super::end(&self.lock, turn);
            return None;
        }
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
            self.lock.offer(self.mode.wanted().is_none());
        }
        self.lock.world()
    }
}
