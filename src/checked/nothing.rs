//! Blocks of 0 bytes: addresses of inaccessible memory, so that whoever uses one is told by the processor.
//!
//! Each block is an address that no other block has, at a multiple of 16; a bit says whether it is live. Addresses are handed
//! out in turn, so one that was freed is not used again soon.

use crate::ground::size_class::MIN_ALIGN;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

/// How many such blocks can live at a time. More get slots.
const BLOCKS: usize = 1 << 16;
/// Bytes of addresses.
pub(crate) const NOTHING_BYTES: usize = BLOCKS * MIN_ALIGN;
const BITS: usize = usize::BITS as usize;

/// The blocks of 0 bytes. All zeros: there are none, and no addresses for any.
pub(crate) struct Nothing {
    /// The first address, or 0.
    start: AtomicUsize,
    /// The word of bits at which the next address is looked for.
    next: AtomicUsize,
    live: [AtomicUsize; BLOCKS / BITS],
}

/// What an address in there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Here {
    Live,
    Free,
    /// No block starts at it.
    Inside,
}

impl Nothing {
    /// Has addresses handed out from `start` on, or none if that is 0.
    pub(crate) fn begin(&self, start: usize) {
        self.start.store(start, Relaxed);
    }

    /// An address that is no live block's, if there is one.
    pub(crate) fn take(&self) -> Option<usize> {
        let start = self.start.load(Relaxed);
        if start == 0 {
            return None;
        }
        // One address of each word in turn.
        let first = self.next.fetch_add(1, Relaxed);
        (0..self.live.len()).find_map(|at| {
            let index = (first + at) % self.live.len();
            let bit = self.take_of(index, first / self.live.len())?;
            Some(start + (index * BITS + bit) * MIN_ALIGN)
        })
    }

    /// A bit of a word that was clear, and is set now: the first from number `from` on.
    fn take_of(&self, index: usize, from: usize) -> Option<usize> {
        let word = &self.live[index];
        loop {
            let free = !word.load(Relaxed);
            if free == 0 {
                return None;
            }
            let from = from % BITS;
            let bit = (free.rotate_right(from as u32).trailing_zeros() as usize + from) % BITS;
            if word.fetch_or(1 << bit, Relaxed) & 1 << bit == 0 {
                return Some(bit);
            }
        }
    }

    /// What is at an address. `None` if it is none of these.
    #[inline(always)]
    pub(crate) fn find(&self, address: usize) -> Option<Here> {
        let offset = address.wrapping_sub(self.start.load(Relaxed));
        if offset >= NOTHING_BYTES { None } else { self.find_inside(offset) }
    }

    #[cold]
    fn find_inside(&self, offset: usize) -> Option<Here> {
        if self.start.load(Relaxed) == 0 {
            return None;
        }
        if !offset.is_multiple_of(MIN_ALIGN) {
            return Some(Here::Inside);
        }
        let (index, bit) = place(offset);
        Some(if self.live[index].load(Relaxed) & bit != 0 { Here::Live } else { Here::Free })
    }

    /// Frees the block at an address that is one of these. False if it is not live: also if another thread was first.
    pub(crate) fn free(&self, address: usize) -> bool {
        let (index, bit) = place(address.wrapping_sub(self.start.load(Relaxed)));
        self.live[index].fetch_and(!bit, Relaxed) & bit != 0
    }

    /// How many are live.
    pub(crate) fn count(&self) -> usize {
        self.live.iter().map(|word| word.load(Relaxed).count_ones() as usize).sum()
    }
}

fn place(offset: usize) -> (usize, usize) {
    let number = offset / MIN_ALIGN % BLOCKS;
    (number / BITS, 1 << (number % BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Nothing {
        let nothing = Nothing {
            start: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            live: [const { AtomicUsize::new(0) }; BLOCKS / BITS],
        };
        assert_eq!((nothing.take(), nothing.find(0x1000)), (None, None));
        nothing.begin(0x10_0000);
        nothing
    }

    #[test]
    #[cfg_attr(miri, ignore = "minutes for an interpreter")]
    fn every_address_is_handed_out_once() {
        let nothing = nothing();
        let mut all = std::collections::BTreeSet::new();
        while let Some(address) = nothing.take() {
            assert!(address.is_multiple_of(16) && nothing.find(address) == Some(Here::Live) && all.insert(address));
        }
        assert_eq!((all.len(), nothing.count()), (BLOCKS, BLOCKS));
        assert!(all.iter().all(|&address| nothing.free(address)));
        assert_eq!(nothing.count(), 0);
    }

    #[test]
    fn an_address_is_freed_once_and_not_used_again_soon() {
        let nothing = nothing();
        let address = nothing.take().unwrap();
        assert!(nothing.free(address) && !nothing.free(address));
        assert_eq!(nothing.find(address), Some(Here::Free));
        assert_eq!(nothing.find(address + 1), Some(Here::Inside));
        assert_eq!((nothing.find(0xf_ffff), nothing.find(0x10_0000 + NOTHING_BYTES)), (None, None));
        assert!((0..1000).all(|_| nothing.take().is_some_and(|other| other != address)));
    }
}
