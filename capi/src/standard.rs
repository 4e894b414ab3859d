//! `malloc` and its family, for programs that already exist: what C23, POSIX and the malloc manual page promise.

use crate::libc::{EINVAL, ENOMEM, set_errno};
use crate::line::STDERR;
use crate::shared::HEAP;
use crate::{report, request};
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use hmalloc::brk::{Brk, Linux};

// SAFETY (of every `no_mangle` here): the names are a libc's, and this library defines all of them.

#[unsafe(no_mangle)]
extern "C" fn malloc(size: usize) -> *mut c_void {
    request::allocate(size)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn free(payload: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { request::free("free", payload) }
}

#[unsafe(no_mangle)]
extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    request::allocate_zeroed(count, size)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(payload: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { resize("realloc", payload, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn reallocarray(payload: *mut c_void, count: usize, size: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    request::product(count, size).map_or(null_mut(), |size| unsafe { resize("reallocarray", payload, size) })
}

/// A size of 0 frees the block, as programs for glibc expect.
///
/// # Safety
///
/// As for `request::resize`.
pub(crate) unsafe fn resize(call: &str, payload: *mut c_void, size: usize) -> *mut c_void {
    if size == 0 {
        // SAFETY: the caller's promise.
        return unsafe { resize_to_nothing(call, payload) };
    }
    // SAFETY: the caller's promise.
    unsafe { request::resize(call, payload, size) }
}

/// # Safety
///
/// As for `request::resize`.
#[cold]
#[inline(never)]
unsafe fn resize_to_nothing(call: &str, payload: *mut c_void) -> *mut c_void {
    if payload.is_null() {
        return request::allocate_apart(0);
    }
    // SAFETY: the caller's promise.
    unsafe { request::free(call, payload) };
    null_mut()
}

/// Unlike the others, it returns the error and leaves `errno` alone.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn posix_memalign(answer: *mut *mut c_void, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || align < size_of::<*mut c_void>() {
        return EINVAL;
    }
    match request::try_allocate_aligned(align, size) {
        Ok(payload) => {
            // SAFETY: the caller passes a pointer that may be written through.
            unsafe { answer.write(payload.as_ptr().cast()) };
            0
        }
        Err(_) => ENOMEM,
    }
}

#[unsafe(no_mangle)]
extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    request::allocate_aligned(align, size)
}

/// As in glibc, an alignment that is not a power of two is rounded up to one.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    match align.checked_next_power_of_two() {
        Some(align) => request::allocate_aligned(align, size),
        None => {
            set_errno(EINVAL);
            null_mut()
        }
    }
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn valloc(size: usize) -> *mut c_void {
    request::allocate_aligned(Linux.page_size(), size)
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn pvalloc(size: usize) -> *mut c_void {
    // A size that cannot be rounded up is too large as it is.
    let size = size.checked_next_multiple_of(Linux.page_size()).unwrap_or(size);
    request::allocate_aligned(Linux.page_size(), size)
}

#[unsafe(no_mangle)]
extern "C" fn malloc_usable_size(payload: *const c_void) -> usize {
    request::usable_size("malloc_usable_size", payload)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn free_sized(payload: *mut c_void, size: usize) {
    // SAFETY: the caller's promise.
    unsafe { request::free_sized("free_sized", payload, 1, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn free_aligned_sized(payload: *mut c_void, align: usize, size: usize) {
    // SAFETY: the caller's promise.
    unsafe { request::free_sized("free_aligned_sized", payload, align, size) }
}

#[unsafe(no_mangle)]
extern "C" fn malloc_trim(keep: usize) -> c_int {
    c_int::from(HEAP.trim(keep) > 0)
}

#[unsafe(no_mangle)]
extern "C" fn malloc_stats() {
    let _ = report::print(STDERR);
}

/// Accepts every setting. None has an effect.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn mallopt(_: c_int, _: c_int) -> c_int {
    1
}
