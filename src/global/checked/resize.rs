//! Resizing and measuring in checked mode.

use super::free::{damage_of_slot, large, nothing_misuse};
use super::{Freed, Hmalloc, Place, is_layout_of, wrong_layout};
use crate::central::spans::OutOfMemory;
use crate::checked::{Checked, Here};
use crate::door::misuse::Misuse;
use crate::global::lock::Lock;
use crate::ground::record::{Known, State};
use crate::ground::size_class::SizeClass;
use crate::kernel::brk::Brk;
use crate::resize::ResizeError;
use core::alloc::Layout;
use core::ptr::{NonNull, with_exposed_provenance_mut};

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// Resizes in checked mode. `old` is what the caller says of the block, if anything.
    ///
    /// # Safety
    ///
    /// As for [`Heap::resize`](crate::Heap::resize).
    #[cold]
    #[inline(never)]
    pub(in crate::global) unsafe fn checked_resize(
        &self,
        checked: &'static Checked,
        address: usize,
        old: Option<Layout>,
        new: Layout,
    ) -> Result<NonNull<u8>, ResizeError> {
        if let Some(here) = checked.nothing.find(address) {
            return self.resize_nothing(checked, here, address, old, new);
        }
        let place = self.place_at(checked, address);
        let Some((place, known)) = place.map(|place| (place, place.record.load())) else {
            // SAFETY: the caller's promise.
            return unsafe { self.resize_unchecked(checked, address, old, new) };
        };
        match known.state {
            State::Live | State::Large if is_layout_of(known, old) => {}
            State::Live | State::Large => return Err(wrong_layout(address, known.size).into()),
            State::Busy => return Err(place.already_free().into()),
            // A free tells of it.
            State::Damaged => return Err(self.refusal(checked, address, old)),
            // SAFETY: the caller's promise.
            _ => return unsafe { self.resize_unchecked(checked, address, old, new) },
        }
        if !place.record.claim(known, false) {
            return Err(place.already_free().into());
        }
        if let Some(misuse) = self.damage_of(checked, place, known) {
            place.record.set_state(State::Damaged);
            return Err(misuse.into());
        }
        if stays(place, known, new) {
            return Ok(stay(checked, place, known, new));
        }
        // SAFETY: the caller's promise; the block is claimed.
        unsafe { self.move_claimed(checked, place, known, new) }.map_err(Into::into)
    }

    fn damage_of(&self, checked: &Checked, place: Place<'_>, known: Known) -> Option<Misuse> {
        match known.state {
            State::Large => self.damage_of_large(checked, place, known),
            _ => damage_of_slot(checked, place, known),
        }
    }

    /// Moves a block that is claimed.
    ///
    /// # Safety
    ///
    /// As for [`Heap::resize`](crate::Heap::resize).
    unsafe fn move_claimed(
        &self,
        checked: &'static Checked,
        place: Place<'_>,
        known: Known,
        new: Layout,
    ) -> Result<NonNull<u8>, OutOfMemory> {
        let moved = self.checked_allocate(checked, new, false);
        // As it was: to be freed as any other, or, without memory for another, to stay.
        place.record.set(known.state, known.size, known.align);
        let address = place.room.start;
        let to = match moved {
            Ok(to) => to,
            Err(OutOfMemory) if new.size() < known.size && address.is_multiple_of(new.align()) => {
                return Ok(stay(checked, place, known, new));
            }
            Err(OutOfMemory) => return Err(OutOfMemory),
        };
        // SAFETY: both blocks are the caller's, and at least so long.
        unsafe { copy(address, to, known.size.min(new.size())) };
        if let Freed::Wrong(misuse) = self.checked_free(checked, address, None) {
            // Another thread has freed it meanwhile.
            self.report_late(&misuse);
        }
        Ok(to)
    }

    /// Moves a block of which nothing is known to one that is checked.
    ///
    /// # Safety
    ///
    /// As for [`Heap::resize`](crate::Heap::resize).
    #[cold]
    unsafe fn resize_unchecked(
        &self,
        checked: &'static Checked,
        address: usize,
        old: Option<Layout>,
        new: Layout,
    ) -> Result<NonNull<u8>, ResizeError> {
        let bytes = self.usable_size_unchecked(address)?;
        if old.is_some_and(|old| old.size() > bytes || !address.is_multiple_of(old.align())) {
            return Err(wrong_layout(address, bytes).into());
        }
        let to = self.checked_allocate(checked, new, false)?;
        // SAFETY: both blocks are the caller's, and at least so long.
        unsafe { copy(address, to, bytes.min(new.size())) };
        let mut misuse = None;
        self.free_unchecked(address, || true, |found| misuse = Some(*found));
        misuse.iter().for_each(|misuse| self.report_late(misuse));
        Ok(to)
    }

    fn resize_nothing(
        &self,
        checked: &'static Checked,
        here: Here,
        address: usize,
        old: Option<Layout>,
        new: Layout,
    ) -> Result<NonNull<u8>, ResizeError> {
        if here != Here::Live {
            return Err(nothing_misuse(here, address).into());
        }
        if old.is_some_and(|old| old.size() != 0) {
            return Err(wrong_layout(address, 0).into());
        }
        let moved = self.checked_allocate(checked, new, false)?;
        if checked.nothing.free(address) {
            return Ok(moved);
        }
        self.checked_free(checked, moved.addr().get(), None);
        Err(nothing_misuse(Here::Free, address).into())
    }

    /// Why a block that was found damaged is not resized.
    #[cold]
    fn refusal(&self, checked: &Checked, address: usize, old: Option<Layout>) -> ResizeError {
        match self.checked_free(checked, address, old) {
            Freed::Wrong(misuse) => misuse.into(),
            Freed::Done | Freed::Unchecked => ResizeError::OutOfMemory,
        }
    }

    /// The misuse of freeing a live block with an alignment other than that which was asked for, if `align` is one.
    #[cold]
    pub(in crate::global) fn other_align(&self, checked: &Checked, address: usize, align: usize) -> Option<Misuse> {
        let known = self.place_at(checked, address)?.record.load();
        let is_live = matches!(known.state, State::Live | State::Large);
        (is_live && known.align != align).then(|| wrong_layout(address, known.size))
    }

    /// Exactly the bytes that were asked for, of a block of which that is known.
    #[cold]
    #[inline(never)]
    pub(in crate::global) fn checked_size(&self, checked: &Checked, address: usize) -> Option<Result<usize, Misuse>> {
        match checked.nothing.find(address) {
            Some(Here::Live) => return Some(Ok(0)),
            Some(here) => return Some(Err(nothing_misuse(here, address))),
            None => {}
        }
        let place = self.place_at(checked, address)?;
        let known = place.record.load();
        match known.state {
            State::Live | State::Large | State::Damaged => Some(Ok(known.size)),
            State::Busy => Some(Err(place.already_free())),
            _ => None,
        }
    }
}

/// Whether a block stays where it is: if its room is not too large for what it becomes, and has a byte behind it.
fn stays(place: Place<'_>, known: Known, new: Layout) -> bool {
    let room = place.room;
    let fits = new.size() < room.bytes && room.start.is_multiple_of(new.align());
    let fills = new.size() >= room.bytes / 2 || new.size() >= known.size;
    let same = match known.state {
        State::Large => new.size() > 0 && SizeClass::of(new).is_none(),
        _ => new.size() > 0,
    };
    fits && fills && same
}

/// Makes a block that is claimed, or whose move has failed, one of `new` where it is.
fn stay(checked: &Checked, place: Place<'_>, known: Known, new: Layout) -> NonNull<u8> {
    let (room, size) = (place.room, new.size());
    let becomes = Known { state: known.state, size, align: new.align() };
    let start = with_exposed_provenance_mut::<u8>(room.start);
    // SAFETY: the block is the caller's, who said how long it is to be.
    unsafe {
        if size > known.size && checked.checks.zeroes() {
            start.add(known.size).write_bytes(0, size - known.size);
        }
        // Behind a large block only some bytes are filled: those that it grows over are elsewhere.
        if size < known.size || known.state == State::Large {
            checked.fill_from(room, size, large_or(becomes));
        }
    }
    place.record.set(becomes.state, size, becomes.align);
    // SAFETY: a block is never at address 0.
    unsafe { NonNull::new_unchecked(start) }
}

fn large_or(known: Known) -> Known {
    if known.state == State::Large { large(known) } else { known }
}

/// # Safety
///
/// The first `bytes` bytes at `from` and at `to` are two blocks' that the caller has.
unsafe fn copy(from: usize, to: NonNull<u8>, bytes: usize) {
    // SAFETY: the caller's promise.
    unsafe { to.as_ptr().copy_from_nonoverlapping(core::ptr::with_exposed_provenance(from), bytes) }
}
