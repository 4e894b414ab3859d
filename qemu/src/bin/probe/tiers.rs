//! Whether threads have tiers of their own, as seen from outside.
//!
//! A tier takes small blocks of one size from the same slab, one after the other, and no slab is two tiers'. So first blocks
//! of the same size, one for each thread and all live, lie far apart if each thread has a tier, and side by side if they
//! take turns.

use crate::steps::{Failure, ensure, wait_until};
use crate::threads::{make, verify_and_free};
use core::ptr;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use hmalloc::Hmalloc;

/// Whether the heap reads thread pointers on this architecture.
const ARE_READ: bool = !cfg!(any(target_arch = "mips", target_arch = "mips64"));
const SIZE: usize = 48;
/// The bytes of the smallest slab, which are aligned to this, too.
const SLAB: usize = 16 << 10;

/// The first block of each of some threads.
pub(crate) struct Firsts<const THREADS: usize> {
    payloads: [AtomicUsize; THREADS],
    /// How many there are.
    made: AtomicUsize,
}

impl<const THREADS: usize> Firsts<THREADS> {
    pub(crate) const fn new() -> Self {
        Self { payloads: [const { AtomicUsize::new(0) }; THREADS], made: AtomicUsize::new(0) }
    }

    /// Makes the calling thread's first block, and waits until all threads have made theirs.
    pub(crate) fn make(&self, heap: &Hmalloc, number: usize) {
        self.payloads[number].store(make(heap, SIZE).expose_provenance(), Relaxed);
        self.made.fetch_add(1, AcqRel);
        wait_until(|| self.made.load(Acquire) == THREADS);
    }

    /// Frees all of them, which are made, and fails if not each thread has a tier; or if two have, where pointers are not read.
    pub(crate) fn judge(&self, heap: &Hmalloc) -> Result<(), Failure> {
        let slab = |number: usize| self.payloads[number].load(Relaxed) / SLAB;
        let shares = |number: &usize| (0..*number).any(|other| slab(other) == slab(*number));
        let sharing = (0..THREADS).filter(shares).count();
        for payload in &self.payloads {
            verify_and_free(heap, ptr::with_exposed_provenance_mut(payload.load(Relaxed)));
        }
        let expected = if ARE_READ { 0 } else { THREADS - 1 };
        ensure(sharing == expected, "threads share tiers, or do not where they should", sharing)
    }
}
