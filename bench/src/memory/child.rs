//! The measuring process: one case of one part on one allocator.

use super::{Part, bursts, limit, patterns, space};
use crate::allocators::{self, Entry};
use std::process::ExitCode;
use std::time::Duration;

/// A process that takes more seconds than this, its rest apart, ends itself.
pub(super) const PATIENCE: u64 = 300;

/// What a process is to do.
pub(super) struct Job {
    pub(super) entry: &'static Entry,
    /// A shape, a pattern or a size, by its name.
    pub(super) case: String,
    /// What bytes are divided by.
    pub(super) scale: usize,
    pub(super) rest: Duration,
}

/// Arguments: part, allocator, case, scale, and milliseconds of rest.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let Some((part, job)) = parse(arguments) else { return ExitCode::FAILURE };
    let seconds = u32::try_from(PATIENCE + job.rest.as_secs()).unwrap_or(u32::MAX);
    // SAFETY: only sets a timer, whose signal ends this process.
    unsafe { libc::alarm(seconds) };
    let done = match part {
        Part::Bursts => bursts::child(&job),
        Part::Patterns => patterns::child(&job),
        Part::Limit => limit::child(&job),
        Part::Space => space::child(&job),
    };
    if done.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(arguments: &[String]) -> Option<(Part, Job)> {
    let [part, allocator, case, scale, rest] = arguments else { return None };
    let part = Part::ALL.into_iter().find(|known| known.name() == part)?;
    let entry = allocators::ALL.iter().find(|entry| entry.name == allocator)?;
    let (scale, rest) = (scale.parse().ok().filter(|&scale| scale > 0)?, Duration::from_millis(rest.parse().ok()?));
    Some((part, Job { entry, case: case.clone(), scale, rest }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_known_in_every_part_or_none() {
        let parse = |text: &str| parse(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let (part, job) = parse("bursts system mixed 16 250").expect("a job");
        assert_eq!((part, job.entry.name, job.case.as_str()), (Part::Bursts, "system", "mixed"));
        assert_eq!((job.scale, job.rest), (16, Duration::from_millis(250)));
        for text in
            ["bursts system mixed 16", "bursts nobody mixed 16 0", "all system mixed 16 0", "limit system 100 0 0"]
        {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
