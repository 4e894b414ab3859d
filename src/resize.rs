//! Resizing a block of a heap; the work is done in [`work`](crate::work).

mod error;

use crate::heap::Heap;
use crate::kernel::brk::Brk;
use crate::work::Begun;
use core::alloc::Layout;
use core::ptr::NonNull;
pub use error::ResizeError;

impl<B: Brk> Heap<B> {
    /// Resizes the block at `payload` to `new`, in place if possible, and returns its address then. The content is kept
    /// up to the smaller of the two sizes.
    ///
    /// # Errors
    ///
    /// [`ResizeError::Misuse`] if no live block starts at `payload`, [`ResizeError::OutOfMemory`] if there was no
    /// memory for the new size. The block is unchanged then.
    ///
    /// # Safety
    ///
    /// As for [`free`](Self::free), unless the result is the same address: then the block's bytes up to the new size
    /// may still be used.
    ///
    /// ```
    /// # use core::alloc::Layout;
    /// # use hmalloc::{Heap, brk::Reserved};
    /// let mut heap = Heap::new(Reserved::new());
    /// let block = heap.allocate(Layout::new::<[u8; 100_000]>())?;
    /// // SAFETY: the old address is not used any more.
    /// let grown = unsafe { heap.resize(block.as_ptr(), Layout::new::<[u8; 10_000_000]>()) }.unwrap();
    /// assert_eq!(grown, block); // It is the heap's last block.
    /// # Ok::<(), hmalloc::OutOfMemory>(())
    /// ```
    pub unsafe fn resize(&mut self, payload: *mut u8, new: Layout) -> Result<NonNull<u8>, ResizeError> {
        let begun = self.work().begin_resize(payload.addr(), new)?;
        // SAFETY: the caller's promise.
        Ok(unsafe { self.complete(begun) })
    }

    /// Like [`resize`](Self::resize) for a caller that knows the block's old layout, which is checked as by
    /// [`free_sized`](Self::free_sized).
    ///
    /// # Errors
    ///
    /// As for [`resize`](Self::resize).
    ///
    /// # Safety
    ///
    /// As for [`resize`](Self::resize).
    pub unsafe fn resize_sized(
        &mut self,
        payload: *mut u8,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<u8>, ResizeError> {
        match self.work().begin_resize_fitting(payload.addr(), old, new) {
            // SAFETY: the caller's promise.
            Ok(begun) => Ok(unsafe { self.complete(begun?) }),
            Err(unfit) => Err(self.work().explain_unfit(payload.addr(), unfit).into()),
        }
    }

    /// The second half, with the copy before it.
    ///
    /// # Safety
    ///
    /// As for [`Move::copy`].
    unsafe fn complete(&mut self, begun: Begun) -> NonNull<u8> {
        match begun {
            Begun::Done(payload) => payload,
            Begun::Moving(moving, old) => {
                // SAFETY: the caller's promise.
                unsafe { moving.copy() };
                self.work().finish_resize(old);
                moving.to
            }
        }
    }
}
