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

/// An entry is a word in each of two arrays: so an index finds both without more arithmetic. Two kernel pages of 4 KiB, and no word
/// more: it would touch a third.
#[repr(C)]
pub(crate) struct Table {
    /// The thread pointer, or 0.
    threads: [AtomicUsize; ENTRIES],
    tiers: [AtomicPtr<OwnTier>; ENTRIES],
}

/// The entry at which a thread is looked for first.
#[inline(always)]
fn hash(thread: usize) -> usize {
    // Fibonacci hashing: thread pointers differ by powers of two, above all. 32 bits are enough for that, and their
    // multiplication holds the factor: one instruction less.
    const FACTOR: u32 = 0x9e37_79b9;
    ((thread as u32).wrapping_mul(FACTOR) >> (u32::BITS - ENTRIES_SHIFT)) as usize
}

impl Table {
    /// Makes it one in which no thread is. Each entry leads to some tier, so that a thread need not look whether one does:
    /// to `ownerless`, which no thread owns, where no thread is.
    pub(crate) fn init(&self, ownerless: &OwnTier) {
        let ownerless = core::ptr::from_ref(ownerless).cast_mut();
        self.tiers.iter().for_each(|tier| tier.store(ownerless, Relaxed));
        // 0 already, but to write it first saves a page fault: a read would map the kernel's page of zeros, which the first write
        // replaces.
        self.threads[0].store(0, Relaxed);
    }

    /// The tier of a thread, if it stands at its first entry; else another one, whose [lease](OwnTier::lease) says so.
    #[inline(always)]
    pub(crate) fn guess(&self, thread: usize) -> &OwnTier {
        self.tier(hash(thread))
    }

    /// The tier of a thread.
    #[cold]
    #[inline(never)]
    pub(crate) fn find(&self, thread: usize) -> Option<&OwnTier> {
        let entry = places(thread).find(|&entry| thread != 0 && self.threads[entry].load(Acquire) == thread)?;
        Some(self.tier(entry))
    }

    /// Enters a thread's tier, in the place of another one that it may have had. False if there is no place for it.
    pub(crate) fn enter(&self, thread: usize, tier: &OwnTier) -> bool {
        let find = |value| places(thread).find(|&entry| self.threads[entry].load(Relaxed) == value);
        let Some(entry) = find(thread).or_else(|| find(0)) else { return false };
        self.tiers[entry].store(core::ptr::from_ref(tier).cast_mut(), Release);
        self.threads[entry].store(thread, Release);
        true
    }

    /// Removes a thread, whose entry leads to `ownerless` tier then. After a barrier in all threads none finds its tier any more.
    pub(crate) fn remove(&self, thread: usize, ownerless: *mut OwnTier) {
        if let Some(entry) = places(thread).find(|&entry| self.threads[entry].load(Relaxed) == thread) {
            self.threads[entry].store(0, Relaxed);
            self.tiers[entry].store(ownerless, Release);
        }
    }

    /// The tier to which an entry leads. Acquire: another thread may have made it.
    #[inline(always)]
    fn tier(&self, entry: usize) -> &OwnTier {
        // SAFETY: each entry leads to a tier, and tiers stay.
        unsafe { &*self.tiers[entry].load(Acquire) }
    }
}

/// The entries at which a thread may be.
fn places(thread: usize) -> impl Iterator<Item = usize> {
    (0..PROBES).map(move |probe| (hash(thread) + probe) % ENTRIES)
}
