//! The common case of each call: a slot of the caller's own tier, with a record, and nothing wrong. It is decided by a few words,
//! and anything else is left as it was to the functions that tell cases apart, which begin anew.

use super::settle::{Wish, begin};
use super::{Hmalloc, Place, is_end_intact};
use crate::checked::Checked;
use crate::checked::content::Room;
use crate::door::validate::admit_slot;
use crate::global::lock::Lock;
use crate::ground::pattern::{fill_start, is_intact, is_start_intact};
use crate::ground::record::{Record, State};
use crate::ground::size_class::{MIN_ALIGN, SizeClass};
use crate::kernel::brk::Brk;
use crate::tier::Tier;
use crate::tier::slot::Slot;
use core::alloc::Layout;
use core::ptr::{NonNull, with_exposed_provenance_mut};

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// One of the slots that the class has at hand, if it holds what it should.
    #[inline(always)]
    pub(super) fn allocate_common(&self, checked: &Checked, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        // One byte more, so that there is always one behind the block.
        let class = SizeClass::of_size(layout.size().wrapping_add(1))?;
        if layout.align() > MIN_ALIGN || layout.size() == 0 {
            return None;
        }
        let mut mine = self.enter_checked()?;
        let task = mine.task();
        let taken = match take_filled(checked, mine.tier(self), class) {
            Some((payload, record)) => {
                // The slot is filled behind the block, too.
                record.note_allocated(task);
                record.set(State::Live, layout.size(), layout.align());
                if zeroed {
                    // SAFETY: the block is new, and so long.
                    unsafe { payload.write_bytes(0, layout.size()) };
                }
                Some(payload)
            }
            None => take_other(checked, mine.tier(self), class, Wish { thread: task, ..Wish::new(layout, zeroed) }),
        };
        mine.leave();
        taken
    }

    /// Frees a slot of the caller's own tier, if its record and what is around it are as they should be.
    #[inline(always)]
    pub(super) fn free_common(&self, checked: &Checked, address: usize, layout: Option<Layout>) -> bool {
        let Some(mine) = self.enter_checked() else { return false };
        if let Some(slot) = admit_slot(self.lookup(), address)
            && mine.owns(slot.slab)
            && fill_claimed(checked, slot, address, layout, mine.is_alone(), mine.task())
        {
            if slot.free() {
                self.review(mine, None, slot.slab);
            } else {
                mine.leave();
            }
            return true;
        }
        mine.leave();
        false
    }
}

/// Takes one of the slots that a class has at hand: one that was freed, and holds its word. With its record.
#[inline(always)]
fn take_filled<'a>(checked: &'a Checked, tier: &mut Tier, class: SizeClass) -> Option<(NonNull<u8>, &'a Record)> {
    let class = tier.class(class);
    let chosen = class.choose(checked.secret.0)?;
    let (record, before) = checked.records.with_before(chosen.slot.slab, chosen.slot.number())?;
    // A slab's first slot stays free, and one without a record is filled at its end, before the block is handed out.
    if before.is_none_or(Record::is_empty) || record.state() != State::Free || checked.checks.zeroes() {
        return None;
    }
    let (address, bytes) = (chosen.address, chosen.slot.slab.slot_size());
    // SAFETY: the caller has the slot, which was filled when it was freed.
    if !unsafe { is_start_intact(address, bytes, checked.secret.word(address)) } {
        return None;
    }
    class.take_chosen(chosen, checked.secret.0);
    Some((NonNull::new(with_exposed_provenance_mut(address))?, record))
}

/// The same for a slot that was never handed out, or has one before it that was not, or that holds zeros.
#[inline(never)]
fn take_other(checked: &Checked, tier: &mut Tier, class: SizeClass, wish: Wish) -> Option<NonNull<u8>> {
    let class = tier.class(class);
    let chosen = class.choose(checked.secret.0)?;
    let place = Place::of_slot(checked, chosen.slot, chosen.address, true).filter(|place| place.before.is_some())?;
    let known = place.record.load();
    let intact = match known.state {
        State::Empty => true,
        // SAFETY: the caller has the slot, and its record says what stands there.
        State::Free | State::Edge => unsafe {
            checked.is_free_intact(place.room, known, Checked::filled_from(place.room, known.state))
        },
        _ => false,
    };
    if !intact {
        return None;
    }
    class.take_chosen(chosen, checked.secret.0);
    begin(checked, chosen.slot, place, known, wish);
    NonNull::new(with_exposed_provenance_mut(chosen.address))
}

/// Claims a live slot of the caller's tier, verifies it, and makes it a free one's: all but its bit. `alone` says that no other
/// thread can free it. If anything is wrong, the slot is as it was.
#[inline(always)]
fn fill_claimed(checked: &Checked, slot: Slot, address: usize, layout: Option<Layout>, alone: bool, task: u32) -> bool {
    let Some((record, before)) = checked.records.with_before(slot.slab, slot.number()) else { return false };
    let Some(living) = record.live(layout).filter(|&living| record.claim_live(living, alone)) else { return false };
    let size = living.size();
    let (room, word) = (Room::of_slot(slot, address), checked.secret.word(address));
    // SAFETY: filled behind its size when it was made; and the slot before it, which has the other record.
    let intact = unsafe {
        is_intact(address, size, room.bytes, word)
            && before.is_none_or(|before| is_end_intact(checked, before, room, true))
    };
    if !intact {
        record.end_claim(living, State::Live);
        return false;
    }
    if checked.checks.zeroes() {
        // SAFETY: the caller has claimed the block.
        unsafe { with_exposed_provenance_mut::<u8>(address).write_bytes(0, size) };
    } else {
        // SAFETY: as above. Its slack is overwritten with what is there.
        unsafe { fill_start(address, size.next_multiple_of(MIN_ALIGN), word) };
    }
    record.note_freed(task);
    record.end_claim(living, State::Free);
    true
}
