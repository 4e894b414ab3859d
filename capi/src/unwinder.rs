//! The unwinder that shows the stacks of a profile: libgcc's, which most programs do not link. It is loaded when the mode starts,
//! outside of any call to the heap.

use core::ffi::{CStr, c_char, c_int, c_void};
use hmalloc::process::{leave_out_own_code, linked, use_unwinder, weak};

type Dlopen = unsafe extern "C" fn(*const c_char, c_int) -> *mut c_void;
type Dlsym = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;

weak!(hmalloc_c_unwinder_dlopen, "dlopen", Dlopen);
weak!(hmalloc_c_unwinder_dlsym, "dlsym", Dlsym);

const LIBRARY: &CStr = c"libgcc_s.so.1";
const RTLD_NOW: c_int = 2;

/// Prepares looking at stacks. Without the library they are seen by frame pointers, if at all.
#[cold]
pub(crate) fn prepare() {
    leave_out_own_code();
    let (Some(open), Some(find)) = (linked!(hmalloc_c_unwinder_dlopen), linked!(hmalloc_c_unwinder_dlsym)) else {
        return;
    };
    // SAFETY: a string; the library's own initialization is all that runs, and it is never closed.
    let library = unsafe { open(LIBRARY.as_ptr(), RTLD_NOW) };
    if library.is_null() {
        return;
    }
    let names = [c"_Unwind_Backtrace", c"_Unwind_GetIP", c"_Unwind_GetCFA"];
    // SAFETY: a handle, and strings.
    let found = names.map(|name| unsafe { find(library, name.as_ptr()) }.addr());
    if !found.contains(&0) {
        // SAFETY: they are these functions, and the library stays.
        unsafe { use_unwinder(found[0], found[1], found[2]) };
    }
}
