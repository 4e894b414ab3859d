//! The last things a process does: one line on standard error, and dying.

use syscalls::{Sysno, syscall};

const STDERR: usize = 2;
const SIGABRT: usize = 6;
const SIG_UNBLOCK: usize = if cfg!(any(target_arch = "mips", target_arch = "mips64")) { 2 } else { 1 };

/// Writes to standard error once. A closed or full standard error is not an error here: there is nowhere to say so.
pub(crate) fn write_to_stderr(bytes: &[u8]) {
    // SAFETY: the kernel reads the bytes.
    let _ = unsafe { syscall!(Sysno::write, STDERR, bytes.as_ptr(), bytes.len()) };
}

/// Writes a line to standard error and ends the process by `SIGABRT`.
#[cold]
pub(crate) fn die(line: &str) -> ! {
    write_to_stderr(line.as_bytes());
    abort()
}

/// Ends the process by `SIGABRT`, whether or not the signal is blocked, ignored or handled.
#[cold]
pub(crate) fn abort() -> ! {
    // The kernel's signal set has 128 signals on MIPS and 64 elsewhere.
    let set_bytes = if cfg!(any(target_arch = "mips", target_arch = "mips64")) { 16 } else { 8 };
    let sigabrt_only: [usize; 4] = [1 << (SIGABRT - 1), 0, 0, 0];
    // On every architecture an action of zeros is SIG_DFL without flags; this is larger than any of them.
    let default_action = [0usize; 16];
    raise_sigabrt();
    // SAFETY: the kernel reads the two arrays. Nothing of the program's survives to miss its handler.
    unsafe {
        let _ = syscall!(Sysno::rt_sigaction, SIGABRT, default_action.as_ptr(), 0, set_bytes);
        let _ = syscall!(Sysno::rt_sigprocmask, SIG_UNBLOCK, sigabrt_only.as_ptr(), 0, set_bytes);
    }
    raise_sigabrt();
    loop {
        // SAFETY: ends the process, with the status a shell gives to this signal; nothing after it runs.
        let _ = unsafe { syscall!(Sysno::exit_group, 128 + SIGABRT) };
    }
}

fn raise_sigabrt() {
    // SAFETY: sends a signal to this very thread.
    unsafe {
        if let (Ok(process), Ok(thread)) = (syscall!(Sysno::getpid), syscall!(Sysno::gettid)) {
            let _ = syscall!(Sysno::tgkill, process, thread, SIGABRT);
        }
    }
}
