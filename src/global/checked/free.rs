//! Freeing in checked mode: verify, fill, free.

use super::callers::Note;
use super::{Freed, Hmalloc, Place, damage_before, is_layout_of, wrong_layout};
use crate::checked::{Checked, Here};
use crate::door::block::{Block, BlockState};
use crate::door::misuse::{Misuse, MisuseKind};
use crate::door::validate::admit_slot;
use crate::global::lock::Lock;
use crate::ground::header::Span;
use crate::ground::record::{Known, State};
use crate::kernel::brk::Brk;
use crate::kernel::tasks;
use crate::threads::handlers::PutOff;
use crate::work::checked::guard_before;
use core::alloc::Layout;

/// What became of the first half of a free: a block that is claimed, verified and filled.
enum Claimed {
    Filled,
    Unchecked,
    Wrong(Misuse),
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// Frees in checked mode. `layout` is what the caller says of the block, if anything.
    #[cold]
    #[inline(never)]
    pub(in crate::global) fn checked_free(&self, checked: &Checked, address: usize, layout: Option<Layout>) -> Freed {
        if !checked.found.is_quiet() {
            return self.checked_free_noting(checked, address, layout);
        }
        if self.free_common(checked, address, layout) {
            return Freed::Done;
        }
        self.checked_free_quietly(checked, address, layout, ())
    }

    #[inline(never)]
    pub(super) fn checked_free_quietly<N: Note>(
        &self,
        checked: &Checked,
        address: usize,
        layout: Option<Layout>,
        note: N,
    ) -> Freed {
        let Some(mine) = self.enter_checked() else {
            return self.checked_free_centrally(checked, address, layout, note);
        };
        let Some(slot) = admit_slot(self.lookup(), address) else {
            mine.leave();
            return self.checked_free_large(checked, address, layout, note);
        };
        let slab = slot.slab;
        let owned = mine.is(slab.owner_number());
        let Some(place) = Place::of_slot(checked, slot, address, owned) else {
            mine.leave();
            return Freed::Unchecked;
        };
        if !owned && !self.is_shared(slab.owner_number()) {
            mine.leave();
            self.share(address);
            return self.checked_free_centrally(checked, address, layout, note);
        }
        match claim(checked, place, layout, owned && mine.is_alone()) {
            Claimed::Filled => {}
            Claimed::Unchecked => {
                mine.leave();
                return Freed::Unchecked;
            }
            Claimed::Wrong(misuse) => {
                mine.leave();
                return Freed::Wrong(misuse);
            }
        }
        place.record.note_freed(mine.task());
        note.freed(checked, place);
        if mine.owns(slab) {
            if slot.free() {
                self.review(mine, None, slab);
            } else {
                mine.leave();
            }
            return Freed::Done;
        }
        if self.free_shared(mine, None, slab, address) { Freed::Done } else { self.free_filled(address) }
    }

    /// Frees a block of which nothing is known, if its layout fits: it may have been asked for with a byte more.
    #[cold]
    #[inline(never)]
    pub(in crate::global) fn free_sized_unchecked(&self, address: usize, layout: Layout) -> Result<(), Misuse> {
        let bytes = self.usable_size_unchecked(address)?;
        if layout.size() > bytes || !address.is_multiple_of(layout.align()) {
            return Err(wrong_layout(address, bytes));
        }
        let mut freed = Ok(());
        self.free_unchecked(address, || true, |misuse| freed = Err(*misuse));
        freed
    }

    /// Frees a slot that is filled, in the central part.
    fn free_filled(&self, address: usize) -> Freed {
        let mut freed = Freed::Done;
        self.free_centrally(None, address, || true, |misuse| freed = Freed::Wrong(*misuse));
        freed
    }

    /// Frees where the caller has no tier of its own, or is not to use it now.
    #[cold]
    #[inline(never)]
    fn checked_free_centrally<N: Note>(
        &self,
        checked: &Checked,
        address: usize,
        layout: Option<Layout>,
        note: N,
    ) -> Freed {
        if let Some(here) = checked.nothing.find(address) {
            return free_nothing(checked, here, address, layout);
        }
        let slot = match self.interrupted() {
            Some(_) => admit_slot(self.lookup(), address),
            None => self.in_center(None, |_| admit_slot(self.lookup(), address)).flatten(),
        };
        let Some(slot) = slot else { return self.checked_free_large(checked, address, layout, note) };
        let Some(place) = Place::of_slot(checked, slot, address, false) else { return Freed::Unchecked };
        match claim(checked, place, layout, false) {
            Claimed::Filled => {
                place.record.note_freed(self.task());
                note.freed(checked, place);
                self.free_filled(address)
            }
            Claimed::Unchecked => Freed::Unchecked,
            Claimed::Wrong(misuse) => Freed::Wrong(misuse),
        }
    }

    /// Whether a tier knows that others free its slots, so that its owner claims blocks by exchanges.
    fn is_shared(&self, number: u16) -> bool {
        self.lock.world().and_then(|world| world.directory.of(number)).is_none_or(|others| others.is_shared())
    }

    /// Tells the owner of the slot at `address` that others free its slots, and waits until it knows.
    ///
    /// A signal handler that has interrupted a call of its own thread does not wait: the owner may be that thread, or its handler
    /// may be waiting for this thread's call. Others do so without the lock, for which the owner's handler may wait.
    #[cold]
    #[inline(never)]
    fn share(&self, address: usize) {
        let wait = !self.lock.is_inside();
        while self.unless_inside(|work| work.share_slot_at(address, wait)) == Some(false) {
            tasks::sleep(1);
        }
    }

    /// Frees a large block: it is not used again for a while.
    #[cold]
    #[inline(never)]
    fn checked_free_large<N: Note>(&self, checked: &Checked, address: usize, layout: Option<Layout>, note: N) -> Freed {
        if let Some(here) = checked.nothing.find(address) {
            return free_nothing(checked, here, address, layout);
        }
        let Some(place) = self.place_at(checked, address) else { return Freed::Unchecked };
        let known = place.record.load();
        match known.state {
            State::Large => {}
            State::Busy => return Freed::Wrong(place.already_free()),
            State::Damaged => {
                let damage = self.damage_of_large(checked, place, large(known));
                return Freed::Wrong(damage.unwrap_or_else(|| place.already_free()));
            }
            _ => return Freed::Unchecked,
        }
        if !is_layout_of(known, layout) {
            return Freed::Wrong(wrong_layout(address, known.size));
        }
        if !place.record.claim(known, false) {
            return Freed::Wrong(place.already_free());
        }
        if let Some(misuse) = self.damage_of_large(checked, place, known) {
            place.record.set_state(State::Damaged);
            return Freed::Wrong(misuse);
        }
        place.record.note_freed(self.task());
        note.freed(checked, place);
        let aside = self.unless_inside(|work| {
            work.spans.map.find(address).is_some_and(|block| work.set_aside(checked, block, address))
        });
        match aside {
            Some(true) => Freed::Done,
            Some(false) => Freed::Wrong(place.already_free()),
            None => {
                self.put_off(PutOff::Free(address));
                Freed::Done
            }
        }
    }

    /// What is wrong around a large block that is claimed.
    pub(super) fn damage_of_large(&self, checked: &Checked, place: Place<'_>, known: Known) -> Option<Misuse> {
        // SAFETY: filled behind its size when it was made.
        if !unsafe { checked.is_slack_intact(place.room, known) } {
            // SAFETY: as above.
            return Some(unsafe { checked.explain_slack(place.room, known, place.record) });
        }
        let address = place.room.start;
        let guard = |block: Span| guard_before(&checked.records, block).map(|(guard, _)| super::Room::of_span(guard));
        let guard = self.unless_inside(|work| work.spans.map.find(address).and_then(guard)).flatten()?;
        let from = guard.bytes - super::EDGE;
        let edge = Known { state: State::Edge, size: 0, align: 1 };
        // SAFETY: filled when it was made, and it stands as long as the block.
        if unsafe { checked.is_free_intact(guard, edge, from) } {
            return None;
        }
        // SAFETY: as above.
        Some(unsafe { checked.explain_before(guard, from, known, place.record) })
    }
}

/// What is known of a large block, whatever its state.
pub(super) fn large(known: Known) -> Known {
    Known { state: State::Large, ..known }
}

/// Claims a live slot for the caller, verifies and fills it. `alone` says that no other thread can free it.
#[inline(always)]
fn claim(checked: &Checked, place: Place<'_>, layout: Option<Layout>, alone: bool) -> Claimed {
    let known = place.record.load();
    if known.state != State::Live || !is_layout_of(known, layout) {
        return refuse(checked, place, known);
    }
    if !place.record.claim(known, alone) {
        return Claimed::Wrong(place.already_free());
    }
    if let Some(misuse) = damage_of_slot(checked, place, known) {
        place.record.set_state(State::Damaged);
        return Claimed::Wrong(misuse);
    }
    // SAFETY: the caller has claimed the block, and its slack is intact.
    unsafe { checked.fill_freed(place.room, known.size) };
    place.record.set(State::Free, known.size, known.align);
    Claimed::Filled
}

/// What is wrong around a slot that is claimed.
#[inline(always)]
pub(super) fn damage_of_slot(checked: &Checked, place: Place<'_>, known: Known) -> Option<Misuse> {
    // SAFETY: filled behind its size when it was made.
    if !unsafe { checked.is_slack_intact(place.room, known) } {
        // SAFETY: as above.
        return Some(unsafe { checked.explain_slack(place.room, known, place.record) });
    }
    damage_before(checked, place, known)
}

/// Why a slot whose live bit is set is not claimed.
#[cold]
#[inline(never)]
fn refuse(checked: &Checked, place: Place<'_>, known: Known) -> Claimed {
    match known.state {
        State::Live => Claimed::Wrong(wrong_layout(place.room.start, known.size)),
        State::Busy => Claimed::Wrong(place.already_free()),
        State::Damaged => {
            // What was written may be as it was again.
            Claimed::Wrong(damage_of_slot(checked, place, known).unwrap_or_else(|| place.already_free()))
        }
        _ => Claimed::Unchecked,
    }
}

#[cold]
fn free_nothing(checked: &Checked, here: Here, address: usize, layout: Option<Layout>) -> Freed {
    let misuse = match here {
        Here::Live if layout.is_some_and(|layout| layout.size() != 0) => return Freed::Wrong(wrong_layout(address, 0)),
        Here::Live if checked.nothing.free(address) => return Freed::Done,
        here => nothing_misuse(here, address),
    };
    Freed::Wrong(misuse)
}

/// The misuse of an address among those of blocks of 0 bytes at which none is live.
pub(super) fn nothing_misuse(here: Here, address: usize) -> Misuse {
    let kind = match here {
        Here::Inside => MisuseKind::Misaligned,
        Here::Live | Here::Free => MisuseKind::AlreadyFree,
    };
    let found = Block { address: address & !15, size: 0, state: BlockState::Free };
    Misuse { kind, address, found: Some(found) }
}
