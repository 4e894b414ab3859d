//! Calls of signal handlers that have interrupted their own thread in the middle of an operation, and the blocks that they
//! may have got in that way.

use super::Hmalloc;
use crate::central::spans::OutOfMemory;
use crate::door::misuse::{Misuse, MisuseKind};
use crate::door::validate::admit_slot;
use crate::global::lock::Lock;
use crate::ground::header::Kind;
use crate::ground::size_class::block_bytes;
use crate::kernel::brk::{Brk, page_alone};
use crate::threads::handlers::PutOff;
use crate::tier::others::Outcome;
use core::alloc::Layout;
use core::ptr::NonNull;

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// Allocates where the lock cannot be had: a mapping.
    #[cold]
    #[inline(never)]
    pub(super) fn allocate_alone(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        let world = self.lock.world().ok_or(OutOfMemory)?;
        let address = world.handlers.allocate(block_bytes(layout), layout.align(), page_alone()).ok_or(OutOfMemory)?;
        NonNull::new(core::ptr::with_exposed_provenance_mut(address)).ok_or(OutOfMemory)
    }

    /// Frees without the lock, if the caller is a handler that has interrupted its own thread: a slot as other threads do;
    /// what needs the lock, when the thread goes on. False if the caller can take the lock, and must.
    #[cold]
    #[inline(never)]
    pub(super) fn free_in_handler(&self, address: usize) -> bool {
        let Some((world, inside)) = self.interrupted() else { return false };
        let outcome = admit_slot(self.lookup(), address).map(|slot| world.directory.free(slot.slab, address));
        if matches!(outcome, Some(Outcome::Freed | Outcome::FreedUnseen)) || world.handlers.free(address) {
            return true;
        }
        if inside {
            self.put_off(PutOff::Free(address));
        }
        inside
    }

    /// Has something done when a thread next leaves the central part, for a caller that cannot take the lock. Where more than
    /// some hundred things are put off and the kernel has no memory to note another, a block stays allocated.
    pub(super) fn put_off(&self, what: PutOff) {
        if cfg!(feature = "threads")
            && let PutOff::Free(address @ ..PutOff::LEAST) = what
        {
            return self.report_late(&Misuse { kind: MisuseKind::OutsideHeap, address, found: None });
        }
        let _ = self.lock.world().is_some_and(|world| world.handlers.put_off(what));
    }

    /// Frees a block that a handler got where the lock could not be had.
    pub(super) fn free_alone(&self, address: usize) -> bool {
        self.lock.world().is_some_and(|world| world.handlers.free(address))
    }

    /// Bytes of such a block.
    pub(super) fn bytes_alone(&self, address: usize) -> Option<usize> {
        self.lock.world()?.handlers.bytes_of(address)
    }

    /// Resizes where the lock cannot be had, or a block that was allocated there: always by moving it. `None` if neither is
    /// so.
    ///
    /// # Safety
    ///
    /// As for [`Heap::resize`](crate::Heap::resize).
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn resize_alone_or_inside(
        &self,
        address: usize,
        new: Layout,
    ) -> Option<Result<NonNull<u8>, OutOfMemory>> {
        let old = self.bytes_alone(address).or_else(|| self.bytes_inside(address))?;
        // SAFETY: the caller's promise.
        Some(unsafe { self.move_without_lock(address, old, new) })
    }

    /// The same where the lock was not waited for any longer. A block that cannot be found without it stays as it is: no memory.
    ///
    /// # Safety
    ///
    /// As for [`Heap::resize`](crate::Heap::resize).
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn resize_unlocked(&self, address: usize, new: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        let old = self.bytes_unlocked(address).ok_or(OutOfMemory)?;
        // SAFETY: the caller's promise.
        unsafe { self.move_without_lock(address, old, new) }
    }

    /// Moves a block of `old` bytes.
    ///
    /// # Safety
    ///
    /// As for [`Heap::resize`](crate::Heap::resize).
    unsafe fn move_without_lock(&self, address: usize, old: usize, new: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        let moved = self.allocate(new);
        if let Ok(moved) = moved {
            let from = core::ptr::with_exposed_provenance::<u8>(address);
            // SAFETY: the new block is another one, and both are at least as long as what is copied.
            unsafe { moved.as_ptr().copy_from_nonoverlapping(from, old.min(new.size())) };
            if !self.free_alone(address) && !self.free_in_handler(address) {
                self.put_off(PutOff::Free(address));
            }
        }
        moved
    }

    /// Bytes of the live block at `address`, by what can be read without the lock, if that cannot be had.
    pub(super) fn bytes_inside(&self, address: usize) -> Option<usize> {
        self.interrupted().filter(|&(_, inside)| inside)?;
        self.bytes_unlocked(address)
    }

    /// Bytes of the live block at `address`, by what can be read without the lock: not where large blocks lie in regions.
    pub(super) fn bytes_unlocked(&self, address: usize) -> Option<usize> {
        if let Some(slot) = admit_slot(self.lookup(), address) {
            return Some(slot.slab.slot_size());
        }
        let span = self.lookup().find_below_break(address)?;
        if span.sample_at(address) {
            return Some(span.sample_bytes());
        }
        (span.is(Kind::Large) && span.start() == address).then(|| span.bytes())
    }
}
