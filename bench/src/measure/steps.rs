//! Instructions per pair, counted by letting a child do one at a time: for allocators that do not run under valgrind.

use super::tracee;
use crate::base::child;
use crate::base::kernel::STEP_MARK;
use crate::workloads::PAIR;
use anyhow::{Context, Result, bail};
use nix::sys::ptrace;
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use std::process::Stdio;

/// Pairs in the child's first phase. The second does twice as many, and the difference counts.
pub(super) const PAIRS: usize = 1000;

pub(super) fn per_pair(allocator: &str) -> Result<f64> {
    let mut command = child::command(&["steps", allocator, PAIR, "0"]);
    let tracee = tracee::start(command.stdout(Stdio::null()))?;
    until_mark(tracee, || ptrace::cont(tracee, None))?;
    let count = || until_mark(tracee, || ptrace::step(tracee, None));
    let (one, two) = (count()?, count()?);
    ptrace::cont(tracee, None)?;
    tracee::wait(tracee)?;
    let difference = two.checked_sub(one).context("twice the pairs took fewer steps")?;
    Ok(difference as f64 / PAIRS as f64)
}

/// Resumes the child again and again until it marks a phase. Returns how often.
fn until_mark(tracee: Pid, resume: impl Fn() -> nix::Result<()>) -> Result<u64> {
    let mut count = 0;
    loop {
        resume()?;
        match tracee::wait(tracee)? {
            None => bail!("ended before its last mark"),
            Some(WaitStatus::Stopped(_, STEP_MARK)) => return Ok(count),
            Some(_) => count += 1,
        }
    }
}
