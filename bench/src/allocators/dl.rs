//! The two Rust ports of dlmalloc, without a lock, over mappings of their own.

use super::candidate::{Candidate, Lone};
use std::alloc::Layout;

macro_rules! dlmalloc {
    ($type:ident, $static:ident, $package:ident, $name:literal, $note:literal) => {
        pub(super) struct $type;
        static $static: Lone<$package::Dlmalloc> = Lone::new($package::Dlmalloc::new());

        impl Candidate for $type {
            const NAME: &'static str = $name;
            const NOTE: &'static str = $note;
            const PACKAGE: Option<&'static str> = Some($name);

            #[inline(always)]
            unsafe fn allocate(layout: Layout) -> *mut u8 {
                // SAFETY: no other reference is held.
                unsafe { $static.get().malloc(layout.size(), layout.align()) }
            }

            #[inline(always)]
            unsafe fn allocate_zeroed(layout: Layout) -> *mut u8 {
                // SAFETY: no other reference is held.
                unsafe { $static.get().calloc(layout.size(), layout.align()) }
            }

            #[inline(always)]
            unsafe fn free(payload: *mut u8, layout: Layout) {
                // SAFETY: the caller's block is live and was asked for with this layout.
                unsafe { $static.get().free(payload, layout.size(), layout.align()) }
            }

            #[inline(always)]
            unsafe fn resize(payload: *mut u8, old: Layout, new: usize) -> *mut u8 {
                // SAFETY: as for `free`.
                unsafe { $static.get().realloc(payload, old.size(), old.align(), new) }
            }
        }
    };
}

dlmalloc!(Dlmalloc, DLMALLOC, dlmalloc, "dlmalloc", "no lock, over mmap");
dlmalloc!(RustixDlmalloc, RUSTIX_DLMALLOC, rustix_dlmalloc, "rustix-dlmalloc", "no lock, over rustix's mmap");
