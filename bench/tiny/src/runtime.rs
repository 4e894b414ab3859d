//! The way in, the way out, and two system calls.

use core::arch::global_asm;
use core::panic::PanicInfo;
use syscalls::{Errno, Sysno, syscall};

global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "and rsp, -16",
    "call {entry}",
    "ud2",
    entry = sym entry,
);

extern "C" fn entry() -> ! {
    crate::main();
    exit(0)
}

/// Ends the process.
fn exit(status: usize) -> ! {
    loop {
        // SAFETY: it does not return.
        let _ = unsafe { syscall!(Sysno::exit_group, status) };
    }
}

/// Writes all of `bytes` to standard output; without a reader there is nothing more to do.
pub(crate) fn say(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: the kernel reads at most `len` bytes of the slice.
        match unsafe { syscall!(Sysno::write, 1, bytes.as_ptr(), bytes.len()) } {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(_) => exit(2),
        }
    }
}

/// Waits for a byte on standard input, or its end.
pub(crate) fn wait_for_byte() {
    let mut byte = 0_u8;
    // SAFETY: the kernel writes at most one byte.
    while let Err(Errno::EINTR) = unsafe { syscall!(Sysno::read, 0, &raw mut byte, 1) } {}
}

/// Without a message, so that nothing is linked for one.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(101)
}

/// The precompiled `core` names the unwinder's personality in its tables; nothing unwinds here.
// SAFETY: nothing else in a program without `std` defines the name.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() -> ! {
    exit(102)
}

/// Where landing pads of an unoptimized build go on; nothing unwinds here.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    exit(103)
}
