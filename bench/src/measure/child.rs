//! The measuring process: one allocator, one workload, one line of numbers.

use super::{smoke, steps, syscalls, tracee};
use crate::allocators;
use crate::allocators::candidate::Entry;
use crate::base::probe::{FirstWord, Footprint};
use crate::base::samples::Samples;
use crate::base::{clock, kernel};
use crate::workloads;
use crate::workloads::run::Run;
use crate::workloads::workload::Workload;
use anyhow::{Context, Result, bail};

/// Rounds after the first while system calls are counted.
pub(super) const WARM_ROUNDS: u64 = 4;

/// Arguments: what to do, the allocator, the workload, and a number: milliseconds to spend, or rounds.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if arguments == ["known"] {
        syscalls::known();
        return Ok(());
    }
    let [what, allocator, workload, number] = arguments else { bail!("not a child's arguments") };
    let entry = allocators::find(allocator).context("an allocator")?;
    let (workload, number) = (workloads::find(workload).context("a workload")?, number.parse()?);
    match what.as_str() {
        "time" => time(entry, workload, number),
        "memory" => memory(entry, workload),
        "calls" => calls(entry, workload),
        "rounds" => rounds(entry, workload, number),
        "steps" => pairs_in_steps(entry, workload),
        "smoke" => return smoke::run(entry),
        _ => bail!("no child does this"),
    }
    Ok(())
}

/// The first round is cold: it pays for growing the heap. The median of the others is warm.
fn time(entry: &'static Entry, workload: &Workload, milliseconds: u64) {
    let mut samples = Samples::new(milliseconds);
    let clock = clock::cycles_per_nanosecond().unwrap_or(0.0);
    let mut run = Run::new(workload, entry, || FirstWord);
    let begin = kernel::processor_time();
    let cold = sample(&mut run, 0);
    while samples.add(sample(&mut run, 200_000), kernel::processor_time() - begin) {}
    let [middle, fastest, slowest, count] = samples.figures();
    println!("{:?}", [middle, cold, fastest, slowest, count, clock]);
}

/// Nanoseconds per operation over enough rounds to fill `least` nanoseconds, so that reading the clock does not show.
fn sample(run: &mut Run<FirstWord>, least: u64) -> f64 {
    let begin = kernel::processor_time();
    let mut operations = 0;
    loop {
        operations += run.round();
        let spent = kernel::processor_time() - begin;
        if spent > least {
            return spent as f64 / operations as f64;
        }
    }
}

/// Peak resident and peak live bytes over a few rounds.
fn memory(entry: &'static Entry, workload: &Workload) {
    let mut run = Run::new(workload, entry, Footprint::new);
    for _ in 0..workload.footprint_rounds() {
        run.round();
        run.probe.sample();
    }
    println!("{:?}", [run.probe.peak_resident, run.probe.peak_live]);
}

/// For a tracer: marks where the first round and the warm ones begin and end.
fn calls(entry: &'static Entry, workload: &Workload) {
    kernel::limit_time(tracee::LIMIT);
    let mut run = Run::new(workload, entry, || FirstWord);
    kernel::mark(1);
    run.round();
    kernel::mark(2);
    for _ in 0..WARM_ROUNDS {
        run.round();
    }
    kernel::mark(3);
}

/// A number of rounds and nothing else, to have its instructions counted from outside.
fn rounds(entry: &'static Entry, workload: &Workload, rounds: u64) {
    let mut run = Run::new(workload, entry, || FirstWord);
    for _ in 0..rounds {
        run.round();
    }
}

/// For a tracer that counts instructions: pairs, then twice as many.
fn pairs_in_steps(entry: &'static Entry, workload: &Workload) {
    kernel::limit_time(tracee::LIMIT);
    let mut run = Run::new(workload, entry, || FirstWord);
    run.round();
    for times in [1, 2] {
        kernel::mark_step();
        run.pairs(times * steps::PAIRS);
    }
    kernel::mark_step();
}
