//! From a thread pointer to the tier of that thread.
//!
//! An entry is found by a hash, or within a few entries after that. A thread reads its own entry without a lock; entries are
//! written under the central lock, and one that has no owner any more is used again.

use super::OwnTier;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicUsize};

/// log2 of the number of entries.
const ENTRIES_SHIFT: u32 = 9;
const ENTRIES: usize = 1 << ENTRIES_SHIFT;
/// How many entries a thread may have. One that finds none of them free has no tier.
const PROBES: usize = 8;

/// An entry is a word in each of two arrays: so an index finds both without more arithmetic.
pub(crate) struct Table {
    /// The thread pointer, or 0.
    threads: [AtomicUsize; ENTRIES],
    tiers: [AtomicPtr<OwnTier>; ENTRIES],
}

/// The entry at which a thread is looked for first.
#[inline(always)]
fn hash(thread: usize) -> usize {
    // Fibonacci hashing: thread pointers differ by powers of two, above all.
    const FACTOR: usize = 0x9e37_79b9_7f4a_7c15_u64.rotate_right(64 - usize::BITS) as usize | 1;
    thread.wrapping_mul(FACTOR) >> (usize::BITS - ENTRIES_SHIFT)
}

impl Table {
    /// The tier of a thread, if it stands at its first entry.
    #[inline(always)]
    pub(crate) fn find_first(&self, thread: usize) -> Option<&OwnTier> {
        let entry = hash(thread);
        if self.threads[entry].load(Relaxed) != thread {
            return None;
        }
        // SAFETY: the thread itself has written this, or one that had its thread pointer before; and the tier before the
        // thread pointer.
        Some(unsafe { self.tier(entry) })
    }

    /// The tier of a thread.
    #[cold]
    #[inline(never)]
    pub(crate) fn find(&self, thread: usize) -> Option<&OwnTier> {
        let entry = places(thread).find(|&entry| self.threads[entry].load(Acquire) == thread)?;
        // SAFETY: as above.
        Some(unsafe { self.tier(entry) })
    }

    /// Enters a thread's tier, in the place of another one that it may have had. False if there is no place for it.
    pub(crate) fn enter(&self, thread: usize, tier: &OwnTier) -> bool {
        let find = |value| places(thread).find(|&entry| self.threads[entry].load(Relaxed) == value);
        let Some(entry) = find(thread).or_else(|| find(0)) else { return false };
        self.tiers[entry].store(core::ptr::from_ref(tier).cast_mut(), Relaxed);
        self.threads[entry].store(thread, Release);
        true
    }

    /// Removes a thread.
    pub(crate) fn remove(&self, thread: usize) {
        if let Some(entry) = places(thread).find(|&entry| self.threads[entry].load(Relaxed) == thread) {
            self.threads[entry].store(0, Relaxed);
        }
    }

    /// The tier of an entry.
    ///
    /// # Safety
    ///
    /// A thread is in it.
    #[inline(always)]
    unsafe fn tier(&self, entry: usize) -> &OwnTier {
        let tier = self.tiers[entry].load(Relaxed);
        // SAFETY: where there is a thread, there is a tier, and tiers stay. Said apart, because a reference that is returned
        // as an option would be tested.
        unsafe {
            core::hint::assert_unchecked(!tier.is_null());
            &*tier
        }
    }
}

/// The entries at which a thread may be.
fn places(thread: usize) -> impl Iterator<Item = usize> {
    (0..PROBES).map(move |probe| (hash(thread) + probe) % ENTRIES)
}
