//! Habits beyond allocating and freeing plain blocks: requests of other kinds, strings, a queue.

use super::{Run, SIZES, below, next};
use crate::allocators::Entry;
use crate::workloads::probe::Probe;

/// A kind of request, chosen at compile time so that a workload's loop has no branch for it.
pub(super) trait Request {
    /// # Safety
    ///
    /// As for the entry's functions.
    unsafe fn allocate(entry: &Entry, size: usize) -> *mut u8;
    /// # Safety
    ///
    /// As for the entry's functions; the block came from the same kind of request.
    unsafe fn free(entry: &Entry, payload: *mut u8, size: usize);
}

pub(super) struct Plain;

impl Request for Plain {
    #[inline(always)]
    unsafe fn allocate(entry: &Entry, size: usize) -> *mut u8 {
        // SAFETY: the caller's promises.
        unsafe { (entry.allocate)(size) }
    }

    #[inline(always)]
    unsafe fn free(entry: &Entry, payload: *mut u8, size: usize) {
        // SAFETY: the caller's promises.
        unsafe { (entry.free)(payload, size) }
    }
}

pub(super) struct Zeroed;

impl Request for Zeroed {
    #[inline(always)]
    unsafe fn allocate(entry: &Entry, size: usize) -> *mut u8 {
        // SAFETY: the caller's promises.
        unsafe { (entry.allocate_zeroed)(size) }
    }

    #[inline(always)]
    unsafe fn free(entry: &Entry, payload: *mut u8, size: usize) {
        // SAFETY: the caller's promises.
        unsafe { (entry.free)(payload, size) }
    }
}

pub(super) struct Aligned64;

impl Request for Aligned64 {
    #[inline(always)]
    unsafe fn allocate(entry: &Entry, size: usize) -> *mut u8 {
        // SAFETY: the caller's promises.
        unsafe { (entry.allocate_aligned)(size, 64) }
    }

    #[inline(always)]
    unsafe fn free(entry: &Entry, payload: *mut u8, size: usize) {
        // SAFETY: the caller's promises.
        unsafe { (entry.free_aligned)(payload, size, 64) }
    }
}

impl<P: Probe> Run<P> {
    /// Strings that grow as `String` and `std::string` do, among others that do the same.
    pub(super) fn strings(&mut self, steps: usize) -> usize {
        const FIRST: usize = 16;
        const LAST: usize = 4096;
        let mut operations = steps;
        if self.live[0].payload.is_null() {
            operations += self.live.len();
            for index in 0..self.live.len() {
                self.live[index] = self.allocate(FIRST);
            }
        }
        for _ in 0..steps {
            let index = below(next(&mut self.random), self.live.len());
            let live = self.live[index];
            if live.size >= LAST {
                self.free(live);
                self.live[index] = self.allocate(FIRST);
                operations += 1;
                continue;
            }
            let size = live.size + live.size / 2;
            let grown = self.resize(live, size);
            // SAFETY: the block has `size` bytes now. A string fills what it asked for.
            unsafe { grown.payload.add(live.size).write_bytes(1, size - live.size) };
            self.live[index] = grown;
        }
        operations
    }

    /// What passes between a producer and a consumer: the oldest goes, a new one comes.
    pub(super) fn queue(&mut self, steps: usize) -> usize {
        let mut operations = steps * 2;
        if self.live[0].payload.is_null() {
            operations += self.live.len();
            for index in 0..self.live.len() {
                self.live[index] = self.allocate(self.sizes[index % SIZES] as usize);
            }
        }
        for _ in 0..steps {
            let size = self.sizes[next(&mut self.random) as usize % SIZES] as usize;
            self.free(self.live[self.oldest]);
            self.live[self.oldest] = self.allocate(size);
            self.oldest = if self.oldest + 1 == self.live.len() { 0 } else { self.oldest + 1 };
        }
        operations
    }
}
