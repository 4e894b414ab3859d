//! The system calls that are not about memory: waiting for a lock, one line on a descriptor, and dying.

mod signals;
mod write;

pub use signals::abort;
pub(crate) use write::write_to_stderr;
pub use write::{STDERR, write_line};

use core::sync::atomic::AtomicU32;
use syscalls::{Sysno, syscall};

const FUTEX_WAIT_PRIVATE: usize = 128;
const FUTEX_WAKE_PRIVATE: usize = 1 | 128;

/// Sleeps while `word` holds `value`; may return at any time.
#[cold]
pub(crate) fn futex_wait(word: &AtomicU32, value: u32) {
    // SAFETY: the kernel reads the word and compares it; no timeout is passed. Interruption and a changed value are
    // among the reasons to return, and the caller looks again in any case.
    let _ = unsafe { syscall!(Sysno::futex, word.as_ptr(), FUTEX_WAIT_PRIVATE, value, 0) };
}

/// Wakes one sleeper on `word`.
#[cold]
pub(crate) fn futex_wake_one(word: &AtomicU32) {
    // SAFETY: the address only names the queue of sleepers.
    let _ = unsafe { syscall!(Sysno::futex, word.as_ptr(), FUTEX_WAKE_PRIVATE, 1) };
}
