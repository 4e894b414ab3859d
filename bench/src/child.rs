//! One allocator, one workload, one line of numbers.

use crate::allocators::{self, Entry};
use crate::kernel;
use crate::workloads::{self, FirstWord, Footprint, Run, Workload};
use std::process::ExitCode;

/// Exit status of a child whose allocator answered null.
pub(crate) const OUT_OF_MEMORY: i32 = 3;

/// More samples than a median needs; kept in a table of fixed size because the child must not allocate.
const SAMPLES: usize = 100_000;

/// Arguments: `time` or `memory`, the allocator, the workload, and the milliseconds to spend.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let [what, allocator, workload, budget] = arguments else { return ExitCode::FAILURE };
    let entry = allocators::ALL.iter().find(|entry| entry.name == allocator);
    let workload = workloads::ALL.iter().find(|load| load.name == workload);
    let (Some(entry), Some(workload), Ok(budget)) = (entry, workload, budget.parse::<u64>()) else {
        return ExitCode::FAILURE;
    };
    match what.as_str() {
        "time" => time(entry, workload, budget * 1_000_000),
        "memory" => memory(entry, workload),
        _ => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}

/// The first round is cold: it pays for growing the heap. The median of the others is warm.
fn time(entry: &'static Entry, workload: &Workload, budget: u64) {
    let samples = kernel::table(SAMPLES, |_| 0_f64);
    let mut run = Run::new(workload, entry, || FirstWord);
    let begin = kernel::processor_time();
    let cold = sample(&mut run);
    let mut count = 0;
    while count < 3 || (count < SAMPLES && kernel::processor_time() - begin < budget) {
        samples[count] = sample(&mut run);
        count += 1;
        if count > 0 && kernel::processor_time() - begin > 2 * budget {
            break;
        }
    }
    let samples = &mut samples[..count];
    samples.sort_unstable_by(f64::total_cmp);
    println!("{} {cold}", samples[count / 2]);
}

/// Nanoseconds per operation over enough rounds that reading the clock does not show.
fn sample(run: &mut Run<FirstWord>) -> f64 {
    let begin = kernel::processor_time();
    let mut operations = 0;
    loop {
        operations += run.round();
        let spent = kernel::processor_time() - begin;
        if spent > 200_000 {
            return spent as f64 / operations as f64;
        }
    }
}

/// Peak resident and peak live bytes over a few rounds.
fn memory(entry: &'static Entry, workload: &Workload) {
    let mut run = Run::new(workload, entry, Footprint::new);
    for _ in 0..4 {
        run.round();
    }
    println!("{} {}", run.probe.peak_resident, run.probe.peak_live);
}
