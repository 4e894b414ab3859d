//! What the boundary costs when there is nothing behind it.

use super::candidate::{Candidate, Kind, Lone, candidate};
use crate::base::kernel;
use std::alloc::Layout;
use std::ptr::null_mut;

/// Addresses wrap after this much, so that the blocks stay in the first-level cache.
const WRAP: usize = 16 << 10;

/// The last block before the wrap may be as large as any request.
const ARENA: usize = 1 << 30;

/// Where the memory begins, and the next block in it.
static BUMP: Lone<(*mut u8, usize)> = Lone::new((null_mut(), 0));

// A pointer that moves and wraps. Blocks overlap: only a caller that never looks at what it wrote can use them. Nothing is
// cleared: that is an allocator's work, not the boundary's.
candidate!(
    Empty,
    None,
    "empty",
    "no allocator: a pointer that moves and wraps, what the boundary itself costs",
    kind: Kind::Boundary,
    prepare: BUMP.get().0 = kernel::reserve(WRAP + ARENA),
    allocate(layout): {
        let (start, next) = BUMP.get();
        let offset = next.next_multiple_of(layout.align());
        *next = (offset + layout.size()) % WRAP;
        // At most `WRAP` or the alignment, and so much is mapped beyond that it is in bounds.
        start.add(offset)
    },
    zeroed(layout): Self::allocate(layout),
    free(_payload, _): (),
    resize(payload, _, _new): payload,
);
