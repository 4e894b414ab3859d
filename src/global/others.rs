//! Frees in slabs in which several threads free: another thread's, or the caller's own in which others have freed slots.

use super::Hmalloc;
use super::turn::{ByHandle, Mine};
use crate::door::misuse::{Misuse, MisuseKind};
use crate::global::lock::Lock;
use crate::ground::header::Slab;
use crate::kernel::brk::Brk;
use crate::threads::World;
use crate::tier::others::{Beside, Outcome};
use crate::tier::slot::Slot;

impl<L: Lock, B: Brk> Hmalloc<L, B> {
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
