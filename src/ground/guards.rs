//! Sampled blocks between inaccessible pages, and freed ones that are kept inaccessible for a while: what a handler of a fault
//! needs to say which block was meant.
//!
//! ```text
//! in use      | inaccessible |      fill      payload | inaccessible ...   the payload ends where the page does, but for alignment
//! freed       | inaccessible ...                                           until others were freed after it
//! ```
//!
//! Written in turns in the central part; read without a lock, for the process is about to die.

use crate::ground::shared::{SharedU32, SharedUsize};
use crate::ground::sites::Sites;
use crate::kernel::atomic::{Acquire, Relaxed, Release};
use core::sync::atomic::AtomicPtr;

/// How many blocks have guards at a time, in use or freed: each takes three or four of the kernel's mappings, of which a process
/// has 65,530.
pub(crate) const GUARDED_MAX: usize = 1024;
/// How many of them are freed ones.
pub(crate) const HELD_MAX: usize = 256;

/// The table of the heap whose faults are explained: the first one of a process.
static EXPLAINED: AtomicPtr<Guards> = AtomicPtr::new(core::ptr::null_mut());

#[derive(Debug)]
struct Entry {
    /// The span's start, 0 if the entry is not in use, and its end.
    start: SharedUsize,
    end: SharedUsize,
    payload: SharedUsize,
    bytes: SharedUsize,
    /// Where it was allocated and freed, as numbers of sites, and by which threads.
    sites: [SharedU32; 2],
    threads: [SharedU32; 2],
    /// 1 once it was freed.
    freed: SharedU32,
}

/// What is known of a guarded block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Guarded {
    pub(crate) payload: usize,
    pub(crate) bytes: usize,
    pub(crate) is_freed: bool,
    pub(crate) sites: [u32; 2],
    pub(crate) threads: [u32; 2],
}

/// All guarded blocks of a heap. All zeros: none.
pub(crate) struct Guards {
    entries: [Entry; GUARDED_MAX],
    /// The numbers of entries of freed blocks, the oldest at `oldest`, and how many there are.
    held: [SharedU32; HELD_MAX],
    oldest: SharedUsize,
    held_count: SharedUsize,
    used: SharedUsize,
    sites: AtomicPtr<Sites>,
}

impl core::fmt::Debug for Guards {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Guards").field("used", &self.used).finish_non_exhaustive()
    }
}

impl Guards {
    /// Begins the table. Faults are explained by the first one.
    pub(crate) fn begin(&'static self, sites: &'static Sites) {
        self.sites.store(core::ptr::from_ref(sites).cast_mut(), Release);
        let this = core::ptr::from_ref(self).cast_mut();
        let _ = EXPLAINED.compare_exchange(core::ptr::null_mut(), this, Release, Relaxed);
    }

    /// The table by which faults are explained.
    pub(crate) fn explained() -> Option<&'static Self> {
        // SAFETY: tables stay.
        unsafe { EXPLAINED.load(Acquire).as_ref() }
    }

    /// Where stacks are.
    pub(crate) fn sites(&self) -> Option<&'static Sites> {
        // SAFETY: sites stay.
        unsafe { self.sites.load(Acquire).as_ref() }
    }

    /// Enters a block in a span of so many bytes from `start` on. Returns the entry's number, if there is room.
    pub(crate) fn enter(
        &self,
        span: core::ops::Range<usize>,
        payload: usize,
        bytes: usize,
        thread: u32,
    ) -> Option<u32> {
        if self.used.get() >= GUARDED_MAX - HELD_MAX + self.held_count.get() {
            return None;
        }
        let (number, entry) = self.entries.iter().enumerate().find(|(_, entry)| entry.start.get() == 0)?;
        entry.payload.set(payload);
        entry.bytes.set(bytes);
        entry.end.set(span.end);
        entry.sites.iter().for_each(|site| site.set(0));
        entry.threads[0].set(thread);
        entry.threads[1].set(0);
        entry.freed.set(0);
        entry.start.publish(span.start);
        self.used.set(self.used.get() + 1);
        Some(number as u32)
    }

    fn entry(&self, number: u32) -> &Entry {
        &self.entries[number as usize % GUARDED_MAX]
    }

    /// Notes where a block was allocated, or freed.
    pub(crate) fn note_site(&self, number: u32, freed: bool, site: u32) {
        self.entry(number).sites[usize::from(freed)].set(site);
    }

    /// Keeps a freed block. Returns the start of the span that is to be given up for it, if there are too many.
    pub(crate) fn hold(&self, number: u32, thread: u32) -> Option<usize> {
        let given_up = if self.held_count.get() == HELD_MAX { self.give_up() } else { None };
        let entry = self.entry(number);
        entry.threads[1].set(thread);
        entry.freed.set(1);
        let count = self.held_count.get();
        self.held[(self.oldest.get() + count) % HELD_MAX].set(number);
        self.held_count.set(count + 1);
        given_up
    }

    /// Gives up the block that was freed first. Returns the start of its span.
    pub(crate) fn give_up(&self) -> Option<usize> {
        let count = self.held_count.get().checked_sub(1)?;
        let entry = self.entry(self.held[self.oldest.get() % HELD_MAX].get());
        let start = entry.start.get();
        self.remove(entry);
        self.oldest.set((self.oldest.get() + 1) % HELD_MAX);
        self.held_count.set(count);
        Some(start)
    }

    fn remove(&self, entry: &Entry) {
        entry.start.set(0);
        self.used.set(self.used.get() - 1);
    }

    /// Removes a block that is not kept.
    pub(crate) fn forget(&self, number: u32) {
        self.remove(self.entry(number));
    }

    /// The guarded block in whose span an address lies.
    pub(crate) fn around(&self, address: usize) -> Option<Guarded> {
        let around = |entry: &&Entry| {
            // Once: another thread may remove the block meanwhile.
            let start = entry.start.observe();
            start != 0 && (start..entry.end.get()).contains(&address)
        };
        self.entries.iter().find(around).map(|entry| Guarded {
            payload: entry.payload.get(),
            bytes: entry.bytes.get(),
            is_freed: entry.freed.get() != 0,
            sites: [entry.sites[0].get(), entry.sites[1].get()],
            threads: [entry.threads[0].get(), entry.threads[1].get()],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::{Layout, alloc_zeroed};
    use std::boxed::Box;

    #[test]
    fn freed_blocks_are_given_up_in_their_order() {
        // SAFETY: not 0 bytes; zeros are a table.
        let table = unsafe { Box::from_raw(alloc_zeroed(Layout::new::<Guards>()).cast::<Guards>()) };
        let enter = |number: usize| table.enter(number * 100..number * 100 + 100, number * 100 + 40, 8, 1);
        let numbers: std::vec::Vec<u32> = (1..=HELD_MAX + 2).map(|number| enter(number).expect("room")).collect();
        table.note_site(numbers[0], false, 5);
        for &number in &numbers[..HELD_MAX] {
            assert_eq!(table.hold(number, 2), None);
        }
        let first = table.around(199).expect("the first one");
        let right = Guarded { payload: 140, bytes: 8, is_freed: true, sites: [5, 0], threads: [1, 2] };
        assert_eq!(first, right);
        assert_eq!((table.hold(numbers[HELD_MAX], 2), table.around(150)), (Some(100), None));
        assert_eq!((table.give_up(), table.give_up()), (Some(200), Some(300)));
        assert!(!table.around((HELD_MAX + 2) * 100).expect("in use").is_freed);
        table.forget(numbers[HELD_MAX + 1]);
        assert_eq!(table.around((HELD_MAX + 2) * 100), None);
        // An interpreter takes minutes for the rest: each entry is looked for from the first on.
        if cfg!(miri) {
            return;
        }
        let room = (1..).take_while(|&number| enter(number).is_some()).count();
        assert!((GUARDED_MAX - HELD_MAX..GUARDED_MAX).contains(&room), "{room}");
    }
}
