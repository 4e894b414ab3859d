//! Allocators with a C entry, called as a C program calls them, or as their Rust package does where that is faster.
//!
//! A request that asks for no alignment takes the plain function. That choice is made at compile time for all but
//! `allocate_aligned`, as a Rust program's global allocator makes it. The boundary asks for zeroed blocks without an
//! alignment, and resizes none that asked for one.

use super::candidate::{Candidate, Threads, WORD, candidate};
use super::is_plain;
use libmimalloc_sys::{mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_zalloc};
use rpmalloc_sys::{
    rpaligned_alloc, rpcalloc, rpfree, rpmalloc, rpmalloc_initialize, rpmalloc_thread_initialize, rprealloc,
};
use snmalloc_sys::{sn_rust_alloc, sn_rust_alloc_zeroed, sn_rust_dealloc, sn_rust_realloc};
use std::alloc::Layout;
use tikv_jemalloc_sys as jemalloc;

candidate!(
    System,
    None,
    "system",
    "the C library's malloc and free",
    threads: Threads::UNANNOUNCED,
    trim: trim_system,
    allocate(layout): match is_plain(layout) {
        true => libc::malloc(layout.size()),
        false => libc::aligned_alloc(layout.align(), layout.size()),
    },
    zeroed(layout): libc::calloc(1, layout.size()),
    free(payload, _): libc::free(payload.cast()),
    resize(payload, _, new): libc::realloc(payload.cast(), new),
);

candidate!(
    Mimalloc,
    Some("libmimalloc-sys"),
    "mimalloc",
    if cfg!(feature = "mimalloc-v2") { "version 2, mi_malloc and mi_free" } else { "version 3, mi_malloc and mi_free" },
    threads: Threads::UNANNOUNCED,
    trim: trim_mimalloc,
    allocate(layout): match is_plain(layout) {
        true => mi_malloc(layout.size()),
        false => mi_malloc_aligned(layout.size(), layout.align()),
    },
    zeroed(layout): mi_zalloc(layout.size()),
    free(payload, _): mi_free(payload.cast()),
    resize(payload, _, new): mi_realloc(payload.cast(), new),
);

candidate!(
    Jemalloc,
    Some("tikv-jemalloc-sys"),
    "jemalloc",
    "malloc and sdallocx, which is told the size as a Rust caller knows it",
    threads: Threads::UNANNOUNCED,
    trim: trim_jemalloc,
    allocate(layout): match is_plain(layout) {
        true => jemalloc::malloc(layout.size()),
        false => jemalloc::mallocx(layout.size(), jemalloc_flags(layout)),
    },
    zeroed(layout): jemalloc::calloc(1, layout.size()),
    free(payload, layout): jemalloc::sdallocx(payload.cast(), layout.size(), jemalloc_flags(layout)),
    resize(payload, _, new): jemalloc::realloc(payload.cast(), new),
);

#[inline(always)]
fn jemalloc_flags(layout: Layout) -> libc::c_int {
    if is_plain(layout) { 0 } else { jemalloc::MALLOCX_ALIGN(layout.align()) }
}

candidate!(
    Snmalloc,
    Some("snmalloc-sys"),
    "snmalloc",
    "sn_rust_alloc and sn_rust_dealloc, which is told the size",
    threads: Threads::UNANNOUNCED,
    allocate(layout): sn_rust_alloc(layout.align(), layout.size()),
    zeroed(layout): sn_rust_alloc_zeroed(WORD, layout.size()),
    free(payload, layout): sn_rust_dealloc(payload.cast(), layout.align(), layout.size()),
    resize(payload, old, new): sn_rust_realloc(payload.cast(), WORD, old.size(), new),
);

candidate!(
    Rpmalloc,
    Some("rpmalloc-sys"),
    "rpmalloc",
    "rpmalloc and rpfree",
    threads: Threads { begin: begin_rpmalloc, end: end_rpmalloc },
    prepare: assert_eq!(rpmalloc_initialize(), 0, "rpmalloc starts"),
    allocate(layout): match is_plain(layout) {
        true => rpmalloc(layout.size()),
        false => rpaligned_alloc(layout.align(), layout.size()),
    },
    zeroed(layout): rpcalloc(1, layout.size()),
    free(payload, _): rpfree(payload.cast()),
    resize(payload, _, new): rprealloc(payload.cast(), new),
);

fn begin_rpmalloc() {
    // SAFETY: `prepare` came first; a thread that has begun already is left as it is.
    unsafe { rpmalloc_thread_initialize() };
}

/// Leaves the thread's heap to the next one and its free memory to all. Without it, both are lost with the thread.
fn end_rpmalloc() {
    unsafe extern "C" {
        // The package declares it without its argument.
        fn rpmalloc_thread_finalize(release_caches: libc::c_int);
    }
    // SAFETY: the thread makes no further call; blocks that it leaves stay live.
    unsafe { rpmalloc_thread_finalize(1) };
}

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
        let status = unsafe { jemalloc::mallctl(name.as_ptr(), none, length, none, 0) };
        assert_eq!(status, 0, "jemalloc does not know {name:?}");
    }
}
