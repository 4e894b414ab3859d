//! What a measuring process is to do.

use crate::allocators;
use crate::allocators::candidate::Entry;
use crate::options::Part;
use anyhow::{Context, Result, bail};
use std::num::NonZeroUsize;
use std::time::Duration;

pub(super) struct Job {
    pub(super) entry: &'static Entry,
    /// A shape, a pattern or a size, by its name.
    pub(super) case: String,
    /// What bytes are divided by.
    pub(super) scale: usize,
    pub(super) rest: Duration,
}

/// Arguments: part, allocator, case, scale, and milliseconds of rest.
pub(super) fn parse(arguments: &[String]) -> Result<(Part, Job)> {
    let [part, allocator, case, scale, rest] = arguments else { bail!("not a child's arguments") };
    let entry = allocators::find(allocator).context("an allocator")?;
    let (scale, rest) = (scale.parse::<NonZeroUsize>()?.get(), Duration::from_millis(rest.parse()?));
    Ok((part.parse()?, Job { entry, case: case.clone(), scale, rest }))
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
        let wrong =
            ["bursts system mixed 16", "bursts none mixed 16 0", "all system mixed 16 0", "limit system 100 0 0"];
        assert!(wrong.iter().all(|text| parse(text).is_err()));
    }
}
