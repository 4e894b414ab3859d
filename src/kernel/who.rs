//! Who is calling: the program, the process and the thread, for the line about a misuse. In the logs of many programs, or
//! of a program that forks, the address alone says little.

use crate::kernel::line::Line;
use crate::kernel::tasks;
use core::ffi::c_char;
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::Relaxed;
use syscalls::{Sysno, syscall};

const PR_GET_NAME: usize = 16;
/// Bytes of a thread's name in the kernel, with its closing 0.
const NAME: usize = 16;
/// The most that is written of a program's name.
const NAME_MAX: usize = 32;

// The last part of `argv[0]`, as glibc, musl and bionic keep it for their own messages.
weak!(hmalloc_program_name, "__progname", &'static AtomicPtr<c_char>);

/// Appends ` [program NAME, process N, thread N]`.
#[cold]
#[inline(never)]
pub(crate) fn name_caller(line: &mut Line) {
    line.text(" [program ");
    if !name_from_libc(line) {
        name_from_kernel(line);
    }
    line.text(", process ").decimal(tasks::process_id() as usize);
    line.text(", thread ").decimal(tasks::thread_id() as usize).text("]");
}

/// Appends the name that a libc has for the program, if there is one.
fn name_from_libc(line: &mut Line) -> bool {
    let name = linked!(hmalloc_program_name).map_or(core::ptr::null_mut(), |name| name.load(Relaxed));
    // SAFETY: a libc's variable points to a string, or is null before the libc has started.
    let bytes = |at: usize| Some(unsafe { name.add(at).read() } as u8).filter(|&byte| byte != 0);
    let mut length = 0;
    while length < NAME_MAX && !name.is_null() {
        let Some(byte) = bytes(length) else { break };
        line.printable(byte);
        length += 1;
    }
    length > 0
}

/// Appends the calling thread's name in the kernel: the program's, unless it has named its threads.
fn name_from_kernel(line: &mut Line) {
    let mut name = [0_u8; NAME];
    if !cfg!(miri) {
        // SAFETY: the kernel writes at most so many bytes.
        let _ = unsafe { syscall!(Sysno::prctl, PR_GET_NAME, name.as_mut_ptr()) };
    }
    name.into_iter().take_while(|&byte| byte != 0).for_each(|byte| line.printable(byte));
}
