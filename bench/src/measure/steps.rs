//! Instructions per pair, counted by letting a child do one at a time: for allocators that do not run under valgrind.

use crate::base::kernel;
use crate::measure::child;
use crate::measure::tracee::{self, Tracee};
use std::process::Stdio;

/// So many pairs are done in the child's first phase, and twice as many in the second; the difference counts.
pub(crate) const PAIRS: usize = 1000;

pub(crate) fn per_pair(allocator: &str) -> Result<f64, String> {
    let mut command = child::command(&["steps", allocator, crate::measure::callgrind::WORKLOAD, "0"])?;
    let tracee = Tracee::start(command.stdout(Stdio::null()))?;
    until_mark(&tracee, libc::PTRACE_CONT)?;
    let (one, two) = (until_mark(&tracee, libc::PTRACE_SINGLESTEP)?, until_mark(&tracee, libc::PTRACE_SINGLESTEP)?);
    while tracee::end(tracee.resume(libc::PTRACE_CONT, 0)?).is_none() {}
    let difference = two.checked_sub(one).ok_or("twice the pairs took fewer steps")?;
    Ok(difference as f64 / PAIRS as f64)
}

/// Resumes the child again and again until it marks a phase. Returns how often.
fn until_mark(tracee: &Tracee, request: libc::c_uint) -> Result<u64, String> {
    for count in 0.. {
        let status = tracee.resume(request, 0)?;
        if let Some(end) = tracee::end(status) {
            return Err(end.err().unwrap_or("ended before its last mark".to_owned()));
        }
        if libc::WSTOPSIG(status) == kernel::STEP_MARK {
            return Ok(count);
        }
    }
    unreachable!("the child ends by its timer")
}
