//! Counts the system calls of a child by tracing it. Nothing is preloaded and nothing in the child is changed.

use super::record::Calls;
use super::tracee;
use crate::base::kernel;
use anyhow::Result;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use std::process::Command;

/// Calls before the first mark, and between each mark and the next.
pub(super) type Phases = [Calls; 4];

/// Runs `command` to its end and counts its calls by phase. A call that only marks a phase is not counted.
pub(super) fn count(command: &mut Command) -> Result<Phases> {
    let tracee = tracee::start(command)?;
    let (mut phases, mut phase, mut signal) = (Phases::default(), 0, None);
    loop {
        ptrace::syscall(tracee, signal.take())?;
        match tracee::wait(tracee)? {
            None => return Ok(phases),
            Some(WaitStatus::PtraceSyscall(_)) => {
                let Some((number, argument)) = tracee::entered(tracee)? else { continue };
                match kernel::phase_of(argument) {
                    Some(next) if number == libc::SYS_close => phase = next,
                    _ => add(&mut phases[phase], number),
                }
            }
            Some(WaitStatus::Stopped(_, other)) if other != Signal::SIGTRAP => signal = Some(other),
            Some(_) => {}
        }
    }
}

fn add(calls: &mut Calls, number: libc::c_long) {
    let counter = match number {
        libc::SYS_brk => &mut calls.brk,
        libc::SYS_mmap => &mut calls.mmap,
        libc::SYS_munmap => &mut calls.munmap,
        libc::SYS_mremap => &mut calls.mremap,
        libc::SYS_madvise => &mut calls.madvise,
        _ => &mut calls.other,
    };
    *counter += 1;
}

/// What [`known`] does in each phase.
pub(super) const KNOWN: [Calls; 2] = [
    Calls { brk: 3, mmap: 2, munmap: 2, mremap: 0, madvise: 1, other: 5 },
    Calls { brk: 0, mmap: 1, munmap: 1, mremap: 1, madvise: 0, other: 0 },
];

/// A program whose calls are known, to check the counter with.
pub(super) fn known() {
    const PAGE: usize = 4096;
    let map = || kernel::reserve(PAGE).cast::<libc::c_void>();
    // SAFETY: the break is only asked for, and the mappings are fresh, not used and unmapped again.
    unsafe {
        kernel::mark(1);
        (0..3).for_each(|_| assert!(libc::syscall(libc::SYS_brk, 0) > 0));
        let (first, second) = (map(), map());
        assert_eq!(libc::madvise(first, PAGE, libc::MADV_DONTNEED), 0);
        (0..5).for_each(|_| assert!(libc::syscall(libc::SYS_getppid) >= 0));
        assert_eq!((libc::munmap(first, PAGE), libc::munmap(second, PAGE)), (0, 0));
        kernel::mark(2);
        let grown = libc::mremap(map(), PAGE, 2 * PAGE, libc::MREMAP_MAYMOVE);
        assert!(grown != libc::MAP_FAILED);
        assert_eq!(libc::munmap(grown, 2 * PAGE), 0);
        kernel::mark(3);
    }
}
