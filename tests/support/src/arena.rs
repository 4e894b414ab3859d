//! The byte array under an emulated break, at a chosen place relative to every page size in use.

use hmalloc::brk::Emulated;
use std::mem::MaybeUninit;

/// Arenas start at a multiple of this plus their offset, so that a sequence behaves alike wherever the system's own
/// allocator puts the array.
const ALIGNMENT: usize = 2 << 20;

/// Bytes that stand for a process' address space.
pub struct Arena {
    memory: Box<[MaybeUninit<u8>]>,
    skip: usize,
    bytes: usize,
}

impl Arena {
    /// `bytes` bytes at the start of a page.
    pub fn new(bytes: usize) -> Self {
        Self::at(bytes, 0)
    }

    /// `bytes` bytes, the first of them `offset` bytes past a multiple of 2 MiB.
    pub fn at(bytes: usize, offset: usize) -> Self {
        assert!(offset < ALIGNMENT);
        let memory: Box<[MaybeUninit<u8>]> = Box::new_uninit_slice(bytes + 2 * ALIGNMENT);
        let start = memory.as_ptr().addr();
        let skip = start.next_multiple_of(ALIGNMENT) - start + offset;
        Self { memory, skip, bytes }
    }

    /// Goes on as an arena of `bytes` bytes at another offset, in the same memory: it is no larger than the first one, and what
    /// was in it stays there.
    pub fn place(&mut self, bytes: usize, offset: usize) {
        let start = self.memory.as_ptr().addr();
        let skip = start.next_multiple_of(ALIGNMENT) - start + offset;
        assert!(offset < ALIGNMENT && skip + bytes <= self.memory.len());
        (self.skip, self.bytes) = (skip, bytes);
    }

    /// First address of the arena.
    pub fn start(&self) -> usize {
        self.memory.as_ptr().addr() + self.skip
    }

    /// First address past the arena.
    pub fn end(&self) -> usize {
        self.start() + self.bytes
    }

    /// A break that stands at the arena's first byte, without faults.
    pub fn brk(&mut self) -> Emulated<'_> {
        Emulated::new(&mut self.memory[self.skip..][..self.bytes])
    }
}
