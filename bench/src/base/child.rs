//! Children: this program again, in processes of their own.

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use wait_timeout::ChildExt;

/// Exit status of a child whose allocator answered null.
pub(crate) const OUT_OF_MEMORY: i32 = 3;

/// This program as a child that does `arguments`.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.arg("--child").args(arguments).stdin(Stdio::null());
    command
}

/// What a child printed, if it ended well.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stderr(Stdio::inherit()).output()?;
    ended_well(output.status)?;
    Ok(output.stdout)
}

/// The line of numbers that a child prints, unless it takes longer than `limit`.
pub(crate) fn answer<T: DeserializeOwned>(command: &mut Command, limit: Duration) -> Result<T> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    // The one line fits a pipe, so waiting before reading cannot block the child.
    let Some(status) = child.wait_timeout(limit)? else {
        child.kill()?;
        child.wait()?;
        bail!("took over {:.1} s", limit.as_secs_f64());
    };
    ended_well(status)?;
    parse(&child.wait_with_output()?.stdout)
}

/// The error says how a child ended that has no answer.
pub(crate) fn ended_well(status: ExitStatus) -> Result<()> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(OUT_OF_MEMORY), _) => bail!("ran out of memory"),
        (_, Some(libc::SIGALRM)) => bail!("took too long"),
        _ => bail!("died: {status}"),
    }
}

/// Reads numbers that a child printed, in JSON.
pub(crate) fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<T> {
    serde_json::from_slice(line).with_context(|| format!("a child answered {:?}", String::from_utf8_lossy(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_all_its_numbers_or_is_refused() {
        assert_eq!(parse::<[u64; 3]>(b"[1, 20, 300]\n").unwrap(), [1, 20, 300]);
        for line in [&b"[1, 20]"[..], b"[1, 20, 300, 4]", b"[1, 20, x]", b"[1, 20, -3]", b""] {
            assert!(parse::<[u64; 3]>(line).is_err());
        }
    }

    #[test]
    fn a_failure_has_a_reason() {
        let reason = |status| ended_well(ExitStatus::from_raw(status)).err().map(|error| error.to_string());
        assert_eq!(reason(0), None);
        assert_eq!(reason(OUT_OF_MEMORY << 8).as_deref(), Some("ran out of memory"));
        assert_eq!(reason(libc::SIGALRM).as_deref(), Some("took too long"));
        assert!(reason(libc::SIGSEGV).is_some_and(|reason| reason.contains("SIGSEGV")));
    }
}
