//! System calls about tasks: who the caller is, who else is there, and waiting for another one.

use core::sync::atomic::AtomicU32;
use syscalls::{Errno, Sysno, syscall};

const FUTEX_WAIT_PRIVATE: usize = 128;
const FUTEX_WAKE_PRIVATE: usize = 1 | 128;
const CLONE_VM: usize = 0x100;
const PR_GET_SECCOMP: usize = 21;

/// The calling thread's id, never 0.
pub(crate) fn thread_id() -> u32 {
    // SAFETY: no arguments, no effects.
    unsafe { syscall!(Sysno::gettid) }.map_or(u32::MAX, |id| id as u32)
}

/// The calling process's id.
pub(crate) fn process_id() -> u32 {
    // SAFETY: no arguments, no effects.
    unsafe { syscall!(Sysno::getpid) }.map_or(0, |id| id as u32)
}

/// Whether no other task shares the caller's memory, neither a thread nor a process made by `vfork`. False where that
/// cannot be known, as under a filter that refuses the question.
#[cold]
pub(crate) fn is_alone() -> bool {
    // SAFETY: a task that shares its memory with none has nothing to give up by no longer sharing it; for any other
    // this flag is refused. Either way nothing changes.
    unsafe { syscall!(Sysno::unshare, CLONE_VM) }.is_ok()
}

/// Whether a filter may stand between this thread and the kernel. One that kills on a call cannot be tried out, so
/// where there is one, only calls are made that every libc's own `malloc` needs.
#[cold]
pub(crate) fn is_filtered() -> bool {
    // SAFETY: a question without effects. A kernel without filters answers EINVAL; another error is a filter's.
    !matches!(unsafe { syscall!(Sysno::prctl, PR_GET_SECCOMP) }, Ok(0) | Err(Errno::EINVAL))
}

/// How a sleep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awake {
    /// The time is over.
    Late,
    /// By somebody, or the word has changed.
    Called,
    /// By a signal, or it did not begin: a filter refuses it.
    Disturbed,
}

/// Sleeps for at most some milliseconds while `word` holds `value`; may return at any time.
#[cold]
pub(crate) fn futex_wait(word: &AtomicU32, value: u32, milliseconds: usize) -> Awake {
    let time = [milliseconds / 1000, milliseconds % 1000 * 1_000_000];
    // SAFETY: the kernel reads the word, compares it, and reads the time: seconds and nanoseconds of one word each. The
    // caller looks again after any other answer.
    let answer = unsafe { syscall!(Sysno::futex, word.as_ptr(), FUTEX_WAIT_PRIVATE, value, time.as_ptr()) };
    match answer {
        Ok(_) | Err(Errno::EAGAIN) => Awake::Called,
        Err(Errno::ETIMEDOUT) => Awake::Late,
        Err(_) => Awake::Disturbed,
    }
}

/// Wakes one sleeper on `word`.
#[cold]
pub(crate) fn futex_wake_one(word: &AtomicU32) {
    // SAFETY: the address only names the queue of sleepers.
    let _ = unsafe { syscall!(Sysno::futex, word.as_ptr(), FUTEX_WAKE_PRIVATE, 1) };
}
