//! One measurement, in a process of its own: a program's peak is never below that of the process that started it, and
//! this one has hardly any memory.

use super::job::{Figures, Job, OUTPUT, Running, digest};
use super::server;
use anyhow::{Result, bail};
use std::fs::File;
use std::time::{Duration, Instant};

/// Runs the job in the argument, and prints its figures.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [job] = arguments else { bail!("a program is one job") };
    let job: Job = serde_json::from_str(job)?;
    std::env::set_current_dir(&job.folder)?;
    let figures = if job.serves { server::measure(&job)? } else { measure(&job)? };
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

fn measure(job: &Job) -> Result<Figures> {
    let begin = Instant::now();
    let usage = Running::start(job)?.end(Duration::from_secs(job.limit))?;
    let wall = begin.elapsed().as_secs_f64();
    usage.figures(wall, digest(File::open(OUTPUT)?)?)
}
