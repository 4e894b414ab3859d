//! Who is calling: the program, the process and the thread, for the line about a misuse. In the logs of many programs, or
//! of a program that forks, the address alone says little.

use crate::kernel::call::{Sysno, syscall};
use crate::kernel::line::Line;
use crate::kernel::tasks;
use core::ffi::c_char;
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::Relaxed;

const PR_GET_NAME: usize = 16;
/// Bytes of a thread's name in the kernel, with its closing 0.
const NAME: usize = 16;
/// The most that is written of a program's name, in bytes.
const NAME_MAX: usize = 32;

// The last part of `argv[0]`, as glibc, musl and bionic keep it for their own messages.
weak!(hmalloc_program_name, "__progname", &'static AtomicPtr<c_char>);

/// Appends ` [program NAME, process N, thread N]`.
#[cold]
#[inline(never)]
pub(crate) fn name_caller(line: &mut Line) {
    line.text(" [program ");
    let name = linked!(hmalloc_program_name).map_or(core::ptr::null_mut(), |name| name.load(Relaxed));
    // SAFETY: a libc's variable points to a string, or is null before the libc has started.
    if name.is_null() || unsafe { !append(line, name) } {
        // What the kernel calls the thread: as the program, unless it has named its threads.
        let mut name = [0; NAME];
        if !cfg!(miri) {
            // SAFETY: the kernel writes at most so many bytes, with a 0 at the end.
            let _ = unsafe { syscall!(Sysno::prctl, PR_GET_NAME, name.as_mut_ptr()) };
        }
        // SAFETY: it ends with a 0, which it did before the call, too.
        unsafe { append(line, name.as_ptr()) };
    }
    line.text(", process ").decimal(tasks::process_id() as usize);
    line.text(", thread ").decimal(tasks::thread_id() as usize).text("]");
}

/// Appends a name, and says whether there is one.
///
/// # Safety
///
/// It is a string that ends with a 0.
#[inline(never)]
unsafe fn append(line: &mut Line, name: *const c_char) -> bool {
    // Not unrolled: this is not the place to be fast.
    for at in 0..core::hint::black_box(NAME_MAX) {
        // SAFETY: the 0 has not been passed.
        match unsafe { name.add(at).read() } as u8 {
            0 => return at > 0,
            byte => line.printable(byte),
        }
    }
    true
}
