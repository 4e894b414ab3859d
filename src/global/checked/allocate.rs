//! Allocating in checked mode.

use super::{Hmalloc, Place};
use crate::central::spans::OutOfMemory;
use crate::checked::Checked;
use crate::checked::content::{EDGE, Room};
use crate::door::misuse::Misuse;
use crate::door::validate::admit_slot;
use crate::global::lock::Lock;
use crate::ground::pattern::fill;
use crate::ground::record::{Known, Record, State};
use crate::ground::size_class::{MIN_ALIGN, SizeClass};
use crate::kernel::brk::Brk;
use crate::tier::slot::Slot;
use core::alloc::Layout;
use core::ptr::{NonNull, with_exposed_provenance_mut};

/// Slabs of so many slots or more keep their first one free: it is filled, so that a write before the second is found, and
/// before a slab there is never a block without a byte between.
const FIRST_FREE_FROM: usize = 2;
/// How often a first slot is passed over in one request. Then it is used: there may be no other.
const PASSES: usize = 3;

/// What a request is for.
#[derive(Clone, Copy)]
struct Wish {
    layout: Layout,
    zeroed: bool,
    thread: u32,
    /// Whether a slab's first slot will do.
    first: bool,
}

/// What became of a slot that the tier handed out.
enum Settled {
    Ready,
    /// It is a slab's first one, and stays free.
    First,
    Damaged(Misuse),
    /// It was damaged before: nobody gets it.
    Kept,
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// Allocates in checked mode.
    #[cold]
    #[inline(never)]
    pub(in crate::global) fn checked_allocate(
        &self,
        checked: &'static Checked,
        layout: Layout,
        zeroed: bool,
    ) -> Result<NonNull<u8>, OutOfMemory> {
        self.report_retired(checked);
        let size = layout.size();
        // One byte more, so that there is always one behind the block.
        let class =
            if layout.align() > MIN_ALIGN || size == 0 { None } else { SizeClass::of_size(size.wrapping_add(1)) };
        let mut wish = Wish { layout, zeroed, thread: 0, first: false };
        match class.and_then(|class| self.slot_at_hand(checked, class, &mut wish)) {
            Some((payload, Settled::Ready)) => Ok(payload),
            Some((_, Settled::Damaged(misuse))) => {
                self.report_found("malloc", &misuse);
                self.checked_allocate_slow(checked, wish)
            }
            _ => self.checked_allocate_slow(checked, wish),
        }
    }

    #[inline(never)]
    fn checked_allocate_slow(&self, checked: &'static Checked, wish: Wish) -> Result<NonNull<u8>, OutOfMemory> {
        let layout = wish.layout;
        if layout.size() == 0 && layout.align() <= MIN_ALIGN {
            let nothing = checked.nothing.take().and_then(|address| NonNull::new(with_exposed_provenance_mut(address)));
            if let Some(nothing) = nothing {
                return Ok(nothing);
            }
        }
        let size = layout.size().checked_add(1).ok_or(OutOfMemory)?;
        let roomy = Layout::from_size_align(size, layout.align()).map_err(|_| OutOfMemory)?;
        match SizeClass::of(roomy) {
            Some(class) => self.checked_slot(checked, wish, class, roomy),
            None => self.checked_large(checked, layout, wish.zeroed, roomy),
        }
    }

    /// One of the slots that the class has at hand, settled before the turn ends.
    #[inline(always)]
    fn slot_at_hand(&self, checked: &Checked, class: SizeClass, wish: &mut Wish) -> Option<(NonNull<u8>, Settled)> {
        let mut mine = self.enter_checked()?;
        wish.thread = mine.task();
        let Some(payload) = mine.tier().pop_any(class, checked.secret.0) else {
            mine.leave();
            return None;
        };
        let Some(slot) = admit_slot(self.lookup(), payload.addr().get()) else {
            mine.leave();
            return Some((payload, unknown(payload, *wish)));
        };
        let settled = settle(checked, slot, payload, *wish, true);
        if matches!(settled, Settled::First) && slot.free() {
            self.review(mine, None, slot.slab);
        } else {
            mine.leave();
        }
        Some((payload, settled))
    }

    fn checked_slot(
        &self,
        checked: &'static Checked,
        mut wish: Wish,
        class: SizeClass,
        roomy: Layout,
    ) -> Result<NonNull<u8>, OutOfMemory> {
        for pass in 0.. {
            wish.first = pass >= PASSES;
            let found =
                self.slot_at_hand(checked, class, &mut wish).or_else(|| self.slot_of_own(checked, class, &mut wish));
            let (payload, settled) = match found {
                Some(found) => found,
                None => self.slot_of_center(checked, roomy, &mut wish)?,
            };
            match settled {
                Settled::Ready => return Ok(payload),
                Settled::First | Settled::Kept => {}
                Settled::Damaged(misuse) => self.report_found("malloc", &misuse),
            }
        }
        Err(OutOfMemory)
    }

    /// A slot of the caller's own tier that its class did not have at hand.
    #[inline(never)]
    fn slot_of_own(&self, checked: &Checked, class: SizeClass, wish: &mut Wish) -> Option<(NonNull<u8>, Settled)> {
        let mut mine = self.enter_checked()?;
        wish.thread = mine.task();
        let tier = mine.tier();
        let payload = tier.find_alone(class, self.lookup()).and_then(|class| tier.pop_any(class, checked.secret.0));
        let slot = payload.and_then(|payload| admit_slot(self.lookup(), payload.addr().get()));
        let settled = match (payload, slot) {
            (Some(payload), Some(slot)) => settle(checked, slot, payload, *wish, true),
            (Some(payload), None) => unknown(payload, *wish),
            (None, _) => Settled::Kept,
        };
        match slot {
            Some(slot) if matches!(settled, Settled::First) && slot.free() => self.review(mine, None, slot.slab),
            _ => self.finish(mine, None),
        }
        payload.map(|payload| (payload, settled))
    }

    /// A slot from the central part.
    #[cold]
    fn slot_of_center(
        &self,
        checked: &Checked,
        roomy: Layout,
        wish: &mut Wish,
    ) -> Result<(NonNull<u8>, Settled), OutOfMemory> {
        let payload = self.allocate_centrally(None, roomy)?;
        wish.thread = self.task();
        let address = payload.addr().get();
        let settled = self.settle_of_center(checked, payload, *wish);
        if matches!(settled, Settled::First) {
            self.free_unchecked(address, || false, |_| {});
        }
        Ok((payload, settled))
    }

    /// Settles in the central part: there the caller has its tier, or the heap's own.
    fn settle_of_center(&self, checked: &Checked, payload: NonNull<u8>, wish: Wish) -> Settled {
        let settled = self.in_center(None, |work| {
            let slot = admit_slot(self.lookup(), payload.addr().get())?;
            let owned = slot.slab.owner_number() == work.tier.number;
            Some(settle(checked, slot, payload, wish, owned))
        });
        settled.flatten().unwrap_or_else(|| unknown(payload, wish))
    }

    fn checked_large(
        &self,
        checked: &'static Checked,
        layout: Layout,
        zeroed: bool,
        roomy: Layout,
    ) -> Result<NonNull<u8>, OutOfMemory> {
        let unfilled = self.or_after_hook(layout, || {
            if let Some((_, true)) = self.interrupted() {
                return self.allocate_alone(roomy).map(Err);
            }
            let attempt = || self.in_center(None, |work| work.allocate_guarded(checked, roomy));
            match attempt() {
                Some(Err(OutOfMemory)) if self.empty_quarantine() => attempt().unwrap_or(Err(OutOfMemory)).map(Ok),
                Some(allocated) => allocated.map(Ok),
                None => self.allocate_alone(roomy).map(Err),
            }
        });
        let unfilled = match unfilled {
            Ok(Ok(unfilled)) => unfilled,
            // A mapping of its own: zero, and without a record.
            Ok(Err(payload)) => return Ok(payload),
            // What all threads hold is looked at, too, before the answer is that there is none.
            Err(OutOfMemory) => return self.large_from_all(roomy, zeroed),
        };
        let zeroed = zeroed || checked.checks.zeroes();
        let payload = if zeroed { unfilled.fill() } else { unfilled.leave() };
        let address = payload.addr().get();
        if let Some(place) = self.in_center(None, |work| work.large_at(address)).flatten() {
            note_large(checked, place, layout, self.task());
        }
        Ok(payload)
    }

    #[cold]
    fn large_from_all(&self, roomy: Layout, zeroed: bool) -> Result<NonNull<u8>, OutOfMemory> {
        let payload = self.allocate_from_all(None, roomy)?;
        if zeroed {
            // SAFETY: the block is new, and so long.
            unsafe { payload.write_bytes(0, roomy.size()) };
        }
        Ok(payload)
    }
}

/// Settles a block that has no record: in a region, or a mapping of its own.
#[cold]
fn unknown(payload: NonNull<u8>, wish: Wish) -> Settled {
    if wish.zeroed {
        // SAFETY: the block is new, and so long.
        unsafe { payload.write_bytes(0, wish.layout.size()) };
    }
    Settled::Ready
}

/// Enters a large block, and fills what is behind it.
fn note_large(checked: &Checked, room: Room, layout: Layout, thread: u32) {
    let Some(record) = checked.records.at(room.start, 0) else { return };
    let known = Known { state: State::Large, size: layout.size(), align: layout.align() };
    // SAFETY: the block is new.
    unsafe { checked.fill_from(room, known.size, known) };
    record.note_allocated(thread);
    record.set(State::Large, known.size, known.align);
}

/// Makes a slot that was just handed out a block's: verifies what stands there, and enters the block. `owned` says that the
/// caller has the tier that handed it out.
#[inline]
fn settle(checked: &Checked, slot: Slot, payload: NonNull<u8>, wish: Wish, owned: bool) -> Settled {
    let address = payload.addr().get();
    let Some(place) = Place::of_slot(checked, slot, address, owned) else {
        return unknown(payload, wish);
    };
    let (room, record, known) = (place.room, place.record, place.record.load());
    if known.state == State::Damaged {
        return Settled::Kept;
    }
    if matches!(known.state, State::Free | State::Edge) {
        // SAFETY: the caller has the slot, and its record says what stands there.
        if !unsafe { checked.is_free_intact(room, known, Checked::filled_from(room, known.state)) } {
            // SAFETY: as above.
            let misuse = unsafe { checked.explain_free(room, known, record) };
            record.set_state(State::Damaged);
            return Settled::Damaged(misuse);
        }
    }
    if slot.number() == 0 && !wish.first && slot.slab.capacity() >= FIRST_FREE_FROM {
        if known.state != State::Free {
            make_edge(checked, room, record);
        }
        return Settled::First;
    }
    enter(checked, place, known, wish);
    if owned && let Some(before) = place.before.filter(|record| record.is_empty()) {
        let slot = Slot::new(slot.slab, slot.number() - 1);
        if !slot.is_live() {
            make_edge(checked, Room { start: address - room.bytes, ..room }, before);
        }
    }
    Settled::Ready
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
