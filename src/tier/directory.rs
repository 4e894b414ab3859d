//! All tiers of a heap that threads own, as others see them.

use super::others::{Beside, Others, Outcome};
use crate::ground::chunks::Chunks;
use crate::ground::header::Slab;
use crate::tier::slot::Slot;
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::{Acquire, Release};

/// The most tiers that threads can own. Threads beyond take turns.
pub(crate) const TIERS_MAX: usize = 255;

/// All tiers of a heap that threads can own, as others see them.
pub(crate) struct Directory {
    pub(crate) chunks: Chunks,
    /// By number, from 1 on: no tier has number 0. As many as a byte has values, so that each finds an entry.
    others: [AtomicPtr<Others>; TIERS_MAX + 1],
}

impl core::fmt::Debug for Directory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Directory").finish_non_exhaustive()
    }
}

impl Directory {
    /// What others see of tier number `number`, if there is one.
    #[inline(always)]
    pub(crate) fn of(&self, number: u16) -> Option<&Others> {
        let entry = &self.others[usize::from(number as u8)];
        // SAFETY: `enter` is called with tiers that stay.
        unsafe { entry.load(Acquire).as_ref() }
    }

    /// Enters tier number `number`.
    ///
    /// # Safety
    ///
    /// It stays where it is as long as the directory.
    pub(crate) unsafe fn enter(&self, number: u16, others: &Others) {
        self.others[usize::from(number)].store(core::ptr::from_ref(others).cast_mut(), Release);
    }

    /// Frees the slot of a slab that the caller has found at `address`, and does not own.
    pub(crate) fn free(&self, slab: Slab, address: usize) -> Outcome {
        match self.free_quietly(slab, address) {
            Ok(number) => self.tell(slab, number),
            Err(outcome) => outcome,
        }
    }

    /// The same, but leaves it to the caller to [tell](Self::tell) the owner. Returns the slot's number. Where the owner
    /// [knows](Slab::may_be_freed_by_others) that slots beside it were freed, it need not be told.
    #[inline(always)]
    pub(crate) fn free_quietly(&self, slab: Slab, address: usize) -> Result<usize, Outcome> {
        let owner = slab.owner_number();
        let others = self.of(owner).ok_or(Outcome::NotShared)?;
        others.free(&self.chunks, slab, address, owner)
    }

    /// Tells the owner of a slab that another thread has freed the slot of this number, if it does not know that one was freed
    /// there. The owner may be another one by now.
    pub(crate) fn tell(&self, slab: Slab, number: usize) -> Outcome {
        let owner = slab.note_freed_by_others(number).and_then(|owner| self.of(owner));
        let told = owner.zip(self.chunks.page_of(slab));
        let is_unseen = told.is_some_and(|(owner, page)| owner.notify(slab, page));
        if is_unseen { Outcome::FreedUnseen } else { Outcome::Freed }
    }

    /// What other threads than the owner have freed beside a slot that is live.
    pub(crate) fn freed_beside(&self, slot: Slot) -> Beside {
        self.of(slot.slab.owner_number()).map_or(Beside::Nothing, |others| others.freed_beside(slot))
    }

    /// Whether another thread than the owner has freed a live slot, and the owner has not taken it yet.
    #[inline(never)]
    pub(crate) fn has_freed(&self, slot: Slot) -> bool {
        self.of(slot.slab.owner_number()).is_some_and(|others| others.has_freed(slot))
    }
}
