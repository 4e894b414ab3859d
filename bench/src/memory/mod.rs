//! Memory in figures: what stays resident, what a limit leaves, and the slowest calls in a large address space.
//!
//! ```text
//!   parent (this file)                               a process for each case and allocator
//!     bursts.rs     resident after each burst  <-----  eight bursts, a rest, one block more
//!     patterns.rs   resident where blocks stay <-----  ladder, Robson's, saw-tooth, pinned growth
//!     limit.rs      a limit that is reached    <-----  blocks until the answer is null
//!     space.rs      the slowest single calls   <-----  blocks that are never written, up to 256 GiB
//! ```

mod blocks;
mod bursts;
mod job;
mod limit;
mod parent;
mod patterns;
mod robson;
mod space;

use crate::allocators;
use crate::allocators::candidate::{Entry, Kind};
use crate::base::kernel;
use crate::base::machine::{self, setting};
use crate::options::{Options, Part};
use anyhow::{Result, ensure};
use clap::ValueEnum;
use parent::Parent;

/// Whose memory is measured unless `--allocator` says otherwise: hmalloc's, the one for a single thread, and on the
/// program break; that of two peers that many programs use, and the C library's.
const ALLOCATORS: [&str; 6] = ["hmalloc", "hmalloc-alone", "hmalloc-brk", "mimalloc", "jemalloc", "system"];

/// A process that takes more seconds than this, its rest apart, ends itself.
const PATIENCE: u64 = 300;

/// Measures and prints everything that `options` ask for.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut allocators = options.allocators(|entry| ALLOCATORS.contains(&entry.name));
    // The boundary's blocks lie on top of each other.
    allocators.retain(|entry| entry.kind != Kind::Boundary);
    ensure!(!allocators.is_empty(), "there is no allocator to measure");
    let is_wanted = |part: &&Part| options.part.is_empty() || options.part.contains(part);
    let parts: Vec<Part> = Part::value_variants().iter().filter(is_wanted).copied().collect();
    println!("{}", head(&allocators, options.quick));
    let processes: usize = parts.iter().map(|&part| processes(part)).sum();
    let mut parent = Parent::new(options, allocators, processes);
    for part in parts {
        parent.progress.part(&part.to_string());
        let tables = match part {
            Part::Bursts => bursts::tables(&mut parent)?,
            Part::Patterns => patterns::tables(&mut parent),
            Part::Limit => limit::tables(&mut parent),
            Part::Space => space::tables(&mut parent),
        };
        print!("{tables}");
        parent.remarks.drain(..).for_each(|remark| println!("- {remark}\n"));
    }
    parent.progress.end();
    Ok(())
}

/// How many processes each allocator has.
fn processes(part: Part) -> usize {
    match part {
        Part::Bursts => bursts::SHAPES.len(),
        Part::Patterns => patterns::PATTERNS.len(),
        Part::Limit => limit::SIZES.len(),
        Part::Space => space::REPETITIONS,
    }
}

/// The measuring process: one case of one part on one allocator.
pub(crate) fn child(arguments: &[String]) -> Result<()> {
    let (part, job) = job::parse(arguments)?;
    kernel::limit_time(u32::try_from(PATIENCE + job.rest.as_secs())?);
    match part {
        Part::Bursts => bursts::child(&job),
        Part::Patterns => patterns::child(&job),
        Part::Limit => limit::child(&job),
        Part::Space => space::child(&job),
    }
}

/// The machine, the date, the kernel settings that matter here, and the versions that are compared.
fn head(allocators: &[&'static Entry], quick: bool) -> String {
    let here = machine::here_and_now();
    let huge = chosen(&setting("/sys/kernel/mm/transparent_hugepage/enabled"));
    let overcommit = setting("/proc/sys/vm/overcommit_memory");
    let note = if quick { "; quick: small sizes, not for comparison" } else { "" };
    let versions = allocators::versions(allocators).join(", ");
    format!("{here}\nhuge pages: {huge}, overcommit: {overcommit}{note}\n{versions}\n")
}

/// The word in brackets, by which the kernel says what is set among what can be.
fn chosen(setting: &str) -> String {
    let word = setting.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    word.map_or("unknown", |(word, _)| word).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_stands_in_brackets() {
        assert_eq!([chosen("always [madvise] never"), chosen("")], ["madvise", "unknown"]);
    }

    #[test]
    fn every_allocator_that_is_measured_exists_and_can_trim() {
        let can_trim = |name: &&str| allocators::find(name).is_some_and(|entry| entry.trim.is_some());
        assert!(ALLOCATORS.iter().all(can_trim));
    }

    #[test]
    fn the_head_names_the_machine_the_day_and_the_versions() {
        let head = head(&[allocators::find("jemalloc").unwrap()], true);
        for part in [std::env::consts::ARCH, "T", "Z\n", "huge pages", "tikv-jemalloc-sys ", "quick"] {
            assert!(head.contains(part), "{head}");
        }
    }
}
