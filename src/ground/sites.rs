//! Where sampled blocks were allocated, and how much from each place: the table behind a profile.
//!
//! ```text
//! one mapping of its own, touched as far as it is used
//! +---------+----------------------------------+----------------------------+---------------------------------+
//! | counts  | index: a hash leads to a site    | sites, as they were found  | frames: the stacks, one by one  |
//! +---------+----------------------------------+----------------------------+---------------------------------+
//! ```
//!
//! It is written in turns in the central part alone. Whoever reads it takes no lock, so that it can be read when the process dies:
//! a site is complete before the count of sites includes it, and the numbers in it only move while they are read.

use crate::ground::chance::{ONE, weight};
use crate::ground::shared::{SharedBits, SharedU32, SharedUsize};

/// How many stacks are told apart.
pub(crate) const SITES_MAX: usize = 1 << 14;
/// Entries of the index: twice as many, so that a search is short.
const INDEX: usize = 2 * SITES_MAX;
/// The most frames of a stack.
pub(crate) const DEPTH_MAX: usize = 64;
/// The most frames of all stacks together.
const FRAMES_MAX: usize = 1 << 19;
/// The site of blocks whose stack is not known: the table was full, or there is no way to see a stack.
pub(crate) const UNKNOWN: u32 = 0;

/// Blocks and bytes: of the samples themselves, and of what they stand for, in 65536ths.
#[derive(Debug)]
pub(crate) struct Sum {
    blocks: SharedBits,
    bytes: SharedBits,
    scaled_blocks: SharedBits,
    scaled_bytes: SharedBits,
}

/// What a [`Sum`] says at one time: blocks and bytes, of the samples and of what they stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Amount {
    pub(crate) blocks: u64,
    pub(crate) bytes: u64,
    pub(crate) scaled_blocks: u64,
    pub(crate) scaled_bytes: u64,
}

impl Sum {
    fn add(&self, bytes: usize, weight: u64) {
        let add = |sum: &SharedBits, more: u64| sum.set(sum.get().wrapping_add(more));
        add(&self.blocks, 1);
        add(&self.bytes, bytes as u64);
        add(&self.scaled_blocks, weight);
        add(&self.scaled_bytes, weight.saturating_mul(bytes as u64));
    }

    fn get(&self) -> Amount {
        Amount {
            blocks: self.blocks.get(),
            bytes: self.bytes.get(),
            scaled_blocks: self.scaled_blocks.get(),
            scaled_bytes: self.scaled_bytes.get(),
        }
    }
}

impl Amount {
    /// What is left of it after `other` was taken away. Numbers that moved while they were read do not go below 0.
    pub(crate) fn without(self, other: Self) -> Self {
        Self {
            blocks: self.blocks.saturating_sub(other.blocks),
            bytes: self.bytes.saturating_sub(other.bytes),
            scaled_blocks: self.scaled_blocks.saturating_sub(other.scaled_blocks),
            scaled_bytes: self.scaled_bytes.saturating_sub(other.scaled_bytes),
        }
    }

    /// How many blocks the samples stand for, rounded.
    pub(crate) fn all_blocks(self) -> u64 {
        (self.scaled_blocks + ONE / 2) / ONE
    }

    /// How many bytes they stand for, rounded.
    pub(crate) fn all_bytes(self) -> u64 {
        (self.scaled_bytes + ONE / 2) / ONE
    }
}

/// A place from which blocks were allocated.
#[derive(Debug)]
struct Entry {
    /// In the array of frames.
    first: SharedU32,
    depth: SharedU32,
    allocated: Sum,
    freed: Sum,
}

/// What is known of a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    /// The number of its first frame among all.
    pub(crate) first: usize,
    pub(crate) depth: usize,
    pub(crate) allocated: Amount,
    pub(crate) freed: Amount,
}

/// What a sampled block counts for: where it was allocated, the bytes that were asked for, and those of its slot, by which it
/// was sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) site: u32,
    pub(crate) request: usize,
    pub(crate) slot: usize,
}

/// The table. All zeros: none, but for [`begin`](Self::begin).
pub(crate) struct Sites {
    mean: SharedUsize,
    seed: SharedBits,
    count: SharedUsize,
    frames_used: SharedUsize,
    /// Samples whose stack found no room.
    without_room: SharedUsize,
    index: [SharedU32; INDEX],
    sites: [Entry; SITES_MAX],
    frames: [SharedUsize; FRAMES_MAX],
}

impl core::fmt::Debug for Sites {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sites").field("mean", &self.mean()).field("count", &self.count()).finish_non_exhaustive()
    }
}

/// Mixes a frame into a hash (Fowler, Noll and Vo, with a wider step).
fn mix(hash: u64, frame: usize) -> u64 {
    let mixed = (hash ^ frame as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ mixed >> 32
}

impl Sites {
    /// Begins the table, with the mean number of bytes between two samples. The first site is the [unknown](UNKNOWN) one.
    pub(crate) fn begin(&self, mean: usize, seed: u64) {
        self.mean.set(mean);
        self.seed.set(seed);
        if self.count() == 0 {
            self.count.publish(1);
        }
    }

    /// The mean number of bytes from a sample to the next.
    pub(crate) fn mean(&self) -> usize {
        self.mean.get()
    }

    /// What tier number `number` begins its random numbers with.
    pub(crate) fn seed_of(&self, number: u16) -> u64 {
        mix(self.seed.get(), usize::from(number) + 1)
    }

    /// How many sites there are.
    pub(crate) fn count(&self) -> usize {
        self.count.observe().min(SITES_MAX)
    }

    /// How many samples have no stack, because the table was full.
    pub(crate) fn without_room(&self) -> usize {
        self.without_room.get()
    }

    /// A site by its number.
    pub(crate) fn site(&self, number: usize) -> Site {
        let entry = &self.sites[number % SITES_MAX];
        Site {
            first: entry.first.get() as usize,
            depth: entry.depth.get() as usize,
            // Read first: a block is counted as allocated before it is freed.
            freed: entry.freed.get(),
            allocated: entry.allocated.get(),
        }
    }

    /// The frames of a site, from the innermost to the outermost.
    pub(crate) fn frames(&self, site: &Site) -> impl DoubleEndedIterator<Item = usize> {
        let from = site.first.min(FRAMES_MAX);
        self.frames[from..(from + site.depth).min(FRAMES_MAX)].iter().map(SharedUsize::get)
    }

    /// The number of the site with this stack, which is entered if it is new and there is room.
    pub(crate) fn find(&self, stack: &[usize]) -> u32 {
        let hash = stack.iter().fold(stack.len() as u64, |hash, &frame| mix(hash, frame)) as usize;
        if stack.is_empty() {
            return UNKNOWN;
        }
        for at in (0..INDEX).map(|step| hash.wrapping_add(step) % INDEX) {
            match self.index[at].get() {
                0 => return self.enter(at, stack),
                number if self.frames(&self.site(number as usize)).eq(stack.iter().copied()) => return number,
                _ => {}
            }
        }
        UNKNOWN
    }

    /// Enters a new site, if there is room.
    fn enter(&self, at: usize, stack: &[usize]) -> u32 {
        let (number, first) = (self.count(), self.frames_used.get());
        let Some(frames) = self.frames.get(first..first + stack.len()).filter(|_| number < SITES_MAX) else {
            self.without_room.set(self.without_room.get() + 1);
            return UNKNOWN;
        };
        frames.iter().zip(stack).for_each(|(place, &frame)| place.set(frame));
        self.frames_used.set(first + stack.len());
        self.sites[number].first.set(first as u32);
        self.sites[number].depth.set(stack.len() as u32);
        self.index[at].set(number as u32);
        self.count.publish(number + 1);
        number as u32
    }

    /// Counts a block as allocated.
    pub(crate) fn count_allocated(&self, block: Counted) {
        self.sites[block.site as usize % SITES_MAX].allocated.add(block.request, weight(self.mean(), block.slot));
    }

    /// Counts a block as freed that was counted as allocated.
    pub(crate) fn count_freed(&self, block: Counted) {
        self.sites[block.site as usize % SITES_MAX].freed.add(block.request, weight(self.mean(), block.slot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::{Layout, alloc_zeroed};
    use std::boxed::Box;
    use std::vec::Vec;

    fn table() -> Box<Sites> {
        // SAFETY: not 0 bytes; zeros are a table.
        let table = unsafe { Box::from_raw(alloc_zeroed(Layout::new::<Sites>()).cast::<Sites>()) };
        table.begin(1, 0);
        table
    }

    #[test]
    fn a_stack_has_one_site_and_its_sums() {
        let table = table();
        let (first, second) = (table.find(&[1, 2, 3]), table.find(&[3, 2, 1]));
        assert!(first != second && first != UNKNOWN && table.find(&[1, 2, 3]) == first && table.find(&[]) == UNKNOWN);
        let block = |site, request| Counted { site, request, slot: 112 };
        table.count_allocated(block(first, 100));
        table.count_allocated(block(first, 60));
        table.count_freed(block(first, 60));
        let site = table.site(first as usize);
        let left = site.allocated.without(site.freed);
        assert_eq!((left.all_blocks(), left.all_bytes(), site.allocated.bytes), (1, 100, 160));
        assert_eq!(table.frames(&site).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(table.site(second as usize).allocated, Amount::default());
    }

    #[test]
    #[cfg_attr(miri, ignore = "it fills a table of some MiB")]
    fn a_full_table_says_so_and_keeps_what_it_has() {
        let table = table();
        let stack = |number: usize| [number + 1, 7, number];
        let found: Vec<u32> = (0..SITES_MAX + 50).map(|number| table.find(&stack(number))).collect();
        assert_eq!(found.iter().filter(|&&site| site == UNKNOWN).count(), 51);
        assert_eq!((table.count(), table.without_room()), (SITES_MAX, 51));
        assert!((0..SITES_MAX - 1).all(|number| table.find(&stack(number)) == found[number]));
        table.count_allocated(Counted { site: UNKNOWN, request: 5, slot: 16 });
        assert_eq!(table.site(0).allocated.bytes, 5);
    }

    #[test]
    fn frames_run_out_before_sites() {
        let table = table();
        let long = |number: usize| [number + 1; DEPTH_MAX];
        let count = FRAMES_MAX / DEPTH_MAX + 3;
        if !cfg!(miri) {
            assert_eq!((0..count).filter(|&number| table.find(&long(number)) == UNKNOWN).count(), 3);
        }
    }
}
