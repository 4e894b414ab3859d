//! Counts the system calls of a child by tracing it. Nothing is preloaded and nothing in the child is changed.

use crate::kernel;
use crate::record::Calls;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr::null_mut;

/// Seconds after which a child ends itself: a tracer hears nothing of one that makes no calls.
const LIMIT: u32 = 60;

/// For a child that is traced, before it begins.
pub(crate) fn limit_time() {
    // SAFETY: the call only sets a timer, whose signal ends this process.
    unsafe { libc::alarm(LIMIT) };
}

/// Calls before the first mark, and between each mark and the next.
pub(crate) type Phases = [Calls; 4];

/// Runs `command` to its end and counts its calls by phase. A call that only marks a phase is not counted.
pub(crate) fn count(command: &mut Command) -> Result<Phases, String> {
    // SAFETY: between fork and exec the closure does one system call and allocates nothing.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, null_mut::<u8>(), null_mut::<u8>()) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
    let child = command.spawn().map_err(|error| format!("cannot trace a child: {error}"))?;
    let tracee = Tracee(child.id() as libc::pid_t);
    tracee.wait()?;
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
    tracee.request(libc::PTRACE_SETOPTIONS, 0, options as usize)?;
    follow(&tracee)
}

fn follow(tracee: &Tracee) -> Result<Phases, String> {
    let (mut phases, mut phase) = (Phases::default(), 0);
    let mut signal = 0;
    loop {
        tracee.request(libc::PTRACE_SYSCALL, 0, signal as usize)?;
        let status = tracee.wait()?;
        if libc::WIFEXITED(status) {
            return match libc::WEXITSTATUS(status) {
                0 => Ok(phases),
                crate::child::OUT_OF_MEMORY => Err("ran out of memory".to_owned()),
                code => Err(format!("exit status {code}")),
            };
        }
        if libc::WIFSIGNALED(status) {
            return Err(match libc::WTERMSIG(status) {
                libc::SIGALRM => format!("took over {LIMIT} s"),
                signal => format!("killed by signal {signal}"),
            });
        }
        signal = 0;
        match libc::WSTOPSIG(status) {
            stop if stop == libc::SIGTRAP | 0x80 => {
                let Some((number, argument)) = tracee.entered()? else { continue };
                match kernel::phase_of(argument) {
                    Some(next) if number == libc::SYS_close => phase = next,
                    _ => add(&mut phases[phase], number),
                }
            }
            libc::SIGTRAP => {}
            other => signal = other,
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

/// A child of this thread that is traced.
struct Tracee(libc::pid_t);

impl Tracee {
    fn wait(&self) -> Result<libc::c_int, String> {
        let mut status = 0;
        // SAFETY: `status` is written by the call and lives.
        let waited = unsafe { libc::waitpid(self.0, &mut status, libc::__WALL) };
        if waited == self.0 { Ok(status) } else { Err(format!("waitpid: {}", io::Error::last_os_error())) }
    }

    fn request(&self, request: libc::c_uint, address: usize, data: usize) -> Result<libc::c_long, String> {
        // SAFETY: the requests made here write to no memory of this process but `entered`'s, which hands its own.
        let answer = unsafe { libc::ptrace(request, self.0, address, data) };
        if answer == -1 { Err(format!("ptrace: {}", io::Error::last_os_error())) } else { Ok(answer) }
    }

    /// Number and first argument of the call that the child has just entered; `None` when it leaves one.
    fn entered(&self) -> Result<Option<(libc::c_long, u64)>, String> {
        let mut info = MaybeUninit::<libc::ptrace_syscall_info>::zeroed();
        let size = size_of::<libc::ptrace_syscall_info>();
        self.request(libc::PTRACE_GET_SYSCALL_INFO, size, info.as_mut_ptr().addr())?;
        // SAFETY: all zeros are a valid value, and the kernel wrote no more than `size` bytes of another.
        let info = unsafe { info.assume_init() };
        if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
            return Ok(None);
        }
        // SAFETY: `op` says that this is the part that was written.
        let entry = unsafe { info.u.entry };
        Ok(Some((entry.nr as libc::c_long, entry.args[0])))
    }
}

/// What [`known`] does in each phase.
pub(crate) const KNOWN: [Calls; 2] = [
    Calls { brk: 3, mmap: 2, munmap: 2, mremap: 0, madvise: 1, other: 5 },
    Calls { brk: 0, mmap: 1, munmap: 1, mremap: 1, madvise: 0, other: 0 },
];

/// A program whose calls are known, to check the counter with.
pub(crate) fn known() {
    const PAGE: usize = 4096;
    let map = || kernel::reserve(PAGE).cast::<libc::c_void>();
    // SAFETY: the break is only asked for, and the mappings are fresh, used by nobody and given back.
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
