//! Blocks of the heap under check: allocated, filled, looked at and freed.

use crate::steps::{Failure, ensure};
use core::alloc::Layout;
use core::ptr::NonNull;
use hmalloc::Heap;
use hmalloc::brk::Linux;

pub(crate) fn sound(heap: &Heap<Linux>) -> Result<(), Failure> {
    heap.check().or_else(|corruption| ensure(false, "the heap is corrupt: invariant", corruption.invariant.into()))
}

pub(crate) fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap_or(Layout::new::<u8>())
}

pub(crate) fn allocate(heap: &mut Heap<Linux>, size: usize, align: usize) -> Result<NonNull<u8>, Failure> {
    heap.allocate(layout(size, align)).map_err(|_| Failure::new("there is no memory", size))
}

pub(crate) fn free(heap: &mut Heap<Linux>, payload: NonNull<u8>) -> Result<(), Failure> {
    // SAFETY: the steps use no block after they freed it.
    unsafe { heap.free(payload.as_ptr()) }.map_err(|_| Failure::new("a free was refused", payload.as_ptr().addr()))
}

/// Whether all `size` bytes at `payload` are `byte`.
pub(crate) fn holds(payload: NonNull<u8>, byte: u8, size: usize) -> bool {
    // SAFETY: the steps pass only blocks that they own and filled, at least that long.
    unsafe { core::slice::from_raw_parts(payload.as_ptr(), size) }.iter().all(|&found| found == byte)
}

pub(crate) fn fill(payload: NonNull<u8>, byte: u8, size: usize) {
    // SAFETY: the steps fill only blocks that they own, at least that long.
    unsafe { payload.write_bytes(byte, size) }
}
