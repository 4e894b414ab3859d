//! Blocks that were freed twice in the same instant, by their owner and by another thread: found by the owner, and remembered
//! until they are reported.

use crate::ground::atomic::{Acquire, AtomicU32, AtomicUsize, Relaxed, Release};
use crate::ground::chunks::WORDS;

/// How many words with such blocks are remembered until they are reported, which is after each operation: as many as a slab
/// has, and some to claim.
const TWICE_MAX: usize = WORDS + 8;

/// Such blocks of one word.
struct Twice {
    /// Address of the first slot that the word stands for.
    first: AtomicUsize,
    slot_size: AtomicU32,
    /// 0 if the place is free.
    bits: AtomicUsize,
}

/// All of one tier. All zeros: none.
pub(crate) struct AllTwice {
    places: [Twice; TWICE_MAX],
    /// How many places are not free.
    count: AtomicU32,
}

impl AllTwice {
    /// Notes that the block at `address` was freed twice.
    pub(crate) fn note_block(&self, address: usize) {
        self.note(address, 0, 1);
    }

    /// Notes that some slots were freed twice, of those of `slot_size` bytes from the one at `first` on.
    pub(super) fn note(&self, first: usize, slot_size: u32, bits: usize) {
        if let Some(place) = self.places.iter().find(|place| place.bits.load(Relaxed) == 0) {
            place.first.store(first, Relaxed);
            place.slot_size.store(slot_size, Relaxed);
            // Partner: the Acquire in `take`, as for the next.
            place.bits.store(bits, Release);
            self.count.fetch_add(1, Release);
        }
    }

    /// The address of a block, each only once. The owner is in no operation, or is the caller.
    pub(crate) fn take(&self) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let place = self.places.iter().find(|place| place.bits.load(Acquire) != 0)?;
        let bits = place.bits.load(Relaxed);
        let address =
            place.first.load(Relaxed) + bits.trailing_zeros() as usize * place.slot_size.load(Relaxed) as usize;
        place.bits.store(bits & (bits - 1), Relaxed);
        if bits & (bits - 1) == 0 {
            self.count.fetch_sub(1, Relaxed);
        }
        Some(address)
    }

    /// Whether there are none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Relaxed) == 0
    }
}
