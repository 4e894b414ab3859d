//! What a signal handler does that has interrupted its own thread and cannot take the lock: its blocks are mappings of their
//! own, and what it frees is freed when a thread next leaves the central part.
//!
//! What was put off is no live block any more for whoever comes to it in the central part: freed again, or resized, it is a misuse
//! there. Only the owner of its slab, who frees a slot without a look at the central part, is not told: where that frees it again,
//! which is a misuse, before the thread with the lock goes on, the block may be its next holder's when it is freed.
//!
//! It cannot if its thread has the lock; and it does not wait for long if its thread is in the middle of another operation,
//! for the holder of the lock may be waiting for the end of that. In any other place it takes the lock, and gets a spare tier.

use super::places::{LEAST, Places};
use crate::kernel::brk::{map_alone, unmap_alone};
use core::mem::offset_of;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// The blocks and the frees of handlers. All zeros: none.
#[repr(C)]
pub(crate) struct Handlers {
    /// Blocks that are mappings, with their bytes.
    alone: Places,
    /// What is to be done, with [`FREE`] or [`END_MOVE`].
    put_off: Places,
    /// 1 while what was put off is being done.
    under_way: AtomicUsize,
}

/// What a handler has put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PutOff {
    /// To free what is at this address, of at least [`PutOff::LEAST`].
    Free(usize),
    /// To free the large block at this address, which has moved from there.
    EndMove(usize),
}

const FREE: usize = 0;
const END_MOVE: usize = 1;

impl PutOff {
    /// The least address that can be put off: nothing is below it.
    pub(crate) const LEAST: usize = LEAST;
}

impl Handlers {
    /// Where the word is that each turn in the central part reads, [`has_put_off`](Self::has_put_off).
    pub(super) const COUNTER_OFFSET: usize = offset_of!(Self, put_off) + Places::COUNTER_OFFSET;

    /// A zeroed block of at least `size` bytes at a multiple of `align`.
    pub(crate) fn allocate(&self, size: usize, align: usize, kernel_page: usize) -> Option<usize> {
        let bytes = size.max(1).checked_next_multiple_of(kernel_page)?;
        let block = map_aligned(bytes, align, kernel_page)?;
        if self.alone.insert(block, bytes) {
            return Some(block);
        }
        // SAFETY: mapped above, and nobody knows of it.
        unsafe { unmap_alone(block, bytes) };
        None
    }

    /// Bytes of the block at `address`, if it is mapped alone.
    pub(crate) fn bytes_of(&self, address: usize) -> Option<usize> {
        self.alone.find(address)
    }

    /// Frees the block at `address`, if it is mapped alone.
    pub(crate) fn free(&self, address: usize) -> bool {
        let bytes = self.alone.remove(address);
        if let Some(bytes) = bytes {
            // SAFETY: mapped by `allocate` with this length, and taken out by this call alone.
            unsafe { unmap_alone(address, bytes) };
        }
        bytes.is_some()
    }

    /// How many blocks are mapped alone, and their bytes.
    pub(crate) fn sum(&self) -> (usize, usize) {
        self.alone.words().fold((0, 0), |(blocks, sum), bytes| (blocks + 1, sum + bytes))
    }

    /// Has something done by the next who takes the lock. False if there is no memory to note it: then a block stays as it is.
    pub(crate) fn put_off(&self, what: PutOff) -> bool {
        match what {
            PutOff::Free(address) => self.put_off.insert(address, FREE),
            PutOff::EndMove(address) => self.put_off.insert(address, END_MOVE),
        }
    }

    /// Begins to do what was put off, and to report what was found late. Not if that is being done already.
    pub(crate) fn begin(&self) -> bool {
        self.under_way.compare_exchange(0, 1, Acquire, Relaxed).is_ok()
    }

    /// Brings up to date, in the child of a fork, what other threads were in the middle of.
    pub(crate) fn go_on_in_child(&self) {
        self.end();
        self.alone.recount();
        self.put_off.recount();
    }

    /// Ends it.
    pub(crate) fn end(&self) {
        self.under_way.store(0, Release);
    }

    /// Whether anything was put off.
    #[inline(always)]
    pub(crate) fn has_put_off(&self) -> bool {
        !self.put_off.is_empty()
    }

    /// Whether a free of what is at this address was put off.
    #[inline]
    pub(crate) fn has_put_off_free(&self, address: usize) -> bool {
        self.has_put_off() && self.put_off.find(address) == Some(FREE)
    }

    /// Takes all that was put off.
    pub(crate) fn take_put_off(&self) -> impl Iterator<Item = PutOff> {
        self.put_off.drain().map(
            |(address, what)| {
                if what == END_MOVE { PutOff::EndMove(address) } else { PutOff::Free(address) }
            },
        )
    }
}

/// Maps `bytes`, which are whole kernel pages, at a multiple of `align`.
fn map_aligned(bytes: usize, align: usize, kernel_page: usize) -> Option<usize> {
    // An address is a multiple of a kernel page, so the next multiple of `align` is less than this away.
    let spare = align.saturating_sub(kernel_page);
    let start = map_alone(bytes.checked_add(spare)?).ok()?;
    let block = start.next_multiple_of(align);
    let (before, after) = (block - start, spare - (block - start));
    for (start, bytes) in [(start, before), (block + bytes, after)].into_iter().filter(|&(_, bytes)| bytes > 0) {
        // SAFETY: mapped above, and not used.
        unsafe { unmap_alone(start, bytes) };
    }
    Some(block)
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use std::alloc::{Layout, alloc_zeroed};
    use std::boxed::Box;

    fn none() -> Box<Handlers> {
        // SAFETY: not 0 bytes; zeros are none.
        unsafe { Box::from_raw(alloc_zeroed(Layout::new::<Handlers>()).cast()) }
    }

    #[test]
    fn blocks_are_aligned_zero_and_freed_once() {
        let handlers = none();
        for (size, align) in [(1, 1), (5000, 4096), (1, 65_536), (100_000, 1 << 20), (0, 16)] {
            let block = handlers.allocate(size, align, 4096).expect("memory");
            assert!(block.is_multiple_of(align) && handlers.bytes_of(block) >= Some(size), "{size} at {align}");
            let content = core::ptr::with_exposed_provenance::<u8>(block);
            // SAFETY: the block is so long.
            assert!((0..size).all(|at| unsafe { content.add(at).read() } == 0));
            assert_eq!(handlers.sum().0, 1);
            assert!(handlers.free(block) && !handlers.free(block));
        }
        assert_eq!(handlers.allocate(usize::MAX, 1, 4096), None);
        assert_eq!(handlers.sum(), (0, 0));
    }

    #[test]
    fn what_is_put_off_is_taken_once() {
        let handlers = none();
        for what in [PutOff::Free(64), PutOff::EndMove(0x4000), PutOff::Free(PutOff::LEAST)] {
            assert!(!handlers.has_put_off() && handlers.put_off(what) && handlers.has_put_off());
            assert!(handlers.take_put_off().eq([what]));
        }
        assert_eq!(handlers.take_put_off().count(), 0);
    }
}
