//! What others do to a tier of which no other thread knows: nothing.

use super::others::Others;
use crate::ground::chunks::Chunks;
use core::cell::UnsafeCell;

/// What stands in the place of this for the heap's own tier, which all use in turns: no other thread frees its slots. All zeros.
pub(crate) struct OthersOfNone {
    others: UnsafeCell<Others>,
    chunks: Chunks,
}

impl OthersOfNone {
    /// Makes it one.
    ///
    /// # Safety
    ///
    /// It stays where it is, and nobody uses it yet.
    pub(crate) unsafe fn begin(&'static self) -> &'static Others {
        // SAFETY: the caller's promise.
        unsafe {
            (*self.others.get()).init(&raw const self.chunks);
            &*self.others.get()
        }
    }
}
