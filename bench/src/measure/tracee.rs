//! A child that is traced: nothing is preloaded, and nothing in it is changed.

use crate::base::child::OUT_OF_MEMORY;
use anyhow::{Context, Result, bail};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Seconds after which a traced child ends itself.
pub(super) const LIMIT: u32 = 10;

/// Starts `command`, which stands still at its first instruction then.
pub(super) fn start(command: &mut Command) -> Result<Pid> {
    // SAFETY: between fork and exec the closure does one system call and allocates nothing.
    unsafe { command.pre_exec(|| Ok(ptrace::traceme()?)) };
    let child = Pid::from_raw(command.spawn().context("cannot trace a child")?.id() as i32);
    wait(child)?;
    ptrace::setoptions(child, Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL)?;
    Ok(child)
}

/// Waits for the next stop. `None`: the child has ended, and well.
pub(super) fn wait(child: Pid) -> Result<Option<WaitStatus>> {
    Ok(match waitpid(child, Some(WaitPidFlag::__WALL))? {
        WaitStatus::Exited(_, 0) => None,
        WaitStatus::Exited(_, OUT_OF_MEMORY) => bail!("ran out of memory"),
        WaitStatus::Exited(_, code) => bail!("exit status {code}"),
        WaitStatus::Signaled(_, Signal::SIGALRM, _) => bail!("took over {LIMIT} s"),
        WaitStatus::Signaled(_, signal, _) => bail!("killed by {signal}"),
        stopped => Some(stopped),
    })
}

/// Number and first argument of the call that the child has just entered; `None` when it leaves one.
pub(super) fn entered(child: Pid) -> Result<Option<(libc::c_long, u64)>> {
    let info = ptrace::syscall_info(child)?;
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return Ok(None);
    }
    // SAFETY: `op` says that this is the part that was written.
    let entry = unsafe { info.u.entry };
    Ok(Some((entry.nr as libc::c_long, entry.args[0])))
}
