//! Takes the place of `malloc` and its family in a program that is started with this library preloaded, passes every call
//! on to the C library underneath, and writes down what was asked and answered.
//!
//! ```sh
//! LD_PRELOAD=$PWD/libhmalloc_recorder.so HMALLOC_TRACE=$PWD/folder program
//! ```
//!
//! `HMALLOC_TRACE` is the absolute path of a folder, because programs change theirs. Every process writes a file there,
//! also one that was forked and one that became another program. `raw.rs` draws the file.
//!
//! Nothing here allocates: all memory is static or mapped. A call and its record happen under one lock, so that the records
//! are in the order in which the heap saw the calls. That makes a program with many threads slower, not different.
//!
//! Not seen: what the dynamic linker takes from a heap of its own before the first constructor, `free(NULL)`, and programs
//! that are static or bring a `malloc` of their own within the executable.

mod raw;
mod real;
mod record;

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use raw::{ALIGNED, ALLOCATE, FREE, RESIZE, Record, ZEROED};
use real::real;

/// A record before the thread is known.
fn call(kind: u8, align: usize, size: usize, old: *mut c_void, new: *mut c_void) -> Record {
    let align = if align == 0 { 0 } else { align.ilog2() as u8 };
    Record { kind, align, zero: 0, thread: 0, size: size as u64, old: old.addr() as u64, new: new.addr() as u64 }
}

/// C's function.
///
/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    let Some(real) = real() else { return real::early(size) };
    let turn = record::turn();
    // SAFETY: the caller's promises, for all calls below that hand on what was given.
    let new = unsafe { (real.malloc)(size) };
    if let Some(turn) = turn {
        turn.write(call(ALLOCATE, 0, size, null_mut(), new));
    }
    new
}

/// C's function.
///
/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let Some(real) = real() else { return count.checked_mul(size).map_or(null_mut(), real::early) };
    let turn = record::turn();
    // SAFETY: as in `malloc`.
    let new = unsafe { (real.calloc)(count, size) };
    if let Some(turn) = turn {
        turn.write(call(ZEROED, 0, count.saturating_mul(size), null_mut(), new));
    }
    new
}

/// C's function.
///
/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(payload: *mut c_void, size: usize) -> *mut c_void {
    if let Some(room) = real::early_room(payload) {
        // SAFETY: the caller's promises. The fresh block has `size` bytes, the early room `room` from `payload` on.
        return unsafe {
            let fresh = malloc(size);
            if !fresh.is_null() {
                payload.cast::<u8>().copy_to(fresh.cast(), size.min(room));
            }
            fresh
        };
    }
    let Some(real) = real() else { return real::early(size) };
    let turn = record::turn();
    // SAFETY: as in `malloc`.
    let new = unsafe { (real.realloc)(payload, size) };
    if let Some(turn) = turn {
        turn.write(call(RESIZE, 0, size, payload, new));
    }
    new
}

/// C's function. The product is checked here: glibc's own would come back to this library's `realloc`.
///
/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(payload: *mut c_void, count: usize, size: usize) -> *mut c_void {
    let Some(size) = count.checked_mul(size) else {
        // SAFETY: the C library's place for this thread's number.
        unsafe { *libc::__errno_location() = libc::ENOMEM };
        return null_mut();
    };
    // SAFETY: the caller's promises.
    unsafe { realloc(payload, size) }
}

/// C's function.
///
/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(payload: *mut c_void) {
    if payload.is_null() || real::early_room(payload).is_some() {
        return;
    }
    // Without the functions underneath, nothing but early blocks can be there.
    let Some(real) = real() else { return };
    let turn = record::turn();
    // SAFETY: as in `malloc`.
    unsafe { (real.free)(payload) };
    if let Some(turn) = turn {
        turn.write(call(FREE, 0, 0, payload, null_mut()));
    }
}

/// C's function.
///
/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(place: *mut *mut c_void, align: usize, size: usize) -> c_int {
    let Some(real) = real() else { return libc::ENOMEM };
    let turn = record::turn();
    // SAFETY: as in `malloc`; on success the callee has written `place`.
    let (status, new) = unsafe {
        let status = (real.posix_memalign)(place, align, size);
        (status, if status == 0 { *place } else { null_mut() })
    };
    if let Some(turn) = turn {
        turn.write(call(ALIGNED, align, size, null_mut(), new));
    }
    status
}

/// C's function.
///
/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    let Some(real) = real() else { return null_mut() };
    let turn = record::turn();
    // SAFETY: as in `malloc`.
    let new = unsafe { (real.aligned_alloc)(align, size) };
    if let Some(turn) = turn {
        turn.write(call(ALIGNED, align, size, null_mut(), new));
    }
    new
}

/// C's function.
///
/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    let Some(real) = real() else { return null_mut() };
    let turn = record::turn();
    // SAFETY: as in `malloc`.
    let new = unsafe { (real.memalign)(align, size) };
    if let Some(turn) = turn {
        turn.write(call(ALIGNED, align, size, null_mut(), new));
    }
    new
}

fn page() -> usize {
    // SAFETY: the call has no preconditions.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// C's function, passed on as `memalign`.
///
/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn valloc(size: usize) -> *mut c_void {
    // SAFETY: the caller's promises.
    unsafe { memalign(page(), size) }
}

/// C's function, passed on as `memalign`.
///
/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pvalloc(size: usize) -> *mut c_void {
    let rounded = size.checked_next_multiple_of(page()).unwrap_or(usize::MAX);
    // SAFETY: the caller's promises.
    unsafe { memalign(page(), rounded) }
}
