//! A set of addresses, with a word for each, that signal handlers fill and empty whatever they have interrupted: without a lock,
//! and without the heap.
//!
//! ```text
//! first table, in the world    | place | place | ...            a place: an address, or 0, or 1 while it is written | a word
//!   next ---> twice as many    | next | place | place | ...     a mapping, made when there is no room in the ones before
//!               `---> ...
//! ```
//!
//! In each table an address stands in one of a few places, by a hash of it. So to look one up takes a few cache lines, however
//! many there are. Tables stay.

use crate::kernel::brk::{map_alone, unmap_alone};
use core::mem::offset_of;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// Places of the first table.
const FIRST: usize = 128;
/// In how many places of a table an address may stand.
const PROBES: usize = 16;
/// In place of an address: the place is being written.
const TAKEN: usize = 1;
/// What is no address in the set is below this.
pub(crate) const LEAST: usize = 2;

/// The set. All zeros is empty.
#[repr(C)]
pub(super) struct Places {
    first: [Place; FIRST],
    /// Address of the second table, or 0.
    next: AtomicUsize,
    /// How many addresses there are, once whoever puts one in has done so, or takes one out.
    count: AtomicUsize,
}

#[repr(C)]
struct Place {
    address: AtomicUsize,
    word: AtomicUsize,
}

/// A table: where its places are, and the address of the next one.
struct Table<'a> {
    places: &'a [Place],
    next: &'a AtomicUsize,
}

impl Places {
    /// Where [`is_empty`](Self::is_empty) looks.
    pub(super) const COUNTER_OFFSET: usize = offset_of!(Self, count);

    /// Whether none is in it.
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Relaxed) == 0
    }

    /// Puts an address in, of at least [`LEAST`]; there may be equal ones. False if the kernel has no memory for another table.
    pub(super) fn insert(&self, address: usize, word: usize) -> bool {
        let mut table = self.first();
        loop {
            let free = |place: &&Place| place.address.compare_exchange(0, TAKEN, Acquire, Relaxed).is_ok();
            if let Some(place) = table.places_of(address).find(free) {
                place.word.store(word, Relaxed);
                place.address.store(address, Release);
                self.count.fetch_add(1, AcqRel);
                return true;
            }
            if table.next.load(Relaxed) == 0 && !table.lengthen() {
                return false;
            }
            let Some(next) = table.following() else { return false };
            table = next;
        }
    }

    /// The word of an address that is in it.
    pub(super) fn find(&self, address: usize) -> Option<usize> {
        Some(self.place(address)?.word.load(Relaxed))
    }

    /// Takes an address out. Of several callers that do so at once, one gets its word.
    pub(super) fn remove(&self, address: usize) -> Option<usize> {
        self.empty(self.place(address)?, address)
    }

    /// Takes out all that is in it.
    pub(super) fn drain(&self) -> impl Iterator<Item = (usize, usize)> {
        self.places().filter_map(|place| {
            let address = place.address.load(Relaxed);
            let word = if address < LEAST { None } else { self.empty(place, address) };
            word.map(|word| (address, word))
        })
    }

    /// The words of all.
    pub(super) fn words(&self) -> impl Iterator<Item = usize> {
        let used = self.places().filter(|place| place.address.load(Acquire) >= LEAST);
        used.map(|place| place.word.load(Relaxed))
    }

    /// Counts anew, in the child of a fork: another thread may have been about to.
    pub(super) fn recount(&self) {
        self.count.store(self.words().count(), Relaxed);
    }

    fn empty(&self, place: &Place, address: usize) -> Option<usize> {
        place.address.compare_exchange(address, TAKEN, Acquire, Relaxed).ok()?;
        let word = place.word.load(Relaxed);
        self.count.fetch_sub(1, AcqRel);
        place.address.store(0, Release);
        Some(word)
    }

    fn place(&self, address: usize) -> Option<&Place> {
        if self.is_empty() || address < LEAST {
            return None;
        }
        self.tables().find_map(|table| table.places_of(address).find(|place| place.address.load(Acquire) == address))
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        let tables = (!self.is_empty()).then(|| self.tables());
        tables.into_iter().flatten().flat_map(|table| table.places)
    }

    fn tables(&self) -> impl Iterator<Item = Table<'_>> {
        core::iter::successors(Some(self.first()), Table::following)
    }

    fn first(&self) -> Table<'_> {
        Table { places: &self.first, next: &self.next }
    }
}

impl<'a> Table<'a> {
    /// The places in which an address may stand.
    fn places_of(&self, address: usize) -> impl Iterator<Item = &'a Place> + use<'a> {
        const FACTOR: usize = 0x9e37_79b9_7f4a_7c15_u64.rotate_right(64 - usize::BITS) as usize | 1;
        let (places, shift) = (self.places, usize::BITS - self.places.len().ilog2());
        // The length is a power of two.
        let first = address.wrapping_mul(FACTOR) >> shift;
        (0..PROBES).map(move |probe| &places[(first + probe) % places.len()])
    }

    /// The next table.
    fn following(&self) -> Option<Self> {
        let address = self.next.load(Acquire);
        if address == 0 {
            return None;
        }
        let start = core::ptr::with_exposed_provenance::<Place>(address);
        // SAFETY: `lengthen` has mapped so many places there, which are zero until they are written, and stay.
        let mapped = unsafe { core::slice::from_raw_parts(start, 1 + 2 * self.places.len()) };
        let (link, places) = mapped.split_first()?;
        Some(Self { places, next: &link.address })
    }

    /// Makes the next table, unless another thread does. False if there is no memory for one.
    #[cold]
    fn lengthen(&self) -> bool {
        let bytes = (1 + 2 * self.places.len()) * size_of::<Place>();
        let Ok(mapped) = map_alone(bytes) else { return self.next.load(Acquire) != 0 };
        if self.next.compare_exchange(0, mapped, AcqRel, Acquire).is_err() {
            // SAFETY: mapped above, and nobody knows of it.
            unsafe { unmap_alone(mapped, bytes) };
        }
        true
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use std::alloc::{Layout, alloc_zeroed};
    use std::boxed::Box;
    use std::vec::Vec;

    /// Far more than the first table has places for.
    const MANY: usize = 20_000;

    fn empty() -> Box<Places> {
        // SAFETY: not 0 bytes; zeros are an empty set.
        unsafe { Box::from_raw(alloc_zeroed(Layout::new::<Places>()).cast()) }
    }

    #[test]
    fn many_addresses_are_found_and_taken_out_once() {
        let places = empty();
        let address = |number: usize| (number + 1) << 12;
        assert!((0..MANY).all(|number| places.insert(address(number), number)));
        assert!((0..MANY).all(|number| places.find(address(number)) == Some(number)));
        assert_eq!(
            (places.find(8), places.find(0), places.find(1), places.find(address(MANY))),
            (None, None, None, None)
        );
        assert_eq!(places.words().sum::<usize>(), MANY * (MANY - 1) / 2);
        let removed = (0..MANY).step_by(2).map(|number| places.remove(address(number)));
        assert!(removed.eq((0..MANY).step_by(2).map(Some)));
        assert!((0..MANY).step_by(2).all(|number| places.remove(address(number)).is_none()));
        let mut rest: Vec<_> = places.drain().collect();
        rest.sort_unstable();
        assert!(rest.into_iter().eq((1..MANY).step_by(2).map(|number| (address(number), number))));
        assert!(places.is_empty() && places.find(address(1)).is_none());
    }

    #[test]
    fn equal_addresses_are_all_kept() {
        let places = empty();
        assert!((0..100).all(|word| places.insert(0x1234_5670, word)));
        assert_eq!(places.drain().map(|(_, word)| word).sum::<usize>(), 99 * 100 / 2);
    }

    #[test]
    fn several_threads_fill_and_empty_it() {
        let places = empty();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let places = &places;
                scope.spawn(move || {
                    for number in 0..MANY {
                        let address = (number * 4 + thread + 1) << 12;
                        assert!(places.insert(address, number));
                        let old = (number.saturating_sub(number % 900) * 4 + thread + 1) << 12;
                        assert!(number % 900 != 899 || places.remove(old) == Some(number - 899));
                        assert_eq!(places.find(address), Some(number));
                    }
                });
            }
        });
        assert_eq!(places.drain().count(), 4 * (MANY - MANY / 900));
    }
}
