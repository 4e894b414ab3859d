//! Freeing: through the one door, then in the tier that owns the slot, or in the central part; and returning memory to the
//! kernel afterwards.

use super::Work;
use crate::door::misuse::Misuse;
use crate::door::validate::{Live, admit, explain, wrong_layout};
use crate::ground::company::{SAMPLES, if_checked, if_threads};
use crate::ground::corrupt::corrupt;
use crate::ground::header::{PAGE, Slab, Span};
use crate::kernel::barrier;
use crate::kernel::brk::Brk;
use crate::kernel::parts::RETURNS;
use crate::threads::World;
use crate::threads::handlers::PutOff;
use crate::tier::others::Outcome;
use crate::tier::slot::Slot;
use core::alloc::Layout;

/// How much time passes between two rests, in milliseconds.
const REST_EVERY: usize = 1000;

impl<B: Brk> Work<'_, B> {
    /// The live block whose payload starts at exactly `address`.
    pub(crate) fn admit(&self, address: usize) -> Option<Live> {
        admit(&self.spans.map, address).filter(|&live| !self.is_freed(live, address))
    }

    /// Whether a block that looks live has been freed: by another thread, and its owner does not know yet; or by a handler, which
    /// has put that off. Freed again, the block would be the next holder's when the first free is done.
    fn is_freed(&self, live: Live, address: usize) -> bool {
        let by_another = |world: &World| match live {
            Live::Slot(slot) => world.directory.has_freed(slot),
            Live::Large(_) | Live::Sampled(_) => false,
        };
        self.world().is_some_and(|world| by_another(world) || world.handlers.has_put_off_free(address))
    }

    /// Frees the live block at `address`, a slot or a large one, if there is one.
    pub(crate) fn free_live_at(&mut self, address: usize) -> bool {
        self.admit(address).is_some_and(|live| self.free_live(live))
    }

    /// Frees the live block at `address` if `layout` can be its own; else returns the live block there, if there is
    /// one.
    pub(crate) fn free_fitting(&mut self, address: usize, layout: Layout) -> Result<(), Option<Live>> {
        let live = self.admit_fitting(address, layout)?;
        if self.free_live(live) { Ok(()) } else { Err(None) }
    }

    pub(super) fn free_large(&mut self, span: Span) {
        if let Some(watch) = if_checked(self.spans.watch) {
            self.free_guard(watch.0.records(), span);
        }
        let free = self.spans.free_span(span);
        self.return_due(free);
    }

    pub(crate) fn admit_fitting(&self, address: usize, layout: Layout) -> Result<Live, Option<Live>> {
        let live = self.admit(address).ok_or(None)?;
        if live.can_be(address, layout, *self.slack_kept) { Ok(live) } else { Err(Some(live)) }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn explain_unfit(&self, address: usize, live: Option<Live>) -> Misuse {
        live.map_or_else(|| self.explain(address), |live| wrong_layout(live, address))
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn explain(&self, address: usize) -> Misuse {
        let freed = admit(&self.spans.map, address).is_some_and(|live| self.is_freed(live, address));
        explain(self.spans.find_around(address), address, freed)
    }

    /// Frees a live block. False if it is a slot that turns out to be free.
    pub(crate) fn free_live(&mut self, live: Live) -> bool {
        match live {
            Live::Slot(slot) => self.free_slot(slot),
            Live::Large(span) => {
                self.free_large(span);
                true
            }
            Live::Sampled(span) => {
                if SAMPLES {
                    self.free_sampled(span);
                }
                SAMPLES
            }
        }
    }

    fn free_slot(&mut self, slot: Slot) -> bool {
        if slot.slab.owner_number() != self.tier.number {
            return self.free_elsewhere(slot);
        }
        if slot.slab.is_freed_by_others() {
            self.tier.collect(slot.slab);
        }
        let live = slot.is_live();
        if live && slot.free() {
            self.review(slot.slab);
        }
        live
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn review(&mut self, slab: Slab) {
        if let Some(free) = self.tier.review(slab, self.spans) {
            self.return_due(free);
        }
    }

    /// Retires what the tier has queued for it.
    pub(crate) fn retire_queued(&mut self) {
        self.tier.draining = self.spans.is_draining();
        if let Some(free) = self.tier.retire_queued(self.spans) {
            self.return_due(free);
        }
    }

    /// Returns what is due to the kernel after a span was freed: mostly nothing.
    pub(crate) fn return_due(&mut self, free: Span) {
        if !RETURNS {
            self.return_end();
        } else if self.spans.is_return_due() {
            self.return_due_slow(free.start());
        }
    }

    /// Returns the heap's end, if much is free there.
    fn return_end(&mut self) {
        if self.spans.is_draining() {
            self.tier.detach_classes(self.spans);
        }
        self.spans.lower_if_long();
    }

    /// Whether all threads should [rest](crate::Hmalloc) soon: while the heap drains, or memory is kept for readers.
    #[inline(always)]
    pub(crate) fn wants_rest(&self) -> bool {
        self.spans.kept_for_readers || self.wants_rest
    }

    /// Whether they should now: not more often than once in a second.
    #[cold]
    #[inline(never)]
    pub(crate) fn may_rest(&mut self) -> bool {
        self.spans.kept_for_readers = false;
        let Some(world) = self.world().filter(|world| world.has_company()) else { return false };
        let Some(now) = self.spans.brk.now() else { return false };
        let may = (now as usize).wrapping_sub(world.rested.get()) >= REST_EVERY;
        if may {
            world.rested.set(now as usize);
        }
        may
    }

    /// Returns what may be returned while no other thread reads.
    pub(crate) fn return_rest(&mut self) {
        if let Some(first) = self.spans.first {
            self.return_due_slow(first.start());
        }
        self.spans.return_regions();
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn return_due_slow(&mut self, address: usize) {
        if !RETURNS {
            return self.return_end();
        }
        if let Some(plan) = self.spans.plan_return() {
            self.wants_rest = true;
            self.tier.detach_classes(self.spans);
            self.spans.return_some(address, plan);
            self.spans.return_regions();
        }
        self.spans.lower_over_metadata();
    }
}

impl<B: Brk> Work<'_, B> {
    /// Frees a slot of another tier's: as another thread does, or if that is not possible, in its owner's place.
    #[cold]
    #[inline(never)]
    fn free_elsewhere(&mut self, slot: Slot) -> bool {
        if let Some(common) =
            if_threads(self.common.as_deref_mut()).filter(|common| common.number == slot.slab.owner_number())
        {
            let live = slot.is_live();
            let free = if live && slot.free() { common.review(slot.slab, self.spans) } else { None };
            free.into_iter().for_each(|free| self.return_due(free));
            return live;
        }
        let Some(world) = self.world() else { corrupt(9, slot.slab.start()) };
        let mut outcome = world.directory.free(slot.slab, slot.address());
        if outcome == Outcome::NotShared && self.share(world, slot.slab) {
            outcome = world.directory.free(slot.slab, slot.address());
        }
        match outcome {
            Outcome::Freed | Outcome::FreedUnseen => true,
            Outcome::NotLive => false,
            Outcome::NotShared => self.free_in_place(world, slot),
        }
    }

    /// Tells the owner of a slab that others free its slots from now on. False if there is no room to note which.
    pub(super) fn share(&mut self, world: &World, slab: Slab) -> bool {
        let (Some(others), Some(base)) = (world.directory.of(slab.owner_number()), self.spans.map.base()) else {
            return false;
        };
        let page = slab.start().wrapping_sub(base) / PAGE;
        let served = page < self.spans.map.pages();
        let spans = &mut *self.spans;
        if !served || world.directory.chunks.serve(base, page, |bytes| spans.map_for_threads(bytes)).is_err() {
            return false;
        }
        if !others.is_shared() {
            others.share();
            barrier::pass_soon();
        }
        true
    }

    /// Frees a slot in its owner's place, who is stopped meanwhile.
    fn free_in_place(&mut self, world: &World, slot: Slot) -> bool {
        let Some(owner) = world.tier(slot.slab.owner_number()) else { corrupt(9, slot.slab.start()) };
        while !world.stop_one(owner, barrier::pass_all) {
            // Its handler forks, and waits for the lock that is held here.
            if owner.is_parked() {
                return world.handlers.put_off(PutOff::Free(slot.address())) || slot.is_live();
            }
        }
        // SAFETY: the owner is stopped, or there is none.
        let tier = unsafe { &mut *owner.tier() };
        let live = slot.is_live();
        // Where the owner is dead in the middle of an operation, its lists may be half linked: only the bit is believed then, as by
        // those who gather the slabs of such a tier.
        let due = live && slot.free() && owner.lease.is_at_rest();
        let free = if due { tier.review(slot.slab, self.spans) } else { None };
        world.restore();
        free.into_iter().for_each(|free| self.return_due(free));
        live
    }
}
