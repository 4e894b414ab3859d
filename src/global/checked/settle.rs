//! Making a slot that was handed out a block's.

use super::Place;
use crate::checked::Checked;
use crate::checked::content::{EDGE, Room};
use crate::door::misuse::Misuse;
use crate::ground::pattern::fill;
use crate::ground::record::{Known, Record, State};
use crate::tier::slot::Slot;
use core::alloc::Layout;
use core::ptr::{NonNull, with_exposed_provenance_mut};

/// Slabs of so many slots or more keep their first one free: it is filled, so that a write before the second is found, and
/// before a slab there is never a block without a byte between.
const FIRST_FREE_FROM: usize = 2;

/// What a request is for.
#[derive(Clone, Copy)]
pub(super) struct Wish {
    pub(super) layout: Layout,
    pub(super) zeroed: bool,
    pub(super) thread: u32,
    /// Whether a slab's first slot will do.
    pub(super) first: bool,
}

impl Wish {
    #[inline(always)]
    pub(super) fn new(layout: Layout, zeroed: bool) -> Self {
        Self { layout, zeroed, thread: 0, first: false }
    }
}

/// What became of a slot that the tier handed out.
pub(super) enum Settled {
    Ready,
    /// It is a slab's first one, and stays free.
    First,
    Damaged(Misuse),
    /// It was damaged before: nobody gets it.
    Kept,
}

/// Settles a block that has no record: in a region, or a mapping of its own.
#[cold]
pub(super) fn unknown(payload: NonNull<u8>, wish: Wish) -> Settled {
    if wish.zeroed {
        // SAFETY: the block is new, and so long.
        unsafe { payload.write_bytes(0, wish.layout.size()) };
    }
    Settled::Ready
}

/// Makes a slot that was just handed out a block's: verifies what stands there, and enters the block. `owned` says that the
/// caller has the tier that handed it out.
#[inline]
pub(super) fn settle(checked: &Checked, slot: Slot, payload: NonNull<u8>, wish: Wish, owned: bool) -> Settled {
    let address = payload.addr().get();
    let Some(place) = Place::of_slot(checked, slot, address, owned) else {
        return unknown(payload, wish);
    };
    let (room, record, known) = (place.room, place.record, place.record.load());
    if known.state == State::Damaged {
        return Settled::Kept;
    }
    let filled = matches!(known.state, State::Free | State::Edge);
    // SAFETY: the caller has the slot, and its record says what stands there.
    if filled && !unsafe { checked.is_free_intact(room, known, Checked::filled_from(room, known.state)) } {
        return damaged(checked, place, known);
    }
    if slot.number() == 0 && !wish.first && slot.slab.capacity() >= FIRST_FREE_FROM {
        if known.state != State::Free {
            make_edge(checked, room, record);
        }
        return Settled::First;
    }
    begin(checked, slot, place, known, wish);
    Settled::Ready
}

/// Enters a block in a slot that was `known`, and intact.
#[inline]
pub(super) fn begin(checked: &Checked, slot: Slot, place: Place<'_>, known: Known, wish: Wish) {
    enter(checked, place, known, wish);
    if place.owned
        && let Some(before) = place.before.filter(|record| record.is_empty())
    {
        fill_before(checked, slot, place.room, before);
    }
}

/// Takes a slot out of use whose filling has changed.
#[cold]
#[inline(never)]
fn damaged(checked: &Checked, place: Place<'_>, known: Known) -> Settled {
    // SAFETY: the caller has the slot, and its record says what stands there.
    let misuse = unsafe { checked.explain_free(place.room, known, place.record) };
    place.record.set_state(State::Damaged);
    Settled::Damaged(misuse)
}

/// Fills the end of the slot before a block, if it is free. The caller has the slab's tier.
fn fill_before(checked: &Checked, block: Slot, room: Room, record: &Record) {
    let slot = Slot::new(block.slab, block.number() - 1);
    if !slot.is_live() {
        // It may not be claimed, and known to be zero (I14).
        slot.slab.use_units(slot.number() / 64, 1 << (slot.number() % 64));
        make_edge(checked, Room { start: room.start - room.bytes, ..room }, record);
    }
}

/// Enters a block in a slot that was `known`.
#[inline(always)]
fn enter(checked: &Checked, place: Place<'_>, known: Known, wish: Wish) {
    let (room, size) = (place.room, wish.layout.size());
    let new = Known { state: State::Live, size, align: wish.layout.align() };
    let from = match known.state {
        // Zeros were up to the old size.
        State::Free if checked.checks.zeroes() && known.size > size => size,
        State::Free => room.bytes,
        _ => 0,
    };
    // SAFETY: the slot is the caller's.
    unsafe {
        if from < room.bytes {
            checked.fill_from(room, from, new);
        }
        if wish.zeroed || checked.checks.zeroes() {
            with_exposed_provenance_mut::<u8>(room.start).write_bytes(0, size);
        }
    }
    place.record.note_allocated(wish.thread);
    place.record.set(State::Live, size, new.align);
}

/// Fills the end of a slot that was never handed out.
fn make_edge(checked: &Checked, room: Room, record: &Record) {
    // SAFETY: the caller has the slot, or hands it out: nothing else uses it.
    unsafe { fill(room.start, room.bytes.saturating_sub(EDGE), room.bytes, checked.secret.word(room.start)) };
    record.set(State::Edge, 0, 1);
}
