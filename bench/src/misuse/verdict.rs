//! What became of a process that made a mistake.

use crate::base::child;
use anyhow::{Context, Result, bail};
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// What the process says when the wrong call has returned, and at its end.
pub(super) const WENT_ON: &str = "went on";
pub(super) const SOUND: &str = "sound";
pub(super) const BROKEN: &str = "broken";

/// Below the table.
pub(super) const LEGEND: &str = "\
- named: the process ends at the wrong call, with a line that has the pointer in it
- stopped: it ends there on purpose (SIGABRT, or an instruction that is made for it), with another line or none
- crash: it ends there by a signal that nobody meant
- ignored: it goes on, and the heap is sound: 8,000 further blocks keep what is written to them
- DAMAGE: it goes on, and then two blocks share bytes, or it crashes, hangs or stops later
- -: not made, because the allocator is for one thread
- harmless: named, stopped or ignored

";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Named,
    Stopped,
    Crash,
    Ignored,
    Damage,
    NotMade,
}

impl Verdict {
    pub(super) fn is_harmless(&self) -> bool {
        matches!(self, Self::Named | Self::Stopped | Self::Ignored)
    }

    /// `said` is what the process wrote to its standard output, `complaint` what it wrote to standard error.
    pub(super) fn read(said: &str, complaint: &str, status: ExitStatus) -> Result<Self> {
        let mut lines = said.lines();
        let pointer = lines.next().context("the process ended before its mistake")?;
        if status.code() == Some(child::OUT_OF_MEMORY) {
            // The heap was used up by what it believed.
            return Ok(Self::Damage);
        }
        Ok(match (lines.next(), lines.next(), status.signal()) {
            (None, _, _) if complaint.contains(pointer) => Self::Named,
            (None, _, None | Some(libc::SIGABRT | libc::SIGILL | libc::SIGTRAP)) => Self::Stopped,
            (None, _, Some(_)) => Self::Crash,
            (Some(WENT_ON), Some(SOUND), None) => Self::Ignored,
            (Some(WENT_ON), _, _) => Self::Damage,
            _ => bail!("said {said:?}"),
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Named => "named",
            Self::Stopped => "stopped",
            Self::Crash => "crash",
            Self::Ignored => "ignored",
            Self::Damage => "DAMAGE",
            Self::NotMade => "-",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(said: &str, complaint: &str, status: i32) -> Option<Verdict> {
        Verdict::read(said, complaint, ExitStatus::from_raw(status)).ok()
    }

    #[test]
    fn who_goes_on_is_judged_by_the_heap() {
        assert_eq!(read("0x10\nwent on\nsound\n", "", 0), Some(Verdict::Ignored));
        assert_eq!(read("0x10\nwent on\nbroken\n", "", 0), Some(Verdict::Damage));
        assert_eq!(read("0x10\nwent on\n", "", libc::SIGSEGV), Some(Verdict::Damage));
        assert_eq!(read("0x10\nwent on\n", "free: 0x10", libc::SIGABRT), Some(Verdict::Damage));
    }

    #[test]
    fn who_ends_at_the_call_is_judged_by_its_line_and_signal() {
        assert_eq!(read("0x10\n", "free: 0x10 is free", libc::SIGABRT), Some(Verdict::Named));
        assert_eq!(read("0x10\n", "double free", libc::SIGABRT), Some(Verdict::Stopped));
        assert_eq!(read("0x10\n", "", libc::SIGSEGV), Some(Verdict::Crash));
        assert_eq!(read("", "", libc::SIGSEGV), None);
    }
}
