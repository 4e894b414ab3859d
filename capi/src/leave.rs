//! `_exit` and `_Exit` of the shared library: the profile is written first, and in checked mode contents are looked at. Other ends
//! need nothing here: `exit` calls our handler, and so do signals.

use crate::shared::HEAP;
use core::ffi::c_int;
use hmalloc::process::write_profile;
use syscalls::{Sysno, syscall};

// SAFETY (of every `no_mangle` here): the names are a libc's, and what they stand for is done.

#[unsafe(no_mangle)]
extern "C" fn _exit(status: c_int) -> ! {
    leave(status)
}

#[unsafe(no_mangle)]
extern "C" fn _Exit(status: c_int) -> ! {
    leave(status)
}

/// Ends all threads, as libc's function does.
fn leave(status: c_int) -> ! {
    write_profile();
    HEAP.look_at_end();
    loop {
        // SAFETY: it does not return.
        let _ = unsafe { syscall!(Sysno::exit_group, status) };
    }
}
