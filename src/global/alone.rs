//! No lock: for heaps that one thread at a time uses.

use crate::global::lock::{Lock, Turn};
use core::cell::Cell;
use core::marker::PhantomData;

/// No lock: for a heap that only one thread at a time can use, as the compiler sees to.
#[derive(Debug)]
pub struct Unshared {
    not_sync: PhantomData<Cell<()>>,
}

impl Unshared {
    pub(crate) const fn new() -> Self {
        Self { not_sync: PhantomData }
    }
}

// SAFETY: a value that holds this cannot be shared, and only `ScopedHeap` makes one, which never lends its heap, so no turn
// begins in another.
unsafe impl Lock for Unshared {
    #[inline(always)]
    fn try_lock(&self) -> bool {
        true
    }

    fn wait(&self) -> Turn {
        Turn::Taken
    }

    #[inline(always)]
    unsafe fn unlock(&self) -> bool {
        false
    }

    fn wake(&self) {}

    fn lend(&self, _: bool) {}

    fn comes_and_goes(&self) -> bool {
        true
    }

    const ALONE: bool = true;
}

/// No lock at all, for programs with one thread.
#[derive(Debug)]
pub struct SingleThreaded(());

impl SingleThreaded {
    /// # Safety
    ///
    /// Only one thread ever uses what this protects, and never from a signal handler that interrupts a use.
    pub(crate) const unsafe fn new() -> Self {
        Self(())
    }
}

// SAFETY: the promise of `new` is that there is only one caller.
unsafe impl Lock for SingleThreaded {
    #[inline(always)]
    fn try_lock(&self) -> bool {
        true
    }

    fn wait(&self) -> Turn {
        Turn::Taken
    }

    #[inline(always)]
    unsafe fn unlock(&self) -> bool {
        false
    }

    fn wake(&self) {}

    fn lend(&self, _: bool) {}

    const ALONE: bool = true;
}
