//! What is used of a libc where there is one. Every reference is weak: without a libc it is null, and it causes nothing
//! to be linked.

use core::ffi::c_int;
#[cfg(feature = "preload")]
use core::ffi::c_void;
use hmalloc::process::{linked, weak};

type Errno = extern "C" fn() -> *mut c_int;

weak!(hmalloc_c_errno, "__errno_location", Errno);
#[cfg(feature = "preload")]
weak!(hmalloc_c_environ, "environ", &'static usize);

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

/// The process's environment, entry by entry. `None` without a libc, or before it has one.
#[cfg(feature = "preload")]
pub(crate) fn environment() -> Option<impl Iterator<Item = &'static core::ffi::CStr>> {
    let place = linked!(hmalloc_c_environ)?;
    // SAFETY: libc's `environ`, which the program may change between any two reads.
    let mut entry = unsafe { core::ptr::from_ref(place).cast::<*const *const core::ffi::c_char>().read_volatile() };
    if entry.is_null() {
        return None;
    }
    Some(core::iter::from_fn(move || {
        // SAFETY: the null pointer that ends the array has not been passed.
        let text = unsafe { entry.read() };
        if text.is_null() {
            return None;
        }
        entry = entry.wrapping_add(1);
        // SAFETY: an entry of the environment is a string. It is read when the library is initialized, or in a
        // misuse before that, when no other thread of the program can change it.
        Some(unsafe { core::ffi::CStr::from_ptr(text) })
    }))
}

#[cfg(feature = "preload")]
type Getauxval = extern "C" fn(usize) -> usize;
#[cfg(feature = "preload")]
weak!(hmalloc_c_getauxval, "getauxval", Getauxval);

/// An entry of the auxiliary vector. `None` if libc has no function for it. `errno` is unchanged.
#[cfg(feature = "preload")]
pub(crate) fn auxiliary(kind: usize) -> Option<usize> {
    let (ask, errno) = (linked!(hmalloc_c_getauxval)?, linked!(hmalloc_c_errno)?());
    // SAFETY: `errno` points to the thread's own. It distinguishes an entry of 0 from a missing one.
    unsafe {
        let before = errno.replace(0);
        let value = ask(kind);
        (errno.replace(before) == 0).then_some(value)
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
