//! What the boundary costs when there is nothing behind it.

use super::{Candidate, Kind};
use crate::base::kernel;
use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::null_mut;

/// Addresses wrap after this much, so that the blocks stay in the first-level cache.
const WRAP: usize = 16 << 10;

/// The last block before the wrap may be as large as any request.
const ARENA: usize = 1 << 30;

/// A pointer that moves and wraps. Blocks overlap: only a caller that never looks at what it wrote can use them.
pub(super) struct Empty;

struct Bump {
    start: Cell<*mut u8>,
    offset: Cell<usize>,
}

// SAFETY: a child has one thread.
unsafe impl Sync for Bump {}

static BUMP: Bump = Bump { start: Cell::new(null_mut()), offset: Cell::new(0) };

impl Candidate for Empty {
    const NAME: &'static str = "empty";
    const NOTE: &'static str = "no allocator: a pointer that moves and wraps, what the boundary itself costs";
    const PACKAGE: Option<&'static str> = None;
    const KIND: Kind = Kind::Boundary;

    fn prepare() {
        BUMP.start.set(kernel::reserve(WRAP + ARENA));
    }

    #[inline(always)]
    unsafe fn allocate(layout: Layout) -> *mut u8 {
        let offset = BUMP.offset.get().next_multiple_of(layout.align());
        BUMP.offset.set((offset + layout.size()) % WRAP);
        // SAFETY: `offset` is at most `WRAP` or the alignment, and so much is mapped beyond that it is in bounds.
        unsafe { BUMP.start.get().add(offset) }
    }

    #[inline(always)]
    unsafe fn allocate_zeroed(layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises. Nothing is cleared: that is work of an allocator, not of the boundary.
        unsafe { Self::allocate(layout) }
    }

    #[inline(always)]
    unsafe fn free(_: *mut u8, _: Layout) {}

    #[inline(always)]
    unsafe fn resize(payload: *mut u8, _: Layout, _: usize) -> *mut u8 {
        payload
    }
}
