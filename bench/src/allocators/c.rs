//! Allocators with a C entry, called as a C program calls them.

use super::Candidate;

/// Hands the three calls to functions with the signatures of `malloc`, `free` (with the size beside) and `realloc`.
macro_rules! c_entry {
    ($type:ident, $name:literal, $note:literal, $malloc:path, $free:path, $realloc:path) => {
        pub(super) struct $type;

        impl Candidate for $type {
            const NAME: &'static str = $name;
            const NOTE: &'static str = $note;

            unsafe fn allocate(size: usize) -> *mut u8 {
                // SAFETY: any size may be asked for.
                unsafe { $malloc(size).cast() }
            }

            unsafe fn free(payload: *mut u8, size: usize) {
                // SAFETY: the caller's block is live and came from the same allocator.
                unsafe { $free(payload.cast(), size) }
            }

            unsafe fn resize(payload: *mut u8, _: usize, new: usize) -> *mut u8 {
                // SAFETY: as for `free`.
                unsafe { $realloc(payload.cast(), new).cast() }
            }
        }
    };
}

/// # Safety
///
/// As for [`Candidate::free`].
unsafe fn unsized_free(payload: *mut libc::c_void, _: usize) {
    // SAFETY: the caller's block is live and came from `malloc`.
    unsafe { libc::free(payload) }
}

/// # Safety
///
/// As for [`Candidate::free`].
unsafe fn unsized_mi_free(payload: *mut libc::c_void, _: usize) {
    // SAFETY: the caller's block is live and came from `mi_malloc`.
    unsafe { libmimalloc_sys::mi_free(payload) }
}

/// jemalloc frees faster when it is told the size, and a Rust caller knows it.
///
/// # Safety
///
/// As for [`Candidate::free`].
unsafe fn sized_free(payload: *mut libc::c_void, size: usize) {
    // SAFETY: the caller's block is live and was asked for with this size.
    unsafe { tikv_jemalloc_sys::sdallocx(payload, size, 0) }
}

c_entry!(System, "system", "the C library's malloc", libc::malloc, unsized_free, libc::realloc);
c_entry!(Mimalloc, "mimalloc", "mi_malloc", libmimalloc_sys::mi_malloc, unsized_mi_free, libmimalloc_sys::mi_realloc);
c_entry!(
    Jemalloc,
    "jemalloc",
    "its malloc and sdallocx",
    tikv_jemalloc_sys::malloc,
    sized_free,
    tikv_jemalloc_sys::realloc
);
