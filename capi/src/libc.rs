//! What is used of a libc, where there is one. Every reference is weak: without a libc it is null, and nothing is
//! linked in for it.

use core::ffi::c_int;

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

/// The process's environment, entry by entry. `None` without a libc, or before it knows.
#[cfg(feature = "preload")]
pub(crate) fn environment() -> Option<impl Iterator<Item = &'static core::ffi::CStr>> {
    let place = linked!(hmalloc_c_environ)?;
    // SAFETY: libc's `environ`, which the program may change between any two reads.
    let mut entry = unsafe { core::ptr::from_ref(place).cast::<*const *const core::ffi::c_char>().read_volatile() };
    if entry.is_null() {
        return None;
    }
    Some(core::iter::from_fn(move || {
        // SAFETY: the array ends with a null pointer, which was not met yet.
        let text = unsafe { entry.read() };
        if text.is_null() {
            return None;
        }
        entry = entry.wrapping_add(1);
        // SAFETY: an entry of the environment is a string. It is read when the library is initialized, in a misuse
        // before that, and at exit: not while the program is free to change it from another thread.
        Some(unsafe { core::ffi::CStr::from_ptr(text) })
    }))
}
