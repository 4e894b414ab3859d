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

/// The compiler's helpers for atomic operations ask, in a constructor that does not run here, whether the processor has
/// single instructions for them. 0 says that nothing is known: they use the instructions that every processor has.
// SAFETY: no libc is linked, so the name is free.
#[cfg(target_arch = "aarch64")]
#[unsafe(no_mangle)]
extern "C" fn getauxval(_: usize) -> usize {
    0
}

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
