//! Allocators with a C entry, called as a C program calls them, or as their Rust package does where that is faster.

use super::candidate::{Candidate, WORD};
use std::alloc::Layout;

/// The calls of one allocator. A request that asks for no alignment takes the plain function; that choice is made at
/// compile time for all but `allocate_aligned`, as a Rust program's global allocator makes it.
macro_rules! c_entry {
    (
        $type:ident, $package:expr, $name:literal, $note:expr, prepare: $prepare:expr,
        allocate($size:ident): $plain:expr, aligned($aligned:ident): $align:expr,
        zeroed($zeroed:ident): $zero:expr, free($payload:ident, $layout:ident): $free:expr,
        resize($block:ident, $old:ident, $new:ident): $resize:expr, trim: $trim:expr $(,)?
    ) => {
        pub(super) struct $type;

        impl Candidate for $type {
            const NAME: &'static str = $name;
            const NOTE: &'static str = $note;
            const PACKAGE: Option<&'static str> = $package;
            const TRIM: Option<fn()> = $trim;

            fn prepare() {
                $prepare
            }

            #[inline(always)]
            unsafe fn allocate(layout: Layout) -> *mut u8 {
                let ($size, $aligned) = (layout.size(), layout);
                // SAFETY: any size but 0 may be asked for, at any power of two.
                unsafe { if layout.align() <= WORD { $plain } else { $align } }.cast()
            }

            #[inline(always)]
            unsafe fn allocate_zeroed(layout: Layout) -> *mut u8 {
                let $zeroed = layout.size();
                // SAFETY: any size but 0 may be asked for. The boundary asks for zeroed blocks without an alignment.
                unsafe { $zero }.cast()
            }

            #[inline(always)]
            unsafe fn free(payload: *mut u8, $layout: Layout) {
                let $payload = payload.cast::<libc::c_void>();
                // SAFETY: the caller's block is live, came from here and was asked for with this layout.
                unsafe { $free }
            }

            #[inline(always)]
            unsafe fn resize(payload: *mut u8, $old: Layout, $new: usize) -> *mut u8 {
                let $block = payload.cast::<libc::c_void>();
                // SAFETY: as for `free`; `new` is not 0. The boundary resizes no block that asked for an alignment.
                unsafe { $resize }.cast()
            }
        }
    };
}

c_entry!(
    System,
    None,
    "system",
    "the C library's malloc and free",
    prepare: (),
    allocate(size): libc::malloc(size),
    aligned(layout): libc::aligned_alloc(layout.align(), layout.size()),
    zeroed(size): libc::calloc(1, size),
    free(payload, _layout): libc::free(payload),
    resize(payload, _old, new): libc::realloc(payload, new),
    trim: Some(trim_system),
);

c_entry!(
    Mimalloc,
    Some("libmimalloc-sys"),
    "mimalloc",
    if cfg!(feature = "mimalloc-v2") { "version 2, mi_malloc and mi_free" } else { "version 3, mi_malloc and mi_free" },
    prepare: (),
    allocate(size): libmimalloc_sys::mi_malloc(size),
    aligned(layout): libmimalloc_sys::mi_malloc_aligned(layout.size(), layout.align()),
    zeroed(size): libmimalloc_sys::mi_zalloc(size),
    free(payload, _layout): libmimalloc_sys::mi_free(payload),
    resize(payload, _old, new): libmimalloc_sys::mi_realloc(payload, new),
    trim: Some(trim_mimalloc),
);

c_entry!(
    Jemalloc,
    Some("tikv-jemalloc-sys"),
    "jemalloc",
    "malloc and sdallocx, which is told the size as a Rust caller knows it",
    prepare: (),
    allocate(size): tikv_jemalloc_sys::malloc(size),
    aligned(layout): tikv_jemalloc_sys::mallocx(layout.size(), tikv_jemalloc_sys::MALLOCX_ALIGN(layout.align())),
    zeroed(size): tikv_jemalloc_sys::calloc(1, size),
    free(payload, layout): tikv_jemalloc_sys::sdallocx(payload, layout.size(), jemalloc_flags(layout)),
    resize(payload, _old, new): tikv_jemalloc_sys::realloc(payload, new),
    trim: Some(trim_jemalloc),
);

#[inline(always)]
fn jemalloc_flags(layout: Layout) -> libc::c_int {
    if layout.align() <= WORD { 0 } else { tikv_jemalloc_sys::MALLOCX_ALIGN(layout.align()) }
}

c_entry!(
    Snmalloc,
    Some("snmalloc-sys"),
    "snmalloc",
    "sn_rust_alloc and sn_rust_dealloc, which is told the size",
    prepare: (),
    allocate(size): snmalloc_sys::sn_rust_alloc(WORD, size),
    aligned(layout): snmalloc_sys::sn_rust_alloc(layout.align(), layout.size()),
    zeroed(size): snmalloc_sys::sn_rust_alloc_zeroed(WORD, size),
    free(payload, layout): {
        snmalloc_sys::sn_rust_dealloc(payload, layout.align(), layout.size());
    },
    resize(payload, old, new): snmalloc_sys::sn_rust_realloc(payload, WORD, old.size(), new),
    trim: None,
);

c_entry!(
    Rpmalloc,
    Some("rpmalloc-sys"),
    "rpmalloc",
    "rpmalloc and rpfree",
    prepare: {
        // SAFETY: called once, before any other call of this allocator.
        let status = unsafe { rpmalloc_sys::rpmalloc_initialize() };
        assert_eq!(status, 0, "rpmalloc starts");
    },
    allocate(size): rpmalloc_sys::rpmalloc(size),
    aligned(layout): rpmalloc_sys::rpaligned_alloc(layout.align(), layout.size()),
    zeroed(size): rpmalloc_sys::rpcalloc(1, size),
    free(payload, _layout): rpmalloc_sys::rpfree(payload),
    resize(payload, _old, new): rpmalloc_sys::rprealloc(payload, new),
    trim: None,
);

fn trim_system() {
    // SAFETY: takes nothing that is live. Other libraries than glibc's would not have it.
    unsafe { libc::malloc_trim(0) };
}

fn trim_mimalloc() {
    unsafe extern "C" {
        // The package has it behind a feature that is not needed for anything else.
        fn mi_collect(force: bool);
    }
    // SAFETY: takes nothing that is live.
    unsafe { mi_collect(true) };
}

/// Empties the thread's cache, then all arenas: 4096 stands for all of them (`MALLCTL_ARENAS_ALL`).
fn trim_jemalloc() {
    for name in [c"thread.tcache.flush", c"arena.4096.purge"] {
        let (none, length) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: both commands exist, take no value and return none; they take nothing that is live.
        let status = unsafe { tikv_jemalloc_sys::mallctl(name.as_ptr(), none, length, none, 0) };
        assert_eq!(status, 0, "jemalloc does not know {name:?}");
    }
}
