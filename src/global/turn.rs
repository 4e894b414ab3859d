//! Turns in the caller's own tier, without a lock; and which tier that is.

use super::Hmalloc;
use crate::global::lock::Lock;
use crate::ground::header::Slab;
use crate::ground::page_map::Lookup;
use crate::ground::record::UNKNOWN;
use crate::heap::Heap;
use crate::kernel::brk::Brk;
use crate::kernel::parts::SPEED;
use crate::kernel::seat;
use crate::threads::own::BY_HANDLE;
use crate::threads::{OwnTier, WORLD_BYTES, World};
use crate::tier::Tier;
use core::alloc::Layout;

/// The tier of a handle; `None` where the calling thread has its own.
pub(super) type ByHandle<'a> = Option<&'a OwnTier>;

/// A turn in the caller's own tier.
pub(super) struct Mine<'a> {
    /// The thread's tier; `None` if it is the heap's, for there is one thread.
    pub(super) own: Option<&'a OwnTier>,
}

impl<'a> Mine<'a> {
    #[inline(always)]
    pub(super) fn of(own: &'a OwnTier) -> Self {
        Self { own: Some(own) }
    }

    /// The tier, which is one of `heap`.
    #[inline(always)]
    pub(super) fn tier<'t, L: Lock, B: Brk>(&'t mut self, heap: &'t Hmalloc<L, B>) -> &'t mut Tier {
        // SAFETY: the heap is there; no reference is made.
        let tier = self.own.map_or_else(|| unsafe { &raw mut (*heap.heap.get()).tier }, OwnTier::tier);
        // SAFETY: whoever has a turn is the only one who uses the tier.
        unsafe { &mut *tier }
    }

    /// The handle whose tier it is, if it is one's. `BY` says that it may be: where none is used, nothing is asked for it, and a call
    /// passes nothing.
    #[inline(always)]
    pub(super) fn by<const BY: bool>(&self) -> ByHandle<'a> {
        if BY { self.own.filter(|own| own.is_of_handle()) } else { None }
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

/// A layout as calls that leave the common path take it: a size, then an alignment, which is how Rust programs pass them
/// (`__rust_dealloc`). Such calls take first what their caller got, in its order, and the heap last: so the common path before them
/// need not move it out of its registers, nor save one. That is three to five instructions of a free.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct SizeAlign {
    size: usize,
    align: usize,
}

impl SizeAlign {
    #[inline(always)]
    pub(super) fn layout(self) -> Layout {
        // SAFETY: made of a layout.
        unsafe { Layout::from_size_align_unchecked(self.size, self.align) }
    }
}

impl From<Layout> for SizeAlign {
    #[inline(always)]
    fn from(layout: Layout) -> Self {
        Self { size: layout.size(), align: layout.align() }
    }
}

/// A turn on the common path. What does more goes on with the turn alone, so that it takes no register more.
pub(super) struct Entered<'a> {
    pub(super) mine: Mine<'a>,
    /// What the lease holds at rest: the caller's thread pointer, or what stands for a handle.
    holder: usize,
}

impl<'a> Entered<'a> {
    /// Begins a turn in a tier, if `holder` is its owner and may have one now.
    #[inline(always)]
    pub(super) fn begin(own: &'a OwnTier, holder: usize) -> Option<Self> {
        own.lease.enter(holder).then(|| Self { mine: Mine::of(own), holder })
    }

    /// Ends the turn.
    #[inline(always)]
    pub(super) fn leave(self) {
        if let Some(own) = self.mine.own {
            own.lease.leave_as(self.holder);
        }
    }
}

/// Marks the place where it is called as seldom reached: compilers lay that aside, and what is common goes on without a jump.
#[cold]
#[inline(always)]
fn aside() {}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// Begins a turn in the caller's own tier. Not if it has none, or is not to use it now: then it takes a turn in the
    /// central part.
    ///
    /// To ask the table takes four instructions and two loads that wait for each other. As long as there is only one tier, that one
    /// is looked at instead: in either case its lease says whether it is the caller's.
    #[inline(always)]
    pub(super) fn enter(&self) -> Option<Entered<'_>> {
        if L::ALONE && SPEED {
            return Some(Entered { mine: Mine { own: None }, holder: 0 });
        }
        let (own, thread) = match self.lock.only_at_hand() {
            Some(only) => (only, seat::thread_pointer()),
            None => {
                // A call takes a jump more once there are several tiers, which does not show. As long as there is one it takes none:
                // 2 % of the time of `malloc` and `free` in turns, 6 % where blocks are freed in reverse.
                aside();
                let world = self.lock.world_at_hand()?;
                let thread = seat::thread_pointer();
                (world.table.guess(thread), thread)
            }
        };
        Entered::begin(own, thread)
    }

    /// [`enter`](Self::enter) where more than the common path follows.
    #[inline(always)]
    pub(super) fn enter_slow(&self) -> Option<Mine<'_>> {
        self.enter().map(|entered| entered.mine)
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

    /// The tier of the calling thread, which has the turn. One is made for it if threads can have tiers; if the one that it
    /// has is in the middle of an operation, this is a signal handler and gets a spare one.
    #[inline(always)]
    pub(super) fn own_tier(&self, heap: &mut Heap<B>) -> Option<&OwnTier> {
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
        found.or_else(|| {
            let own = world.register(thread, |bytes| heap.spans.map_for_threads(bytes))?;
            Self::sample_new(own, heap);
            self.lock.count_tiers();
            Some(own)
        })
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
        own.into_iter().for_each(|own| Self::sample_new(own, heap));
        self.lock.count_tiers();
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
