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
    /// By number, from 1 on.
    others: [AtomicPtr<Others>; TIERS_MAX],
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
        let entry = self.others.get(usize::from(number).wrapping_sub(1))?;
        // SAFETY: `enter` is called with tiers that stay.
        unsafe { entry.load(Acquire).as_ref() }
    }

    /// Enters tier number `number`.
    ///
    /// # Safety
    ///
    /// It stays where it is as long as the directory.
    pub(crate) unsafe fn enter(&self, number: u16, others: &Others) {
        self.others[usize::from(number) - 1].store(core::ptr::from_ref(others).cast_mut(), Release);
    }

    /// Frees the slot of a slab that the caller has found at `address`, and does not own.
    #[inline(always)]
    pub(crate) fn free(&self, slab: Slab, address: usize) -> Outcome {
        let owner = slab.owner_number();
        let Some(others) = self.of(owner) else { return Outcome::NotShared };
        match others.free(&self.chunks, slab, address, owner) {
            Ok(None) => Outcome::Freed,
            Ok(Some((now, page))) => {
                let told = if now == owner { Some(others) } else { self.of(now) };
                let unseen = told.is_some_and(|others| others.notify(slab, page));
                if unseen { Outcome::FreedUnseen } else { Outcome::Freed }
            }
            Err(outcome) => outcome,
        }
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
