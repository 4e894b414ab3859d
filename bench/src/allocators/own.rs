//! This repository's heap, with and without its lock. Every freed pointer is validated.

use super::{Candidate, Kind};
use hmalloc::Hmalloc;
use std::alloc::{GlobalAlloc, Layout};

// SAFETY: a child has one thread.
static SINGLE_THREADED: Hmalloc<hmalloc::SingleThreaded> = unsafe { Hmalloc::single_threaded() };
static LOCKED: Hmalloc = Hmalloc::new();

/// Hands the calls to a static that is a `GlobalAlloc`.
macro_rules! global {
    ($type:ident, $static:ident, $name:literal, $note:literal) => {
        pub(super) struct $type;

        impl Candidate for $type {
            const NAME: &'static str = $name;
            const NOTE: &'static str = $note;
            const PACKAGE: Option<&'static str> = Some("hmalloc");
            const KIND: Kind = Kind::Ours;

            #[inline(always)]
            unsafe fn allocate(layout: Layout) -> *mut u8 {
                // SAFETY: the caller's size is not 0.
                unsafe { $static.alloc(layout) }
            }

            #[inline(always)]
            unsafe fn allocate_zeroed(layout: Layout) -> *mut u8 {
                // SAFETY: the caller's size is not 0.
                unsafe { $static.alloc_zeroed(layout) }
            }

            #[inline(always)]
            unsafe fn free(payload: *mut u8, layout: Layout) {
                // SAFETY: the caller's block is live and was asked for with this layout.
                unsafe { $static.dealloc(payload, layout) }
            }

            #[inline(always)]
            unsafe fn resize(payload: *mut u8, old: Layout, new: usize) -> *mut u8 {
                // SAFETY: as for `free`; `new` is not 0.
                unsafe { $static.realloc(payload, old, new) }
            }
        }
    };
}

global!(SingleThreaded, SINGLE_THREADED, "hmalloc", "Hmalloc<SingleThreaded>: no lock, every free validated");
global!(Locked, LOCKED, "hmalloc-lock", "Hmalloc: the default, behind its futex lock, every free validated");

/// The heap in numbers, for those of this module.
pub(crate) fn stats(name: &str) -> Option<hmalloc::Stats> {
    match name {
        SingleThreaded::NAME => Some(SINGLE_THREADED.stats()),
        Locked::NAME => Some(LOCKED.stats()),
        _ => None,
    }
}
