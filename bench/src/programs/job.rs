//! A program that is to be run, and one that runs: what it takes, and what it writes.

use crate::base::child::ended_well;
use crate::base::kernel;
use anyhow::{Context, Result, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::Read;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// What a program writes, and what it complains about.
pub(super) const OUTPUT: &str = "output";
pub(super) const ERRORS: &str = "errors";

/// What is to be run.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) file: PathBuf,
    pub(super) arguments: Vec<String>,
    /// All of its environment but a search path.
    pub(super) environment: Vec<(String, String)>,
    /// The folder in which it runs.
    pub(super) folder: PathBuf,
    pub(super) input: Option<String>,
    /// Whether it serves a load generator, and ends when it is told to.
    pub(super) serves: bool,
    /// After so many seconds it is ended.
    pub(super) limit: u64,
}

/// Seconds of the wall's time, and of all processors with the kernel's part included; bytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) wall: f64,
    pub(super) processor: f64,
    pub(super) peak: u64,
    /// Of what it wrote: equal for equal output.
    pub(super) digest: u64,
}

/// A program, and those that it starts: a group of its own.
pub(super) struct Running {
    pid: Pid,
    /// Readable when the program has ended.
    end: OwnedFd,
}

/// Processor time in seconds and the peak in bytes. Both include the programs that it started and waited for: time is the
/// sum, and the peak that of the largest.
pub(super) struct Usage {
    processor: f64,
    peak: u64,
}

impl Usage {
    pub(super) fn figures(&self, wall: f64, digest: u64) -> Result<Figures> {
        let (&Self { processor, peak }, own) = (self, kernel::peak_resident() as u64);
        ensure!(peak > own, "a peak of {peak} bytes cannot be told from this process's");
        Ok(Figures { wall, processor, peak, digest })
    }
}

impl Running {
    pub(super) fn start(job: &Job) -> Result<Self> {
        let input = job.input.as_ref().map_or(Ok(Stdio::null()), |name| File::open(name).map(Stdio::from))?;
        let child = command(&job.file)
            .args(&job.arguments)
            .envs(job.environment.iter().map(|(name, value)| (name, value)))
            .stdin(input)
            .stdout(File::create(OUTPUT)?)
            .stderr(File::create(ERRORS)?)
            .process_group(0)
            .spawn()
            .with_context(|| job.file.display().to_string())?;
        let pid = child.id() as i32;
        // SAFETY: it takes a number and flags, of which there are none.
        let end = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        ensure!(end >= 0, "this kernel tells no end of a process by a file: {}", std::io::Error::last_os_error());
        // SAFETY: the call above opened it, and nothing else knows its number.
        let end = unsafe { OwnedFd::from_raw_fd(end as i32) };
        Ok(Self { pid: Pid::from_raw(pid), end })
    }

    /// Waits until the program ends by itself, and ends it when it takes longer than `limit`.
    pub(super) fn end(self, limit: Duration) -> Result<Usage> {
        let mut ends = [PollFd::new(self.end.as_fd(), PollFlags::POLLIN)];
        let is_late = poll(&mut ends, PollTimeout::try_from(limit)?)? == 0;
        if is_late {
            killpg(self.pid, Signal::SIGKILL)?;
        }
        let (status, usage) = self.reap()?;
        ensure!(!is_late, "took over {} s", limit.as_secs());
        ended_well(status).and_then(|()| silent()).with_context(|| said().unwrap_or_default())?;
        Ok(usage)
    }

    /// Ends it, after something else went wrong.
    pub(super) fn kill(self) -> Result<()> {
        killpg(self.pid, Signal::SIGKILL)?;
        self.reap().map(|_| ())
    }

    fn reap(&self) -> Result<(ExitStatus, Usage)> {
        let mut status = 0;
        // SAFETY: a structure of numbers, for which zero is a value.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: both are written while the call lasts, and the process is a child that was not waited for.
        let pid = unsafe { libc::wait4(self.pid.as_raw(), &mut status, 0, &mut usage) };
        ensure!(pid == self.pid.as_raw(), "{}", std::io::Error::last_os_error());
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        let processor = seconds(usage.ru_utime) + seconds(usage.ru_stime);
        Ok((ExitStatus::from_raw(status), Usage { processor, peak: usage.ru_maxrss as u64 * 1024 }))
    }
}

/// A program with an environment that is the same everywhere.
pub(super) fn command(file: &Path) -> Command {
    let mut command = Command::new(file);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").stdin(Stdio::null());
    command
}

/// A loader that cannot preload a library says so, and goes on without it. No program here says anything else.
fn silent() -> Result<()> {
    ensure!(File::open(ERRORS)?.metadata()?.len() == 0, "it wrote to standard error");
    Ok(())
}

/// The first line of that.
fn said() -> Option<String> {
    std::fs::read_to_string(ERRORS).ok()?.lines().next().map(str::to_owned)
}

/// The same for the same bytes, in every run.
pub(super) fn digest(mut input: impl Read) -> Result<u64> {
    let (mut hasher, mut part) = (DefaultHasher::new(), [0; 1 << 14]);
    let mut length = 0;
    loop {
        match input.read(&mut part)? {
            0 => break,
            read => hasher.write(&part[..read]),
        }
        length += 1;
    }
    ensure!(length > 0, "it wrote nothing");
    Ok(hasher.finish())
}
