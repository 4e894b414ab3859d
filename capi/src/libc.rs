//! What is used of a libc where there is one. Every reference is weak: without a libc it is null, and it causes nothing
//! to be linked.

use core::ffi::c_int;
#[cfg(feature = "preload")]
use core::ffi::c_void;
use hmalloc::process::{linked, weak};

type Errno = extern "C" fn() -> *mut c_int;

weak!(hmalloc_c_errno, "__errno_location", Errno);

/// Writing failed.
pub(crate) const EIO: c_int = 5;
/// There is not enough memory.
pub(crate) const ENOMEM: c_int = 12;
/// An argument is wrong.
pub(crate) const EINVAL: c_int = 22;

/// Sets the calling thread's `errno`.
#[cold]
pub(crate) fn set_errno(value: c_int) {
    if let Some(location) = linked!(hmalloc_c_errno) {
        // SAFETY: it points to the thread's own `errno`.
        unsafe { location().write(value) }
    }
}

#[cfg(feature = "preload")]
type Fwrite = unsafe extern "C" fn(*const c_void, usize, usize, *mut c_void) -> usize;
#[cfg(feature = "preload")]
weak!(hmalloc_c_fwrite, "fwrite", Fwrite);

/// Writes to a `FILE` of libc's. Returns whether it took all bytes.
///
/// # Safety
///
/// `stream` is one that is open for writing.
#[cfg(feature = "preload")]
pub(crate) unsafe fn write_stream(stream: *mut c_void, bytes: &[u8]) -> bool {
    let Some(write) = linked!(hmalloc_c_fwrite) else { return false };
    // SAFETY: libc reads the bytes; of the stream, the caller's promise.
    unsafe { write(bytes.as_ptr().cast(), 1, bytes.len(), stream) == bytes.len() }
}
