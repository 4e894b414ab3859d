//! The functions of `hmalloc.h`, which documents them.

use crate::libc::{EINVAL, EIO, set_errno};
use crate::shared::HEAP;
use crate::{policy, report, request};
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use syscalls::Errno;

// SAFETY (of every `no_mangle` here): the names are this library's own.

#[unsafe(no_mangle)]
extern "C" fn hmalloc(size: usize) -> *mut c_void {
    request::allocate(size)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn hfree(payload: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { request::free("hfree", payload) }
}

#[unsafe(no_mangle)]
extern "C" fn hcalloc(count: usize, size: usize) -> *mut c_void {
    request::allocate_zeroed(count, size)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn hrealloc(payload: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { request::resize("hrealloc", payload, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn hreallocarray(payload: *mut c_void, count: usize, size: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    request::product(count, size).map_or(null_mut(), |size| unsafe { request::resize("hreallocarray", payload, size) })
}

#[unsafe(no_mangle)]
extern "C" fn haligned_alloc(align: usize, size: usize) -> *mut c_void {
    request::allocate_aligned(align, size)
}

#[unsafe(no_mangle)]
extern "C" fn husable_size(payload: *const c_void) -> usize {
    request::usable_size("husable_size", payload)
}

#[unsafe(no_mangle)]
extern "C" fn hmalloc_stats_print(descriptor: c_int) -> c_int {
    status_of(report::print(descriptor))
}

#[unsafe(no_mangle)]
extern "C" fn hmalloc_report(descriptor: c_int) -> c_int {
    status_of(report::write(descriptor))
}

/// 0, or -1 if it could not be written.
fn status_of(written: Result<(), Errno>) -> c_int {
    match written {
        Ok(()) => 0,
        Err(_) => {
            set_errno(EIO);
            -1
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn hmalloc_check() -> c_int {
    report::check().map_or_else(|corruption| c_int::from(corruption.invariant), |()| 0)
}

#[unsafe(no_mangle)]
extern "C" fn hmalloc_trim(keep: usize) -> usize {
    HEAP.trim(keep)
}

#[unsafe(no_mangle)]
extern "C" fn hmalloc_set_policy(number: c_int) -> c_int {
    match u8::try_from(number).map_err(drop).and_then(policy::set_by_number) {
        Ok(()) => 0,
        Err(()) => {
            set_errno(EINVAL);
            -1
        }
    }
}
