//! Allocating in checked mode.

use super::Hmalloc;
use super::settle::{Settled, Wish, settle, unknown};
use crate::central::spans::OutOfMemory;
use crate::checked::Checked;
use crate::checked::content::Room;
use crate::door::validate::admit_slot;
use crate::global::lock::Lock;
use crate::ground::contents::Unfilled;
use crate::ground::record::{Known, Record, State};
use crate::ground::size_class::{MIN_ALIGN, SizeClass};
use crate::kernel::brk::Brk;
use core::alloc::Layout;
use core::ptr::{NonNull, with_exposed_provenance_mut};

/// How often a first slot is passed over in one request. Then it is used: there may be no other.
const PASSES: usize = 3;

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
        if !checked.found.is_quiet() {
            return self.checked_allocate_noting(checked, layout, zeroed);
        }
        self.checked_allocate_quietly(checked, layout, zeroed)
    }

    #[inline(always)]
    pub(super) fn checked_allocate_quietly(
        &self,
        checked: &'static Checked,
        layout: Layout,
        zeroed: bool,
    ) -> Result<NonNull<u8>, OutOfMemory> {
        match self.allocate_common(checked, layout, zeroed) {
            Some(payload) => Ok(payload),
            None => self.checked_allocate_slow(checked, Wish::new(layout, zeroed)),
        }
    }

    #[inline(never)]
    pub(super) fn checked_allocate_slow(
        &self,
        checked: &'static Checked,
        wish: Wish,
    ) -> Result<NonNull<u8>, OutOfMemory> {
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
        let Some(payload) = mine.tier(self).pop_any(class, checked.secret.0) else {
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
        let tier = mine.tier(self);
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
        let payload = self.allocate_centrally(None, roomy, false)?;
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
        let find = || admit_slot(self.lookup(), payload.addr().get());
        let settled = self.unless_inside(|work| {
            let slot = find()?;
            let owned = slot.slab.owner_number() == work.tier.number;
            Some(settle(checked, slot, payload, wish, owned))
        });
        settled.flatten().unwrap_or_else(|| {
            // A signal handler, which may have waited in vain since it got a slot: nothing is known of that any more.
            let record = find().and_then(|slot| checked.records.of(slot.slab, slot.number()));
            record.into_iter().for_each(Record::forget);
            unknown(payload, wish)
        })
    }

    fn checked_large(
        &self,
        checked: &'static Checked,
        layout: Layout,
        zeroed: bool,
        roomy: Layout,
    ) -> Result<NonNull<u8>, OutOfMemory> {
        let unfilled = self.or_after_hook(layout, || self.try_large(checked, roomy));
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
        if let Some(place) = self.unless_inside(|work| work.large_at(address)).flatten() {
            note_large(checked, place, layout, self.task());
        }
        Ok(payload)
    }

    /// A large block before it is filled; for a signal handler that cannot get into the central part, a mapping.
    fn try_large(&self, checked: &Checked, roomy: Layout) -> Result<Result<Unfilled, NonNull<u8>>, OutOfMemory> {
        let attempt = || self.unless_inside(|work| work.allocate_guarded(checked, roomy));
        match attempt() {
            Some(Err(OutOfMemory)) if self.empty_quarantine() => attempt().unwrap_or(Err(OutOfMemory)).map(Ok),
            Some(allocated) => allocated.map(Ok),
            None => self.allocate_alone(roomy).map(Err),
        }
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

/// Enters a large block, and fills what is behind it.
fn note_large(checked: &Checked, room: Room, layout: Layout, thread: u32) {
    let Some(record) = checked.records.at(room.start, 0) else { return };
    let known = Known { state: State::Large, size: layout.size(), align: layout.align() };
    // SAFETY: the block is new.
    unsafe { checked.fill_from(room, known.size, known) };
    record.note_allocated(thread);
    record.set(State::Large, known.size, known.align);
}
