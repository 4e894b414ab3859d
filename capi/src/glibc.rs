//! glibc's other names for the family. A library that wraps `malloc` calls the real one by them. Such blocks are freed
//! by `free`, so they have to come from this heap.

use crate::figures::{Mallinfo, mallinfo};
use crate::{request, standard};
use core::ffi::{c_int, c_void};

// SAFETY (of every `no_mangle` here): the names are glibc's, and this library defines all of them.

#[unsafe(no_mangle)]
extern "C" fn __libc_malloc(size: usize) -> *mut c_void {
    request::allocate_apart(size)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __libc_free(payload: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { request::free("__libc_free", payload) }
}

/// Programs that were linked before glibc 2.26 may still use it.
#[unsafe(no_mangle)]
unsafe extern "C" fn cfree(payload: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { request::free("cfree", payload) }
}

#[unsafe(no_mangle)]
extern "C" fn __libc_calloc(count: usize, size: usize) -> *mut c_void {
    request::allocate_zeroed(count, size)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __libc_realloc(payload: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { standard::resize("__libc_realloc", payload, size) }
}

#[unsafe(no_mangle)]
extern "C" fn __libc_memalign(align: usize, size: usize) -> *mut c_void {
    standard::memalign(align, size)
}

#[unsafe(no_mangle)]
extern "C" fn __libc_valloc(size: usize) -> *mut c_void {
    standard::valloc(size)
}

#[unsafe(no_mangle)]
extern "C" fn __libc_pvalloc(size: usize) -> *mut c_void {
    standard::pvalloc(size)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __posix_memalign(answer: *mut *mut c_void, align: usize, size: usize) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { standard::posix_memalign(answer, align, size) }
}

#[unsafe(no_mangle)]
extern "C" fn __libc_mallopt(option: c_int, value: c_int) -> c_int {
    standard::mallopt(option, value)
}

#[unsafe(no_mangle)]
extern "C" fn __libc_mallinfo() -> Mallinfo {
    mallinfo()
}
