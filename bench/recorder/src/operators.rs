//! C++'s operators `new` and `delete`, for the heaps underneath that define them: else their blocks would not be seen.
//!
//! Four are defined here. A C++ library calls these for all others that the program has not replaced, and so does
//! `libhmalloc.so`. They ask `malloc` and `free`, so a size that is passed to `delete` is not checked while a program is recorded.
//! Where there is no memory, the operator underneath is asked, which calls the new-handler and throws: in tail position, because
//! Rust that cannot unwind must not be passed by an exception. Other architectures than x86_64 have no such operators underneath but
//! the C++ library's, which call `malloc`.

use crate::{free, malloc, memalign};
use core::arch::naked_asm;
use core::ffi::{CStr, c_void};

/// The operator underneath of the name at `name`, which ends in a null byte.
unsafe extern "C" fn next(name: *const core::ffi::c_char) -> *mut c_void {
    // SAFETY: the callers' names.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name) };
    if found.is_null() {
        // SAFETY: as above.
        crate::file::say(
            b"hmalloc recorder: no memory, and no operator underneath: ",
            unsafe { CStr::from_ptr(name) }.to_bytes(),
        );
        // SAFETY: aborting is always possible.
        unsafe { libc::abort() };
    }
    found
}

static NEW: [u8; 6] = *b"_Znwm\0";
static NEW_ALIGNED: [u8; 21] = *b"_ZnwmSt11align_val_t\0";

/// C++'s `operator new(size_t)`.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn _Znwm(_size: usize) -> *mut c_void {
    naked_asm!(
        "push rdi",
        "call {malloc}",
        "test rax, rax",
        "jz 2f",
        "pop rdi",
        "ret",
        "2:",
        "lea rdi, [rip + {name}]",
        "call {next}",
        "pop rdi",
        "jmp rax",
        malloc = sym malloc,
        next = sym next,
        name = sym NEW,
    )
}

/// C++'s `operator new(size_t, align_val_t)`.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn _ZnwmSt11align_val_t(_size: usize, _align: usize) -> *mut c_void {
    naked_asm!(
        "push rdi",
        "push rsi",
        "sub rsp, 8",
        "xchg rdi, rsi",
        "call {memalign}",
        "test rax, rax",
        "jz 2f",
        "add rsp, 24",
        "ret",
        "2:",
        "lea rdi, [rip + {name}]",
        "call {next}",
        "add rsp, 8",
        "pop rsi",
        "pop rdi",
        "jmp rax",
        memalign = sym memalign,
        next = sym next,
        name = sym NEW_ALIGNED,
    )
}

/// C++'s `operator delete(void *)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn _ZdlPv(block: *mut c_void) {
    // SAFETY: the caller's promises.
    unsafe { free(block) }
}

/// C++'s `operator delete(void *, align_val_t)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn _ZdlPvSt11align_val_t(block: *mut c_void, _align: usize) {
    // SAFETY: the caller's promises.
    unsafe { free(block) }
}
