#![doc = include_str!("../README.md")]
// It brings what the test harness brings, too: as a test it is empty.
#![cfg(not(test))]
#![no_std]
#![cfg_attr(
    all(
        feature = "program",
        any(target_arch = "mips", target_arch = "mips64", target_arch = "powerpc", target_arch = "powerpc64")
    ),
    feature(asm_experimental_arch)
)]

#[cfg(feature = "program")]
mod io;
mod memory;
#[cfg(feature = "program")]
mod names;
#[cfg(feature = "panic")]
mod panic;
#[cfg(feature = "program")]
mod process;
#[cfg(feature = "program")]
mod start;

#[cfg(feature = "program")]
pub use io::{File, Output, STDERR, STDIN, STDOUT, Text, say};
#[cfg(feature = "program")]
pub use process::{Process, Strings, exit};
// The heap's own way to die: it cannot depend on this crate, so there would be two otherwise.
#[cfg(feature = "program")]
#[doc(inline)]
pub use hmalloc::process::abort;
/// The crate that makes the system calls, for those that this one has no function for.
#[cfg(feature = "program")]
pub use syscalls;
/// Why the kernel refused a system call.
#[cfg(feature = "program")]
pub use syscalls::Errno;

/// Names the program's main function, a `fn(Process) -> i32` whose result is the exit status.
///
/// Once in a program, at the top level of any module. It defines the symbol `hmalloc_program`, which the entry point
/// calls: a second one is an error of the linker, and so is a program without any.
#[cfg(feature = "program")]
#[macro_export]
macro_rules! program {
    ($main:path) => {
        /// What the entry point calls.
        // SAFETY: only the runtime refers to this symbol, with this signature, and a program defines it once.
        #[unsafe(no_mangle)]
        fn hmalloc_program(process: $crate::Process) -> i32 {
            const MAIN: fn($crate::Process) -> i32 = $main;
            MAIN(process)
        }
    };
}
