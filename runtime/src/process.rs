//! What the kernel left for the process on its initial stack, and the ways out.

use core::ffi::CStr;
use core::ptr;
use syscalls::{Sysno, syscall};

/// The process as the kernel started it: a view of the initial stack, which stands as long as the process does. Copying
/// it is free, and so is making an iterator from it.
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

    /// The arguments, the program's own name first. There may be none at all: the caller of `execve` decides.
    pub fn arguments(&self) -> Strings {
        Strings { next: self.arguments }
    }

    /// The environment: strings of the form `NAME=value` by convention, which the kernel does not enforce.
    pub fn environment(&self) -> Strings {
        Strings { next: self.arguments.wrapping_add(self.count + 1) }
    }

    /// The value of one entry of the auxiliary vector (`AT_PAGESZ` is 6, for example), if the kernel gave it. Walks the
    /// environment and the vector.
    pub fn auxiliary(&self, kind: usize) -> Option<usize> {
        let mut environment = self.environment();
        environment.by_ref().for_each(drop);
        let mut word = environment.next.wrapping_add(1);
        // SAFETY: pairs follow the environment's null, and the last pair is of kind 0.
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

/// An iterator over the process's arguments or its environment.
#[derive(Debug, Clone)]
pub struct Strings {
    /// A word of an array of addresses that ends with a null.
    next: *const usize,
}

impl Iterator for Strings {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        // SAFETY: the null that ends the array has not been passed.
        let text = unsafe { *self.next };
        if text == 0 {
            return None;
        }
        self.next = self.next.wrapping_add(1);
        // SAFETY: the kernel ends each string with a zero byte, and nothing writes to them.
        Some(unsafe { CStr::from_ptr(ptr::with_exposed_provenance(text)) })
    }
}

/// Ends the process, all its threads included, with `status`, of which the parent sees the lowest 8 bits. Nothing is
/// flushed or dropped first.
pub fn exit(status: i32) -> ! {
    loop {
        // SAFETY: it does not return, so nothing is left that it could affect.
        let _ = unsafe { syscall!(Sysno::exit_group, status as usize) };
    }
}

const SIGPIPE: usize = 13;
const MIPS: bool = cfg!(any(target_arch = "mips", target_arch = "mips64"));
const SIG_BLOCK: usize = if MIPS { 1 } else { 0 };
/// The kernel has 128 signals on MIPS and 64 elsewhere.
const SET_BYTES: usize = if MIPS { 16 } else { 8 };

/// From now on a write to a pipe that has no reader fails with EPIPE; by default it would kill the process.
pub(crate) fn block_broken_pipe_signal() {
    // Words in ascending order, whatever the order of the bytes in a word.
    let mut set = [0usize; SET_BYTES / size_of::<usize>()];
    set[0] = 1 << (SIGPIPE - 1);
    // SAFETY: the kernel reads the set, of the size that is passed, and no answer is asked for.
    let _ = unsafe { syscall!(Sysno::rt_sigprocmask, SIG_BLOCK, set.as_ptr(), 0, SET_BYTES) };
}
