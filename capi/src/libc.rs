//! What is used of a libc, where there is one. Every reference is weak: without a libc it is null, and nothing is
//! linked in for it.

use core::ffi::{c_int, c_void};

#[cfg(target_pointer_width = "64")]
macro_rules! word_directive {
    () => {
        ".quad"
    };
}
#[cfg(target_pointer_width = "32")]
macro_rules! word_directive {
    () => {
        ".long"
    };
}

/// Rust has no stable weak reference; the assembler has. The word holds the symbol's address, or 0.
macro_rules! weak {
    ($word:ident, $symbol:literal, $type:ty) => {
        core::arch::global_asm!(
            concat!(".weak ", $symbol),
            concat!(".pushsection .data.rel.ro.", stringify!($word), ", \"aw\""),
            ".balign 8",
            concat!(".globl ", stringify!($word)),
            concat!(".hidden ", stringify!($word)),
            concat!(stringify!($word), ":"),
            concat!(word_directive!(), " ", $symbol),
            ".popsection",
        );
        unsafe extern "C" {
            static $word: Option<$type>;
        }
    };
}

/// Reads what [`weak!`] declares. Volatile, for the linker or the loader fills the word behind the compiler's back.
macro_rules! linked {
    ($word:ident) => {
        // SAFETY: the word holds 0, which is `None`, or the address of a symbol of that type.
        unsafe { (&raw const $word).read_volatile() }
    };
}

type Errno = extern "C" fn() -> *mut c_int;
type Handler = extern "C" fn();
type RegisterAtfork = unsafe extern "C" fn(Handler, Handler, Handler, *mut c_void) -> c_int;
type PthreadAtfork = unsafe extern "C" fn(Handler, Handler, Handler) -> c_int;

weak!(hmalloc_c_errno, "__errno_location", Errno);
weak!(hmalloc_c_register_atfork, "__register_atfork", RegisterAtfork);
weak!(hmalloc_c_pthread_atfork, "pthread_atfork", PthreadAtfork);
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

/// A number that no other thread has now, and that a thread keeps through `fork`: its thread pointer, which every libc
/// with threads sets up; elsewhere, where its `errno` is. To be asked only in a program with a libc. `None` if that is a
/// static one of which no `errno` was linked in.
pub(crate) fn thread() -> Option<usize> {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
    {
        let pointer: usize;
        // SAFETY: reads the thread pointer, on x86_64 through the word it points to, which holds it by the ABI.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            core::arch::asm!("mov {}, fs:0", out(reg) pointer, options(nostack, preserves_flags, readonly));
            #[cfg(target_arch = "aarch64")]
            core::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, preserves_flags, nomem));
            #[cfg(target_arch = "riscv64")]
            core::arch::asm!("mv {}, tp", out(reg) pointer, options(nostack, preserves_flags, nomem));
        }
        Some(pointer)
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
    linked!(hmalloc_c_errno).map(|location| location().addr())
}

/// Has the handlers called around each `fork`: before it, and after it in the parent and in the child.
pub(crate) fn at_fork(before: Handler, after: Handler) {
    // glibc's own entry first: the other one is in its static part, which a weak reference does not bring in.
    if let Some(register) = linked!(hmalloc_c_register_atfork) {
        // SAFETY: no handle, for the library is never unloaded. Running out of memory for more handlers is the only
        // failure, and glibc has room for 48 without any.
        unsafe { register(before, after, after, core::ptr::null_mut()) };
    } else if let Some(register) = linked!(hmalloc_c_pthread_atfork) {
        // SAFETY: the handlers are functions for good.
        unsafe { register(before, after, after) };
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
        // SAFETY: an entry of the environment is a string. It is read when the library is initialized, or in a
        // misuse before that: not while the program is free to change it from another thread.
        Some(unsafe { core::ffi::CStr::from_ptr(text) })
    }))
}

#[cfg(feature = "preload")]
type Getauxval = extern "C" fn(usize) -> usize;
#[cfg(feature = "preload")]
weak!(hmalloc_c_getauxval, "getauxval", Getauxval);

/// An entry of the auxiliary vector. `None` if libc does not tell. `errno` is as before.
#[cfg(feature = "preload")]
pub(crate) fn auxiliary(kind: usize) -> Option<usize> {
    let (ask, errno) = (linked!(hmalloc_c_getauxval)?, linked!(hmalloc_c_errno)?());
    // SAFETY: `errno` points to the thread's own. It tells an entry of 0 from one that is missing.
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

/// Writes to a `FILE` of libc's, and says whether it took all of it.
///
/// # Safety
///
/// `stream` is one.
#[cfg(feature = "preload")]
pub(crate) unsafe fn write_stream(stream: *mut c_void, bytes: &[u8]) -> bool {
    let Some(write) = linked!(hmalloc_c_fwrite) else { return false };
    // SAFETY: libc reads the bytes; of the stream, the caller's promise.
    unsafe { write(bytes.as_ptr().cast(), 1, bytes.len(), stream) == bytes.len() }
}
