//! A live block of an entry. Where there is none, the process ends: what it would measure is of no use.

use super::candidate::Entry;
use crate::base::child::OUT_OF_MEMORY;

/// What was asked for, until it is freed.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    pub(crate) payload: *mut u8,
    pub(crate) size: usize,
}

// SAFETY: whoever holds a block may use its memory, whichever thread that is.
unsafe impl Send for Block {}

impl Block {
    /// No block, in a table of them.
    pub(crate) const NONE: Self = Self { payload: std::ptr::null_mut(), size: 0 };

    /// `payload` with its size, or the end of this process if it is null.
    #[inline(always)]
    pub(crate) fn of(payload: *mut u8, size: usize) -> Self {
        if payload.is_null() {
            out_of_memory();
        }
        Self { payload, size }
    }

    #[inline(always)]
    pub(crate) fn is_none(self) -> bool {
        self.payload.is_null()
    }

    /// Writes the first word, as an owner would. Its page becomes resident.
    #[inline(always)]
    pub(crate) fn touch(self) {
        // SAFETY: the block is live and has 8 bytes at least.
        unsafe { self.payload.cast::<u64>().write_unaligned(self.size as u64) }
    }

    /// Reads the first word and writes it again, which needs the cache line as much as writing another one.
    #[inline(always)]
    pub(crate) fn rewrite(self) {
        let word = self.payload.cast::<u64>();
        // SAFETY: as for `first_word`, and the block is at a multiple of 8.
        unsafe { word.write_volatile(word.read_volatile()) };
    }

    /// Reads the first word, as one does who was given the block.
    #[inline(always)]
    pub(crate) fn first_word(self) -> u64 {
        // SAFETY: the block is live, has 8 bytes at least, and was touched.
        unsafe { self.payload.cast::<u64>().read_unaligned() }
    }

    /// Writes every byte from `from` on.
    #[inline(always)]
    pub(crate) fn fill(self, from: usize) {
        // SAFETY: the block is live and has `size` bytes.
        unsafe { self.payload.add(from).write_bytes(1, self.size - from) };
    }
}

impl Entry {
    #[inline(always)]
    pub(crate) fn block(&self, size: usize) -> Block {
        // SAFETY: no size here is 0.
        Block::of(unsafe { (self.allocate)(size) }, size)
    }

    #[inline(always)]
    pub(crate) fn resized(&self, block: Block, size: usize) -> Block {
        // SAFETY: the block is live and has this size; only the returned one is used from here on.
        Block::of(unsafe { (self.resize)(block.payload, block.size, size) }, size)
    }

    #[inline(always)]
    pub(crate) fn free_block(&self, block: Block) {
        // SAFETY: the block is live and has this size, and its holder forgets it now.
        unsafe { (self.free)(block.payload, block.size) }
    }
}

#[cold]
fn out_of_memory() -> ! {
    std::process::exit(OUT_OF_MEMORY)
}
