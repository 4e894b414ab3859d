//! A pointer that one thread writes while others may read it, and what it leads to was written before.
//!
//! | ordering | its partner | what breaks without it |
//! |---|---|---|
//! | publish, Release | observe, Acquire | a reader finds what is not initialised yet |

use super::atomic::{Acquire, AtomicPtr, Release};

/// A pointer to a `T`, or null.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct SharedPointer<T>(AtomicPtr<T>);

impl<T> SharedPointer<T> {
    #[allow(dead_code, reason = "the heap makes it of zeros, models do not")]
    pub(crate) const fn null() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()))
    }

    /// Loads what [`publish`](Self::publish) stored, and sees what was written before that.
    #[inline(always)]
    pub(crate) fn observe(&self) -> *mut T {
        self.0.load(Acquire)
    }

    /// Stores after all that was written before.
    #[inline(always)]
    pub(crate) fn publish(&self, pointer: *mut T) {
        self.0.store(pointer, Release);
    }
}
