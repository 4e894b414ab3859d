//! Short forms for tests that call a heap without an oracle.

use hmalloc::Heap;
use hmalloc::brk::Brk;
use std::alloc::Layout;
use std::ptr::NonNull;

pub const KIB: usize = 1 << 10;
pub const MIB: usize = 1 << 20;

pub fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("sizes up to isize::MAX - align")
}

pub fn get<B: Brk>(heap: &mut Heap<B>, size: usize) -> Option<NonNull<u8>> {
    heap.allocate(layout(size, 8)).ok()
}

/// Frees a live payload, which the caller then forgets.
pub fn free<B: Brk>(heap: &mut Heap<B>, payload: NonNull<u8>) {
    // SAFETY: the tests forget every payload they free.
    unsafe { heap.free(payload.as_ptr()) }.expect("a live payload");
}
