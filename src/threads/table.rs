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

pub(crate) struct Table([Entry; ENTRIES]);

struct Entry {
    /// The thread pointer, or 0.
    thread: AtomicUsize,
    tier: AtomicPtr<OwnTier>,
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
        let entry = &self.0[hash(thread)];
        if entry.thread.load(Relaxed) != thread {
            return None;
        }
        // SAFETY: tiers stay. The thread itself has written this, or one that had its thread pointer before; and the tier
        // before the thread pointer.
        Some(unsafe { &*entry.tier.load(Relaxed) })
    }

    /// The tier of a thread.
    #[cold]
    #[inline(never)]
    pub(crate) fn find(&self, thread: usize) -> Option<&OwnTier> {
        let entry = self.places(thread).find(|entry| entry.thread.load(Acquire) == thread)?;
        // SAFETY: as above.
        unsafe { entry.tier.load(Relaxed).as_ref() }
    }

    /// Enters a thread's tier, in the place of another one that it may have had. False if there is no place for it.
    pub(crate) fn enter(&self, thread: usize, tier: &OwnTier) -> bool {
        let is = |value: usize| move |entry: &&Entry| entry.thread.load(Relaxed) == value;
        let place = self.places(thread).find(is(thread)).or_else(|| self.places(thread).find(is(0)));
        let Some(entry) = place else { return false };
        entry.tier.store(core::ptr::from_ref(tier).cast_mut(), Relaxed);
        entry.thread.store(thread, Release);
        true
    }

    /// Removes a thread.
    pub(crate) fn remove(&self, thread: usize) {
        if let Some(entry) = self.places(thread).find(|entry| entry.thread.load(Relaxed) == thread) {
            entry.thread.store(0, Relaxed);
        }
    }

    fn places(&self, thread: usize) -> impl Iterator<Item = &Entry> {
        (0..PROBES).map(move |probe| &self.0[(hash(thread) + probe) % ENTRIES])
    }
}
