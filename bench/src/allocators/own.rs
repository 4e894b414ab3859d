//! This repository's heap, with and without its lock. Every freed pointer is validated.

use super::Candidate;
use hmalloc::Hmalloc;
use std::alloc::{GlobalAlloc, Layout};

// SAFETY: a child has one thread.
static SINGLE_THREADED: Hmalloc<hmalloc::SingleThreaded> = unsafe { Hmalloc::single_threaded() };
static LOCKED: Hmalloc = Hmalloc::new();

/// # Safety
///
/// `size` is that of a request that some allocator took, or small.
unsafe fn layout(size: usize) -> Layout {
    // SAFETY: 8 is a power of two, and the workloads' sizes are far below the limit.
    unsafe { Layout::from_size_align_unchecked(size, 8) }
}

/// Hands the three calls to a static that is a `GlobalAlloc`.
macro_rules! global {
    ($type:ident, $static:ident, $name:literal, $note:literal) => {
        pub(super) struct $type;

        impl Candidate for $type {
            const NAME: &'static str = $name;
            const NOTE: &'static str = $note;

            unsafe fn allocate(size: usize) -> *mut u8 {
                // SAFETY: the caller's size is not 0.
                unsafe { $static.alloc(layout(size)) }
            }

            unsafe fn free(payload: *mut u8, size: usize) {
                // SAFETY: the caller's block is live and was asked for with this size and alignment.
                unsafe { $static.dealloc(payload, layout(size)) }
            }

            unsafe fn resize(payload: *mut u8, old: usize, new: usize) -> *mut u8 {
                // SAFETY: as for `free`; `new` is not 0.
                unsafe { $static.realloc(payload, layout(old), new) }
            }
        }
    };
}

global!(SingleThreaded, SINGLE_THREADED, "hmalloc", "Hmalloc<SingleThreaded>: no lock, every free validated");
global!(Locked, LOCKED, "hmalloc-lock", "Hmalloc: the default, behind its futex lock");

/// The heap in numbers, for those of this module.
pub(crate) fn stats(name: &str) -> Option<hmalloc::Stats> {
    match name {
        SingleThreaded::NAME => Some(SINGLE_THREADED.stats()),
        Locked::NAME => Some(LOCKED.stats()),
        _ => None,
    }
}
