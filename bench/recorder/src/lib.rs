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
//! A wrong free is recorded before the heap underneath is asked, which may end the process. Preloaded before `libhmalloc.so`, it
//! records a program on that heap (`hmalloc-run --timeline`).
//!
//! Not seen: what the dynamic linker takes from a heap of its own before the first constructor, `free(NULL)`, and programs
//! that are static or bring a `malloc` of their own within the executable.

#![expect(clippy::missing_safety_doc, reason = "every function is C's, with C's conditions")]

mod file;
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
mod operators;
mod raw;
mod real;
mod record;

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use raw::{ALIGNED, ALLOCATE, FREE, RESIZE, Record, ZEROED};
use real::{early, early_room, real};

/// Makes a call in this thread's turn and records it, with its answer.
fn recorded(kind: u8, align: usize, size: usize, old: *mut c_void, call: impl FnOnce() -> *mut c_void) -> *mut c_void {
    let turn = record::turn();
    let new = call();
    if let Some(turn) = turn {
        let align = if align == 0 { 0 } else { align.ilog2() as u8 };
        let (size, old, new) = (size as u64, old.addr() as u64, new.addr() as u64);
        turn.write(Record { kind, align, zero: 0, thread: 0, size, old, new });
    }
    new
}

/// C's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    let Some(real) = real() else { return early(size) };
    // SAFETY: the caller's promises, for this call and all below that hand on what was given.
    recorded(ALLOCATE, 0, size, null_mut(), || unsafe { (real.malloc)(size) })
}

/// C's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let Some(real) = real() else { return count.checked_mul(size).map_or(null_mut(), early) };
    // SAFETY: as in `malloc`.
    recorded(ZEROED, 0, count.saturating_mul(size), null_mut(), || unsafe { (real.calloc)(count, size) })
}

/// C's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(payload: *mut c_void, size: usize) -> *mut c_void {
    if let Some(room) = early_room(payload) {
        // SAFETY: the caller's promises. The fresh block has `size` bytes, the early room `room` from `payload` on.
        return unsafe {
            let fresh = malloc(size);
            if !fresh.is_null() {
                payload.cast::<u8>().copy_to(fresh.cast(), size.min(room));
            }
            fresh
        };
    }
    let Some(real) = real() else { return early(size) };
    // SAFETY: as in `malloc`.
    recorded(RESIZE, 0, size, payload, || unsafe { (real.realloc)(payload, size) })
}

/// C's function. The product is checked here: glibc's own would come back to this library's `realloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(payload: *mut c_void, count: usize, size: usize) -> *mut c_void {
    let Some(size) = count.checked_mul(size) else {
        errno::set_errno(errno::Errno(libc::ENOMEM));
        return null_mut();
    };
    // SAFETY: the caller's promises.
    unsafe { realloc(payload, size) }
}

/// C's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(payload: *mut c_void) {
    if payload.is_null() || early_room(payload).is_some() {
        return;
    }
    // Without the functions underneath, nothing but early blocks can be there.
    let Some(real) = real() else { return };
    let turn = record::turn();
    // Before the call: the heap underneath may end the process in it.
    if let Some(turn) = &turn {
        turn.write(Record { kind: FREE, align: 0, zero: 0, thread: 0, size: 0, old: payload.addr() as u64, new: 0 });
    }
    // SAFETY: as in `malloc`.
    unsafe { (real.free)(payload) };
}

/// C's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(place: *mut *mut c_void, align: usize, size: usize) -> c_int {
    let Some(real) = real() else { return libc::ENOMEM };
    let mut status = 0;
    recorded(ALIGNED, align, size, null_mut(), || {
        // SAFETY: as in `malloc`; on success the callee has written `place`.
        unsafe {
            status = (real.posix_memalign)(place, align, size);
            if status == 0 { *place } else { null_mut() }
        }
    });
    status
}

/// C's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    let Some(real) = real() else { return null_mut() };
    // SAFETY: as in `malloc`.
    recorded(ALIGNED, align, size, null_mut(), || unsafe { (real.aligned_alloc)(align, size) })
}

/// C's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    let Some(real) = real() else { return null_mut() };
    // SAFETY: as in `malloc`.
    recorded(ALIGNED, align, size, null_mut(), || unsafe { (real.memalign)(align, size) })
}

fn page() -> usize {
    // SAFETY: the call has no preconditions.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// C's function, passed on as `memalign`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn valloc(size: usize) -> *mut c_void {
    // SAFETY: the caller's promises.
    unsafe { memalign(page(), size) }
}

/// C's function, passed on as `memalign`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pvalloc(size: usize) -> *mut c_void {
    let rounded = size.checked_next_multiple_of(page()).unwrap_or(usize::MAX);
    // SAFETY: the caller's promises.
    unsafe { memalign(page(), rounded) }
}
