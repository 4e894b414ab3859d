//! Names that precompiled libraries refer to and a libc or an unwinder would define.
//!
//! Nothing calls them in a program that does not unwind, but a linker resolves every name.

use hmalloc::process::abort;

/// The precompiled `core` names the unwinder's personality in its tables.
// SAFETY: nothing else in a program without `std` defines the name.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() -> ! {
    abort()
}

/// The end of a landing pad. An unoptimized build has some.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    abort()
}

// The compiler's helpers for atomic operations ask, in a constructor that does not run here, whether the processor has
// single instructions for them. 0 says that nothing is known: they use the instructions that every processor has. The name
// is weak, as it is where the heap asks for it: a module may not say both.
#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".pushsection .text.hmalloc_runtime_getauxval, \"ax\", %progbits",
    ".weak getauxval",
    ".type getauxval, %function",
    ".balign 4",
    "getauxval:",
    "mov x0, #0",
    "ret",
    ".popsection",
);

/// The personalities of functions that have nothing to clean up.
#[cfg(target_arch = "arm")]
mod arm {
    use hmalloc::process::abort;

    // SAFETY: nothing else in a program without an unwinder defines the name.
    #[unsafe(no_mangle)]
    extern "C" fn __aeabi_unwind_cpp_pr0() -> ! {
        abort()
    }

    // SAFETY: as above.
    #[unsafe(no_mangle)]
    extern "C" fn __aeabi_unwind_cpp_pr1() -> ! {
        abort()
    }
}
