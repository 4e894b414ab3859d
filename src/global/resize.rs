//! Resizing and measuring blocks, for any number of threads. Errors are returned.

use super::Hmalloc;
use super::turn::{ByHandle, Mine};
use crate::central::spans::OutOfMemory;
use crate::door::misuse::{Misuse, MisuseKind};
use crate::door::validate::{Live, admit_slot};
use crate::global::lock::Lock;
use crate::kernel::brk::Brk;
use crate::kernel::parts::SPEED;
use crate::resize::ResizeError;
use crate::threads::handlers::PutOff;
use crate::work::{Begun, Work};
use core::alloc::Layout;
use core::ptr::NonNull;

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// [`Heap::resize`](crate::Heap::resize) for any number of threads, which do not wait for the content of a large block to
    /// be copied. The heap's own policy is not asked.
    ///
    /// # Errors
    ///
    /// [`ResizeError`].
    ///
    /// # Safety
    ///
    /// As for [`Heap::resize`](crate::Heap::resize).
    pub unsafe fn resize(&self, payload: *mut u8, new: Layout) -> Result<NonNull<u8>, ResizeError> {
        let mine = self.enter_slow();
        if mine.is_none()
            && let Some(checked) = self.checked()
        {
            // SAFETY: the caller's promise.
            return unsafe { self.checked_resize(checked, payload.addr(), None, new) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.resize_by(mine.or_else(|| self.enter_beside()), None, payload.addr(), new) }
    }

    /// # Safety
    ///
    /// As for [`Heap::resize`](crate::Heap::resize).
    pub(super) unsafe fn resize_by(
        &self,
        mine: Option<Mine<'_>>,
        by: ByHandle<'_>,
        address: usize,
        new: Layout,
    ) -> Result<NonNull<u8>, ResizeError> {
        if let Some(mine) = mine {
            let moved = match admit_slot(self.lookup(), address) {
                // SAFETY: the caller's promise.
                Some(_) => unsafe { self.resize_alone(mine, by, address, new) },
                // SAFETY: as above.
                None => unsafe { self.resize_after(mine, by, |work| work.begin_resize(address, new).ok()) },
            };
            if let Some(payload) = moved {
                return Ok(payload);
            }
        }
        // SAFETY: as above.
        if let Some(moved) = unsafe { self.resize_alone_or_inside(address, new) } {
            return Ok(moved?);
        }
        let begin = || match self.in_center(by, |work| work.begin_resize(address, new)) {
            Some(Err(ResizeError::OutOfMemory)) => Err(OutOfMemory),
            answer => Ok(answer),
        };
        match self.or_after_hook(new, begin)? {
            // SAFETY: the caller's promise.
            Some(begun) => Ok(unsafe { self.complete(by, begun?) }),
            // SAFETY: as above.
            None => Ok(unsafe { self.resize_unlocked(address, new) }?),
        }
    }

    /// Resizes what is no slot, and ends the caller's turn in its tier. Nothing if `begin` does not, or the lock is not free.
    ///
    /// # Safety
    ///
    /// As for [`Heap::resize`](crate::Heap::resize).
    pub(super) unsafe fn resize_after(
        &self,
        mine: Mine<'_>,
        by: ByHandle<'_>,
        begin: impl FnOnce(&mut Work<'_, B>) -> Option<Begun>,
    ) -> Option<NonNull<u8>> {
        let begun = self.in_center_after(mine, by, begin).flatten()?;
        // SAFETY: the caller's promise.
        Some(unsafe { self.complete(by, begun) })
    }

    /// Resizes a slot of the caller's tier that stays one, in place or by moving it to another slot of the tier, and ends the
    /// turn. Nothing if that is not possible.
    ///
    /// # Safety
    ///
    /// As for [`Heap::resize`](crate::Heap::resize).
    pub(super) unsafe fn resize_alone(
        &self,
        mut mine: Mine<'_>,
        by: ByHandle<'_>,
        address: usize,
        new: Layout,
    ) -> Option<NonNull<u8>> {
        let slot = admit_slot(self.lookup(), address).filter(|slot| mine.owns(slot.slab));
        // SAFETY: the caller's promise.
        let moved = slot.and_then(|slot| unsafe { mine.tier(self).move_slot(slot, new, self.lookup()) });
        let review = moved.and_then(|moved| moved.review);
        match review {
            Some(slab) => self.review(mine, by, slab),
            None => self.finish(mine, by),
        }
        moved.map(|moved| moved.payload)
    }

    /// Completes a resize that has begun: copies outside of any turn, and frees the old block in a second one.
    ///
    /// # Safety
    ///
    /// As for [`Heap::resize`](crate::Heap::resize).
    pub(super) unsafe fn complete(&self, by: ByHandle<'_>, begun: Begun) -> NonNull<u8> {
        let (moving, old) = match begun {
            Begun::Done(payload) => return payload,
            Begun::Moving(moving, old) => (moving, old),
        };
        if !SPEED {
            // Blocks were moved in one turn.
            return moving.to;
        }
        // SAFETY: the caller's promise.
        unsafe { moving.copy() };
        let from = moving.from.addr().get();
        let finish = |work: &mut Work<'_, B>| work.finish_resize(old);
        // A handle's tier may be in use by what a signal handler has interrupted.
        let mine = if by.is_some() { None } else { self.enter_slow() };
        let finished = mine.and_then(|mine| self.in_center_after(mine, by, finish));
        if finished.or_else(|| self.in_center(by, finish)).is_none() {
            self.put_off(PutOff::EndMove(from));
        }
        moving.to
    }

    /// [`Heap::usable_size`](crate::Heap::usable_size) for any number of threads. Takes no lock for a slot.
    ///
    /// # Errors
    ///
    /// The [`Misuse`].
    pub fn usable_size(&self, payload: *const u8) -> Result<usize, Misuse> {
        let mine = self.enter_slow();
        if mine.is_none()
            && let Some(checked) = self.checked()
            && let Some(size) = self.checked_size(checked, payload.addr())
        {
            return size;
        }
        self.usable_size_by(mine, None, payload.addr())
    }

    /// Bytes of a block of which checked mode knows nothing.
    pub(super) fn usable_size_unchecked(&self, address: usize) -> Result<usize, Misuse> {
        self.usable_size_by(self.enter_beside(), None, address)
    }

    pub(super) fn usable_size_by(
        &self,
        mine: Option<Mine<'_>>,
        by: ByHandle<'_>,
        address: usize,
    ) -> Result<usize, Misuse> {
        if let Some(mine) = mine {
            let slot = admit_slot(self.lookup(), address).filter(|slot| !slot.slab.is_freed_by_others());
            let Some(slot) = slot else { return self.usable_size_after(mine, by, address) };
            let size = slot.slab.slot_size();
            mine.leave();
            return Ok(size);
        }
        self.usable_size_centrally(by, address)
    }

    /// Measures what is no slot of a slab where others have freed none.
    #[inline(never)]
    fn usable_size_after(&self, mine: Mine<'_>, by: ByHandle<'_>, address: usize) -> Result<usize, Misuse> {
        match self.in_center_after(mine, by, |work| work.admit(address).map(Live::bytes)) {
            Some(Some(size)) => Ok(size),
            _ => self.usable_size_centrally(by, address),
        }
    }

    #[cold]
    #[inline(never)]
    fn usable_size_centrally(&self, by: ByHandle<'_>, address: usize) -> Result<usize, Misuse> {
        let unlocked = self.bytes_alone(address).or_else(|| self.bytes_inside(address));
        if let Some(bytes) = unlocked {
            return Ok(bytes);
        }
        let measured =
            self.in_center(by, |work| work.admit(address).map(Live::bytes).ok_or_else(|| work.explain(address)));
        let unknown = Misuse { kind: MisuseKind::NotABlock, address, found: None };
        measured.unwrap_or_else(|| self.bytes_unlocked(address).ok_or(unknown))
    }
}
