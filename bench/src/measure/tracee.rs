//! A child that is traced: nothing is preloaded, and nothing in it is changed.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr::null_mut;

/// Seconds after which a child ends itself: a tracer hears nothing of one that makes no calls.
const LIMIT: u32 = 10;

/// For a child that is traced, before it begins.
pub(crate) fn limit_time() {
    // SAFETY: the call only sets a timer, whose signal ends this process.
    unsafe { libc::alarm(LIMIT) };
}

/// How a child ended that stopped like this, or `None` if it has not ended.
pub(crate) fn end(status: libc::c_int) -> Option<Result<(), String>> {
    if libc::WIFEXITED(status) {
        return Some(match libc::WEXITSTATUS(status) {
            0 => Ok(()),
            crate::measure::child::OUT_OF_MEMORY => Err("ran out of memory".to_owned()),
            code => Err(format!("exit status {code}")),
        });
    }
    if libc::WIFSIGNALED(status) {
        return Some(Err(match libc::WTERMSIG(status) {
            libc::SIGALRM => format!("took over {LIMIT} s"),
            signal => format!("killed by signal {signal}"),
        }));
    }
    None
}

/// A child of this thread that is traced.
pub(crate) struct Tracee(libc::pid_t);

impl Tracee {
    /// Starts `command`, which stands still at its first instruction then.
    pub(crate) fn start(command: &mut Command) -> Result<Self, String> {
        // SAFETY: between fork and exec the closure does one system call and allocates nothing.
        unsafe {
            command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, null_mut::<u8>(), null_mut::<u8>()) {
                -1 => Err(io::Error::last_os_error()),
                _ => Ok(()),
            });
        }
        let child = command.spawn().map_err(|error| format!("cannot trace a child: {error}"))?;
        let tracee = Self(child.id() as libc::pid_t);
        tracee.wait()?;
        let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
        tracee.request(libc::PTRACE_SETOPTIONS, 0, options as usize)?;
        Ok(tracee)
    }

    /// Lets it run with `signal`, to the next stop of the kind that `request` asks for. Returns how it stopped.
    pub(crate) fn resume(&self, request: libc::c_uint, signal: libc::c_int) -> Result<libc::c_int, String> {
        self.request(request, 0, signal as usize)?;
        self.wait()
    }

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
    pub(crate) fn entered(&self) -> Result<Option<(libc::c_long, u64)>, String> {
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
