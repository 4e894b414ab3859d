//! Nothing here panics. If something does, that is a defect of this library, and the process ends.

use crate::line::{STDERR, say};
use core::panic::PanicInfo;
use syscalls::{Sysno, syscall};

const SIGABRT: usize = 6;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = say(STDERR, format_args!("a defect of its own: {info}"));
    abort()
}

/// Ends the process by `SIGABRT`, or as one that was ended so.
pub(crate) fn abort() -> ! {
    // SAFETY: sends a signal to this process.
    unsafe {
        if let Ok(process) = syscall!(Sysno::getpid) {
            let _ = syscall!(Sysno::kill, process, SIGABRT);
        }
    }
    loop {
        // SAFETY: ends the process; nothing after it runs.
        let _ = unsafe { syscall!(Sysno::exit_group, 128 + SIGABRT) };
    }
}
