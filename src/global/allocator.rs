//! The `Allocator` traits of others: one implementation, for each trait and for each of the crate's heaps that can be used
//! through a shared reference.
//!
//! Blocks are a little larger than their requests. How much larger at least is known from the layout alone, so that callers
//! get the rest without a look at the block; for alignments above 16 bytes they get what they asked for.

use super::{Hmalloc, ThreadHeap};
use crate::central::spans::OutOfMemory;
use crate::global::lock::Lock;
use crate::ground::size_class::block_bytes;
use crate::kernel::brk::Brk;
use crate::scoped::ScopedHeap;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;

/// What the traits are made of.
///
/// # Safety
///
/// A block is as large and as aligned as its layout says, and stays valid until it is freed or the borrow of the heap ends.
unsafe trait Gives {
    fn give(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory>;

    /// Whether blocks are no longer than what was asked for: in checked mode, in which a write past that is found.
    fn gives_exactly(&self) -> bool;

    /// [`give`](Self::give), and `layout.size()` bytes are zero.
    fn give_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory>;

    /// Frees a block. The policy decides about a misuse.
    ///
    /// # Safety
    ///
    /// If `block` is a live block's, nothing uses that block any more.
    unsafe fn take(&self, block: NonNull<u8>, layout: Layout);

    /// Resizes a block, in place if possible. The policy decides about a misuse, which then fails as if there were no memory.
    ///
    /// # Safety
    ///
    /// As for [`take`](Self::take), unless this fails or the answer is the same address.
    unsafe fn recut(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<u8>, OutOfMemory>;
}

// SAFETY: what a heap of this type has handed out stays valid until it is freed: dropping it returns nothing.
unsafe impl<L: Lock, B: Brk> Gives for Hmalloc<L, B> {
    #[inline]
    fn give(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        self.allocate(layout)
    }

    #[inline]
    fn gives_exactly(&self) -> bool {
        self.mode.wanted().is_some()
    }

    fn give_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        self.allocate_zeroed(layout)
    }

    #[inline]
    unsafe fn take(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.dealloc(block.as_ptr(), layout) }
    }

    #[inline]
    unsafe fn recut(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        // The caller's promise is that of this function.
        NonNull::new(self.realloc_by(self.enter(), None, block.as_ptr(), old, (new.size(), new.align())))
            .ok_or(OutOfMemory)
    }
}

// SAFETY: as above; a handle's blocks are its heap's.
unsafe impl<L: Lock, B: Brk> Gives for ThreadHeap<'_, L, B> {
    #[inline]
    fn give(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        self.allocate(layout)
    }

    #[inline]
    fn gives_exactly(&self) -> bool {
        self.heap.gives_exactly()
    }

    fn give_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        self.allocate_zeroed(layout)
    }

    #[inline]
    unsafe fn take(&self, block: NonNull<u8>, layout: Layout) {
        self.heap.dealloc_by::<true>(self.enter(), self.by(), block.as_ptr().addr(), layout);
    }

    #[inline]
    unsafe fn recut(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        let moved = self.heap.realloc_by(self.enter(), self.by(), block.as_ptr(), old, (new.size(), new.align()));
        NonNull::new(moved).ok_or(OutOfMemory)
    }
}

// SAFETY: blocks stay valid until they are freed, or the heap is dropped or reset, which the borrow excludes.
unsafe impl<L: Lock, B: Brk> Gives for ScopedHeap<L, B> {
    #[inline]
    fn give(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        self.heap.give(layout)
    }

    #[inline]
    fn gives_exactly(&self) -> bool {
        false
    }

    fn give_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        self.heap.give_zeroed(layout)
    }

    #[inline]
    unsafe fn take(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.heap.take(block, layout) }
    }

    #[inline]
    unsafe fn recut(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        // SAFETY: the caller's promise.
        unsafe { self.heap.recut(block, old, new) }
    }
}

/// Whether a pointer stands for a value without size, as collections make them up without asking for memory, and some free
/// them: the address is the alignment, where no heap has a block.
#[inline]
fn is_made_up(block: NonNull<u8>, layout: Layout) -> bool {
    layout.size() == 0 && block.addr().get() == layout.align()
}

/// [`Gives::take`], unless there is nothing to free.
///
/// # Safety
///
/// As for [`Gives::take`].
#[inline]
unsafe fn freed<G: Gives>(heap: &G, block: NonNull<u8>, layout: Layout) {
    if !is_made_up(block, layout) {
        // SAFETY: the caller's promise.
        unsafe { heap.take(block, layout) }
    }
}

/// [`Gives::recut`], and the [whole](whole) block.
///
/// # Safety
///
/// As for [`Gives::recut`].
#[inline]
unsafe fn recut<G: Gives>(
    heap: &G,
    block: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Result<NonNull<[u8]>, OutOfMemory> {
    if is_made_up(block, old) {
        return heap.give(new).map(|block| whole(heap, block, new));
    }
    // SAFETY: the caller's promise.
    unsafe { heap.recut(block, old, new) }.map(|block| whole(heap, block, new))
}

/// Bytes of a block for `layout` that are the caller's: in checked mode what it asked for.
#[inline]
fn bytes<G: Gives>(heap: &G, layout: Layout) -> usize {
    if heap.gives_exactly() { layout.size() } else { block_bytes(layout) }
}

/// The block, as long as every block for `layout` is.
#[inline]
fn whole<G: Gives>(heap: &G, block: NonNull<u8>, layout: Layout) -> NonNull<[u8]> {
    NonNull::slice_from_raw_parts(block, bytes(heap, layout))
}

/// [`Gives::give_zeroed`], with zeros up to the end of the [whole](whole) block.
fn zeroed<G: Gives>(heap: &G, layout: Layout) -> Result<NonNull<[u8]>, OutOfMemory> {
    let filled = Layout::from_size_align(bytes(heap, layout), layout.align()).unwrap_or(layout);
    Ok(NonNull::slice_from_raw_parts(heap.give_zeroed(filled)?, filled.size()))
}

/// [`Gives::recut`] to a larger layout, with zeros from the end of the old one to the end of the [whole](whole) block.
///
/// # Safety
///
/// As for [`Gives::recut`].
unsafe fn grown_zeroed<G: Gives>(
    heap: &G,
    block: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Result<NonNull<[u8]>, OutOfMemory> {
    // SAFETY: the caller's promise.
    let grown = unsafe { recut(heap, block, old, new) }?;
    // SAFETY: the block is the caller's, and so long.
    unsafe { grown.cast::<u8>().add(old.size()).write_bytes(0, grown.len() - old.size()) };
    Ok(grown)
}

/// Implements the trait of one crate, whose path is `$at`, for a reference to one of the heaps.
macro_rules! implement {
    ($($at:ident)::+, [$($generics:tt)*] $heap:ty) => {
        // SAFETY: `Gives` promises that of the blocks. A copy of the reference is the same allocator.
        // What may unwind is a hook's panic, before anything was done.
        unsafe impl<$($generics)*> $($at)::+::Allocator for &$heap {
            #[inline]
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, $($at)::+::AllocError> {
                Gives::give(*self, layout).map(|block| whole(*self, block, layout)).map_err(|_| $($at)::+::AllocError)
            }

            #[inline]
            fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, $($at)::+::AllocError> {
                zeroed(*self, layout).map_err(|_| $($at)::+::AllocError)
            }

            #[inline]
            unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
                // SAFETY: the caller's promise.
                unsafe { freed(*self, block, layout) }
            }

            #[inline]
            unsafe fn grow(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $($at)::+::AllocError> {
                // SAFETY: the caller's promise.
                unsafe { recut(*self, block, old, new) }.map_err(|_| $($at)::+::AllocError)
            }

            #[inline]
            unsafe fn grow_zeroed(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $($at)::+::AllocError> {
                // SAFETY: the caller's promise.
                unsafe { grown_zeroed(*self, block, old, new) }.map_err(|_| $($at)::+::AllocError)
            }

            #[inline]
            unsafe fn shrink(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $($at)::+::AllocError> {
                // SAFETY: the caller's promise.
                unsafe { recut(*self, block, old, new) }.map_err(|_| $($at)::+::AllocError)
            }
        }
    };
    ($($at:ident)::+) => {
        implement!($($at)::+, [L: Lock, B: Brk] Hmalloc<L, B>);
        implement!($($at)::+, [L: Lock, B: Brk] ThreadHeap<'_, L, B>);
        implement!($($at)::+, [L: Lock, B: Brk] ScopedHeap<L, B>);
    };
}

#[cfg(feature = "allocator-api2")]
implement!(allocator_api2::alloc);
#[cfg(feature = "allocator-api2-04")]
implement!(allocator_api2_04::alloc);
#[cfg(hmalloc_nightly)]
implement!(core::alloc);
