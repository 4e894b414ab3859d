//! What the boundary costs when there is nothing behind it.

use super::candidate::{Candidate, Kind, Lone};
use crate::base::kernel;
use std::alloc::Layout;
use std::ptr::null_mut;

/// Addresses wrap after this much, so that the blocks stay in the first-level cache.
const WRAP: usize = 16 << 10;

/// The last block before the wrap may be as large as any request.
const ARENA: usize = 1 << 30;

/// A pointer that moves and wraps. Blocks overlap: only a caller that never looks at what it wrote can use them.
pub(super) struct Empty;

/// Where the memory begins, and the next block in it.
static BUMP: Lone<(*mut u8, usize)> = Lone::new((null_mut(), 0));

impl Candidate for Empty {
    const NAME: &'static str = "empty";
    const NOTE: &'static str = "no allocator: a pointer that moves and wraps, what the boundary itself costs";
    const PACKAGE: Option<&'static str> = None;
    const KIND: Kind = Kind::Boundary;

    fn prepare() {
        // SAFETY: no other reference is held.
        unsafe { BUMP.get() }.0 = kernel::reserve(WRAP + ARENA);
    }

    #[inline(always)]
    unsafe fn allocate(layout: Layout) -> *mut u8 {
        // SAFETY: no other reference is held.
        let (start, next) = unsafe { BUMP.get() };
        let offset = next.next_multiple_of(layout.align());
        *next = (offset + layout.size()) % WRAP;
        // SAFETY: `offset` is at most `WRAP` or the alignment, and so much is mapped beyond that it is in bounds.
        unsafe { start.add(offset) }
    }

    #[inline(always)]
    unsafe fn allocate_zeroed(layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises. Nothing is cleared: that is an allocator's work, not the boundary's.
        unsafe { Self::allocate(layout) }
    }

    #[inline(always)]
    unsafe fn free(_: *mut u8, _: Layout) {}

    #[inline(always)]
    unsafe fn resize(payload: *mut u8, _: Layout, _: usize) -> *mut u8 {
        payload
    }
}
