//! The measuring process: one column on one allocator.

use super::columns;
use super::team::Pass;
use crate::allocators;
use crate::base::kernel;
use crate::base::samples::Samples;
use crate::measure::record;
use crate::options::Column;
use anyhow::{Context, Result, bail};
use std::time::{Duration, Instant};

/// A sample takes as many passes as fill this time.
const SAMPLE: Duration = Duration::from_millis(1);
/// So many calm samples are enough for a figure.
const ENOUGH: usize = record::CALM;
/// How many times its budget a process may take until it has them.
const PATIENCE: u32 = 4;

/// Arguments: the column, the allocator, how many threads, milliseconds to spend.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [column, allocator, threads, budget] = arguments else { bail!("not a child's arguments") };
    let (column, entry) = (column.parse::<Column>()?, allocators::find(allocator).context("an allocator")?);
    (entry.prepare)();
    kernel::map_code();
    let team = columns::team(column, entry, threads.parse()?);
    let mut watch = Watch::new(team.count, budget.parse()?);
    let base = kernel::resident();
    team.run(|pass| watch.passed(pass));
    let above = |bytes: usize| bytes.saturating_sub(base) as f64;
    let (peak, end) = (above(kernel::peak_resident()), above(kernel::resident()));
    let ([middle, fastest, slowest, count], calm) = (watch.figures(), watch.calm.count() as f64);
    println!("{:?}", [middle, watch.cold.unwrap_or(f64::NAN), fastest, slowest, count, calm, peak, end]);
    Ok(())
}

/// Wall nanoseconds per call of each thread, above all while no neighbour takes a processor away.
struct Watch {
    threads: usize,
    begin: Instant,
    budget: Duration,
    /// The samples in which every thread had a processor whenever it wanted one.
    calm: Samples,
    all: Samples,
    /// The first pass, in which the heap grows.
    cold: Option<f64>,
    /// The passes since the last sample.
    sum: Pass,
    /// How long the calm samples took.
    calm_nanoseconds: u64,
}

const NONE: Pass = Pass { took: Duration::ZERO, calls: 0, interruptions: 0 };

impl Watch {
    fn new(threads: usize, milliseconds: u64) -> Self {
        let [calm, all] = [Samples::new(milliseconds), Samples::new(milliseconds)];
        let (begin, budget) = (Instant::now(), Duration::from_millis(milliseconds));
        Self { threads, begin, budget, calm, all, cold: None, sum: NONE, calm_nanoseconds: 0 }
    }

    /// Counts a pass, and says whether there should be another.
    fn passed(&mut self, pass: Pass) -> bool {
        let Pass { took, calls, interruptions } = &mut self.sum;
        (*took, *calls) = (*took + pass.took, *calls + pass.calls);
        *interruptions += pass.interruptions;
        if self.cold.is_some() && *took < SAMPLE {
            return true;
        }
        let Pass { took, calls, interruptions } = std::mem::replace(&mut self.sum, NONE);
        let each = took.as_nanos() as f64 * self.threads as f64 / calls as f64;
        if self.cold.is_none() {
            self.cold = Some(each);
            return true;
        }
        let has_patience = self.begin.elapsed() < PATIENCE * self.budget;
        let has_room = self.all.add(each, 0);
        if interruptions > 0 {
            return has_patience && has_room;
        }
        self.calm_nanoseconds += took.as_nanos() as u64;
        self.calm.add(each, self.calm_nanoseconds) && has_patience
    }

    /// The figures of the calm samples, or of all if there are not enough calm ones.
    fn figures(&mut self) -> [f64; 4] {
        let samples = if self.calm.count() < ENOUGH { &mut self.all } else { &mut self.calm };
        samples.figures()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(microseconds: u64, calls: usize, interruptions: usize) -> Pass {
        Pass { took: Duration::from_micros(microseconds), calls, interruptions }
    }

    #[test]
    fn time_is_per_call_of_each_thread_and_the_first_pass_is_apart() {
        let mut watch = Watch::new(2, 1_000_000);
        // 1,000 calls of each thread in 90 µs.
        assert!(watch.passed(pass(90, 2_000, 0)));
        assert_eq!(watch.cold, Some(90.0));
        // Two passes fill a sample.
        assert!((0..6).all(|_| watch.passed(pass(600, 40_000, 0))));
        assert_eq!((watch.figures(), watch.calm.count()), ([30.0, 30.0, 30.0, 3.0], 3));
    }

    #[test]
    fn disturbed_samples_count_only_where_there_are_hardly_others() {
        let mut watch = Watch::new(2, 1_000_000);
        watch.passed(pass(90, 2_000, 5));
        (0..2).for_each(|_| assert!(watch.passed(pass(1_000, 100_000, 0))));
        (0..3).for_each(|_| assert!(watch.passed(pass(4_000, 100_000, 1))));
        assert_eq!((watch.figures(), watch.calm.count()), ([80.0, 20.0, 80.0, 5.0], 2));
        assert!(watch.passed(pass(1_000, 100_000, 0)));
        assert_eq!((watch.figures(), watch.calm.count()), ([20.0, 20.0, 20.0, 3.0], 3));
    }
}
