//! What the model drives: a heap, or a heap with a fault of its own that the oracle has to notice.

use crate::hooked::HookedHeap;
use hmalloc::brk::Emulated;
use hmalloc::{Heap, Misuse, OutOfMemory, ResizeError};
use std::alloc::Layout;
use std::ptr::NonNull;

/// The production heap on an emulated break, for tests without a model.
pub type EmulatedHeap<'a> = Heap<Emulated<'a>>;

/// A heap's operations, as the model calls them. Each stands for itself unless a broken subject replaces it.
///
/// The model promises for every call what [`Heap`] asks for: a payload that is freed or moved is not used again.
pub trait Subject<'a> {
    fn heap(&self) -> &HookedHeap<'a>;
    fn heap_mut(&mut self) -> &mut HookedHeap<'a>;

    fn allocate(&mut self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        self.heap_mut().allocate(layout)
    }

    fn allocate_zeroed(&mut self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        self.heap_mut().allocate_zeroed(layout)
    }

    fn free(&mut self, payload: *mut u8) -> Result<(), Misuse> {
        // SAFETY: the model does not use a payload again that it gives to `free`.
        unsafe { self.heap_mut().free(payload) }
    }

    fn free_sized(&mut self, payload: *mut u8, layout: Layout) -> Result<(), Misuse> {
        // SAFETY: as for `free`; the heap itself judges the layout.
        unsafe { self.heap_mut().free_sized(payload, layout) }
    }

    fn resize(&mut self, payload: *mut u8, new: Layout) -> Result<NonNull<u8>, ResizeError> {
        // SAFETY: the model goes on with the payload that comes back, and with the old one only after an error.
        unsafe { self.heap_mut().resize(payload, new) }
    }

    fn resize_sized(&mut self, payload: *mut u8, old: Layout, new: Layout) -> Result<NonNull<u8>, ResizeError> {
        // SAFETY: as for `resize`; the heap itself judges the old layout.
        unsafe { self.heap_mut().resize_sized(payload, old, new) }
    }

    fn usable_size(&self, payload: *const u8) -> Result<usize, Misuse> {
        self.heap().usable_size(payload)
    }

    fn trim(&mut self, keep: usize) -> usize {
        self.heap_mut().trim(keep)
    }
}

impl<'a> Subject<'a> for HookedHeap<'a> {
    fn heap(&self) -> &HookedHeap<'a> {
        self
    }

    fn heap_mut(&mut self) -> &mut HookedHeap<'a> {
        self
    }
}
