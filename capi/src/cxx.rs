//! What is used of a C++ library, where there is one: throwing `std::bad_alloc`, catching, the new-handler.
//!
//! Every reference is weak, so a C program needs none. Where the words are null a C++ library may have been loaded since, by
//! `dlopen` and for a plugin alone: it is asked for by its name, and not loaded for that.

use crate::line::{STDERR, say};
use core::ffi::{CStr, c_char, c_int, c_void};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;
use hmalloc::process::{abort, linked, weak};

type Address = core::num::NonZeroUsize;
type Dlopen = unsafe extern "C" fn(*const c_char, c_int) -> *mut c_void;
type Dlsym = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;
type GetHandler = extern "C" fn() -> usize;
type Allocate = extern "C" fn(usize) -> *mut c_void;
type Begin = unsafe extern "C" fn(*mut c_void) -> *mut c_void;
type End = unsafe extern "C" fn();

weak!(hmalloc_c_dlopen, "dlopen", Dlopen);
weak!(hmalloc_c_dlsym, "dlsym", Dlsym);
weak!(hmalloc_c_get_new_handler, "_ZSt15get_new_handlerv", Address);
weak!(hmalloc_c_throw_bad_alloc, "_ZSt17__throw_bad_allocv", Address);
weak!(hmalloc_c_begin_catch, "__cxa_begin_catch", Address);
weak!(hmalloc_c_end_catch, "__cxa_end_catch", Address);
weak!(hmalloc_c_allocate_exception, "__cxa_allocate_exception", Allocate);
weak!(hmalloc_c_throw, "__cxa_throw", Address);
weak!(hmalloc_c_bad_alloc, "_ZTISt9bad_alloc", Address);
weak!(hmalloc_c_bad_alloc_functions, "_ZTVSt9bad_alloc", Address);
weak!(hmalloc_c_exception, "_ZTISt9exception", Address);
weak!(hmalloc_c_derived_functions, "_ZTVN10__cxxabiv120__si_class_type_infoE", Address);

unsafe extern "C" {
    /// See `operators/lsda.rs`.
    #[link_name = "hmalloc_c_personality"]
    static PERSONALITY: AtomicUsize;
}

const RTLD_LAZY: c_int = 1;
/// Only if it is loaded already.
const RTLD_NOLOAD: c_int = 4;
const LIBRARIES: [&CStr; 3] = [c"libstdc++.so.6", c"libc++abi.so.1", c"libc++.so.1"];

/// The address of a name in a C++ library that was loaded later than this one.
#[cold]
fn loaded(name: &CStr) -> Option<usize> {
    let (open, find) = (linked!(hmalloc_c_dlopen)?, linked!(hmalloc_c_dlsym)?);
    LIBRARIES.iter().find_map(|library| {
        // SAFETY: nothing is loaded or run by that. The library's count goes up, so it stays, as the caller's code that
        // allocates does, too.
        let library = unsafe { open(library.as_ptr(), RTLD_LAZY | RTLD_NOLOAD) };
        if library.is_null() {
            return None;
        }
        // SAFETY: a handle, and a string.
        let found = unsafe { find(library, name.as_ptr()) }.addr();
        (found != 0).then_some(found)
    })
}

fn either(word: Option<Address>, name: &CStr) -> Option<usize> {
    word.map(Address::get).or_else(|| loaded(name))
}

/// The program's new-handler, or 0.
#[cold]
pub(crate) fn new_handler() -> usize {
    let get = either(linked!(hmalloc_c_get_new_handler), c"_ZSt15get_new_handlerv");
    // SAFETY: `std::get_new_handler`, which does not throw.
    get.map_or(0, |get| unsafe { core::mem::transmute::<usize, GetHandler>(get) }())
}

/// Whether there is a C++ library that can tell which exceptions are caught. From then on it is asked.
#[cold]
pub(crate) fn can_catch() -> bool {
    // SAFETY: a word that is aligned and stays.
    let personality = unsafe { &PERSONALITY };
    if personality.load(Relaxed) == 0 {
        personality.store(loaded(c"__gxx_personality_v0").unwrap_or(0), Relaxed);
    }
    personality.load(Relaxed) != 0
}

/// Ends an exception that was caught.
pub(crate) extern "C" fn caught(exception: *mut c_void) {
    let begin = either(linked!(hmalloc_c_begin_catch), c"__cxa_begin_catch");
    let end = either(linked!(hmalloc_c_end_catch), c"__cxa_end_catch");
    let Some((begin, end)) = begin.zip(end) else { unserved(0) };
    // SAFETY: the C++ library's own, and it has just passed the exception.
    unsafe {
        core::mem::transmute::<usize, Begin>(begin)(exception);
        core::mem::transmute::<usize, End>(end)();
    }
}

/// There is no memory for a `new`, and nothing to throw with.
#[cold]
fn unserved(size: usize) -> ! {
    let _ = say(STDERR, format_args!("operator new: no memory for {size} bytes, and no C++ library to throw with"));
    abort()
}

/// Writes down a function that throws `std::bad_alloc`, and its arguments, for a caller whom an exception may pass. Does not
/// return if there is no C++ library.
///
/// # Safety
///
/// `call` may be written.
pub(crate) unsafe extern "C" fn prepare_throw(call: *mut [usize; 4], size: usize) {
    // SAFETY: the caller's promise.
    unsafe { call.write(thrower(size)) }
}

fn thrower(size: usize) -> [usize; 4] {
    if let Some(throw) = either(linked!(hmalloc_c_throw_bad_alloc), c"_ZSt17__throw_bad_allocv") {
        return [throw, 0, 0, 0];
    }
    // A static program has those parts of the library that it uses. Who catches anything has the ones below.
    let (Some(allocate), Some(throw)) = (linked!(hmalloc_c_allocate_exception), linked!(hmalloc_c_throw)) else {
        unserved(size)
    };
    let (class, functions) = bad_alloc();
    // It has memory put by for this.
    let exception = allocate(size_of::<usize>());
    // SAFETY: as large as that.
    unsafe { exception.cast::<usize>().write(functions) };
    [throw.get(), exception.addr(), class, 0]
}

/// Where the virtual functions begin in a table of them: behind the offset to the top and the class.
const FUNCTIONS: usize = 2 * size_of::<usize>();

/// A description of a class with one base, as the C++ ABI has it, in words.
#[repr(C)]
struct Class([AtomicUsize; 3]);

/// The virtual functions of `std::exception`: two destructors and `what`. What is never written has none.
#[repr(C)]
struct Functions(usize, AtomicUsize, extern "C" fn(usize), extern "C" fn(usize), extern "C" fn(usize) -> *const c_char);

extern "C" fn destroy(_: usize) {}

extern "C" fn what(_: usize) -> *const c_char {
    c"std::bad_alloc".as_ptr()
}

static CLASS: Class = Class([const { AtomicUsize::new(0) }; 3]);
static OWN_FUNCTIONS: Functions = Functions(0, AtomicUsize::new(0), destroy, destroy, what);

/// `std::bad_alloc`: its class, and the table of its virtual functions. Where neither is linked nothing in the program names the
/// class, and only a `catch` of its base or of everything can tell: for those it is made here.
fn bad_alloc() -> (usize, usize) {
    if let (Some(class), Some(functions)) = (linked!(hmalloc_c_bad_alloc), linked!(hmalloc_c_bad_alloc_functions)) {
        return (class.get(), functions.get() + FUNCTIONS);
    }
    let derived = linked!(hmalloc_c_derived_functions).map_or(0, |functions| functions.get() + FUNCTIONS);
    let base = linked!(hmalloc_c_exception).map_or(0, Address::get);
    // The same words by whichever thread.
    let words = [derived, c"St9bad_alloc".as_ptr().addr(), base];
    CLASS.0.iter().zip(words).for_each(|(place, word)| place.store(word, Relaxed));
    let class = (&raw const CLASS).addr();
    OWN_FUNCTIONS.1.store(class, Relaxed);
    (class, (&raw const OWN_FUNCTIONS).addr() + FUNCTIONS)
}
