//! What the kernel left for the process on its initial stack, and the way out.

use core::ffi::CStr;
use core::ptr;
use syscalls::{Sysno, syscall};

/// The process as the kernel started it.
///
/// ```text
///   stack pointer -> argc | argv[0] .. argv[argc-1] | 0 | environment .. | 0 | (kind, value) .. | (0, 0)
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Process {
    count: usize,
    arguments: *const usize,
}

impl Process {
    /// # Safety
    ///
    /// `stack` is the stack pointer at `_start`, and the stack above it is never written.
    pub(crate) unsafe fn from_stack(stack: *const usize) -> Self {
        // SAFETY: the kernel put the count there.
        let count = unsafe { *stack };
        Self { count, arguments: stack.wrapping_add(1) }
    }

    /// The arguments, the program's own name first.
    pub fn arguments(&self) -> Arguments {
        Arguments { next: self.arguments, left: self.count }
    }

    /// The value of one entry of the auxiliary vector, if the kernel gave it.
    pub fn auxiliary(&self, kind: usize) -> Option<usize> {
        let mut word = self.arguments.wrapping_add(self.count + 1);
        // SAFETY: the environment follows the arguments and ends with a null.
        while unsafe { *word } != 0 {
            word = word.wrapping_add(1);
        }
        word = word.wrapping_add(1);
        // SAFETY: pairs follow, the last of which is of kind 0.
        while unsafe { *word } != 0 {
            // SAFETY: as above.
            if unsafe { *word } == kind {
                // SAFETY: a pair has a second word.
                return Some(unsafe { *word.wrapping_add(1) });
            }
            word = word.wrapping_add(2);
        }
        None
    }
}

/// An iterator over the process's arguments.
#[derive(Debug, Clone)]
pub struct Arguments {
    next: *const usize,
    left: usize,
}

impl Iterator for Arguments {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        self.left = self.left.checked_sub(1)?;
        // SAFETY: one of the `argc` words behind the count.
        let text = unsafe { *self.next };
        self.next = self.next.wrapping_add(1);
        // SAFETY: the kernel ends each argument with a zero byte, and nobody writes to them.
        Some(unsafe { CStr::from_ptr(ptr::with_exposed_provenance(text)) })
    }
}

/// Ends the process, all its threads included, with `status`.
pub fn exit(status: i32) -> ! {
    loop {
        // SAFETY: it does not return; nothing is left that could be disturbed.
        let _ = unsafe { syscall!(Sysno::exit_group, status as usize) };
    }
}

const SIGABRT: usize = 6;
const SIGPIPE: usize = 13;

#[cfg(not(any(target_arch = "mips", target_arch = "mips64")))]
mod signal {
    pub(super) const BLOCK: usize = 0;
    pub(super) const UNBLOCK: usize = 1;
    pub(super) const SET_WORDS: usize = 1;
}

#[cfg(any(target_arch = "mips", target_arch = "mips64"))]
mod signal {
    pub(super) const BLOCK: usize = 1;
    pub(super) const UNBLOCK: usize = 2;
    pub(super) const SET_WORDS: usize = 2;
}

/// Blocks or unblocks one signal below 32.
fn mask_signal(how: usize, signal: usize) {
    let mut set = [0u64; signal::SET_WORDS];
    // The set is an array of `unsigned long`: the bit's place in a `u64` depends on width and byte order.
    let words = set.as_mut_ptr().cast::<usize>();
    // SAFETY: the first word of the set.
    unsafe { *words = 1 << (signal - 1) };
    // SAFETY: the kernel reads the set, and no answer is asked for.
    let _ = unsafe { syscall!(Sysno::rt_sigprocmask, how, words, 0, size_of_val(&set)) };
}

/// A write to a pipe that nobody reads answers EPIPE from now on instead of killing the process.
pub(crate) fn block_broken_pipe_signal() {
    mask_signal(signal::BLOCK, SIGPIPE);
}

/// Dies by SIGABRT.
pub(crate) fn abort() -> ! {
    mask_signal(signal::UNBLOCK, SIGABRT);
    // SAFETY: the process signals itself.
    if let Ok(id) = unsafe { syscall!(Sysno::getpid) } {
        // SAFETY: as above.
        let _ = unsafe { syscall!(Sysno::kill, id, SIGABRT) };
    }
    exit(128 + SIGABRT as i32)
}
