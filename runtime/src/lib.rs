//! What a Rust program needs to run on Linux without a libc.
//!
//! ```text
//!   kernel -> _start (start.rs) -> the program's main -> exit
//!                                   | process.rs   arguments and auxiliary vector
//!                                   | io.rs        files and text output
//!                                   | memory.rs    memcpy and its family, which rustc calls
//!                                   | names.rs     what else precompiled libraries name
//!                                   | panic.rs     a message, then the end
//! ```
//!
//! A program is `#![no_std]`, `#![no_main]`, names its main function with [`program!`], and gets an exit status back
//! to the shell:
//!
//! ```text
//! #![no_std]
//! #![no_main]
//! hmalloc_runtime::program!(main);
//! fn main(process: hmalloc_runtime::Process) -> i32 { 0 }
//! ```
#![no_std]
#![cfg_attr(
    any(target_arch = "mips", target_arch = "mips64", target_arch = "powerpc", target_arch = "powerpc64"),
    feature(asm_experimental_arch)
)]

mod io;
mod memory;
mod names;
mod panic;
mod process;
mod start;

pub use io::{File, Output, STDERR, STDIN, STDOUT, Text, say};
pub use process::{Arguments, Process, exit};
pub use syscalls::Errno;

/// Names the program's main function, a `fn(Process) -> i32` whose result is the exit status.
#[macro_export]
macro_rules! program {
    ($main:path) => {
        /// What the runtime calls once the process stands.
        // SAFETY: the runtime is the only one who names this symbol, with this signature, and a program defines it once.
        #[unsafe(no_mangle)]
        fn hmalloc_program(process: $crate::Process) -> i32 {
            const MAIN: fn($crate::Process) -> i32 = $main;
            MAIN(process)
        }
    };
}
