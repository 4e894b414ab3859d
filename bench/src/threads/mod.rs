//! The same comparison where several threads call an allocator: time per call, and what stays resident.
//!
//! ```text
//!   parent (this file)                              child.rs, a process for each column and allocator
//!     rounds, interleaved                  ----->     columns.rs  who does what
//!     report::show_threads, of the data               team.rs     threads, in passes that are timed
//!                                                       rounds.rs   a workload by each thread
//!                                                       ring.rs     from one thread to another
//!                                                       sharing.rs  writes to one cache line
//! ```

#[cfg(test)]
mod book;
pub(crate) mod child;
mod columns;
mod meet;
mod ring;
mod rounds;
mod sharing;
mod team;
#[cfg(test)]
mod tests;

pub(crate) use columns::note;

use crate::allocators::candidate::Entry;
use crate::base::child as process;
use crate::base::neighbours::Neighbours;
use crate::base::progress::Progress;
use crate::measure::data::Data;
use crate::measure::parent::{failed, shuffled};
use crate::measure::record::{self, Keeper, Of, Record, Resident, Run, Time};
use crate::options::{Column, Options};
use crate::report;
use anyhow::{Result, ensure};
use std::collections::HashSet;
use std::time::Duration;

/// Who is compared unless `--allocator` says otherwise.
const ALLOCATORS: [&str; 9] =
    ["hmalloc", "mimalloc", "jemalloc", "snmalloc", "rpmalloc", "system", "rusty_alloc", "talc-lock", "rlsf-lock"];

/// Wall time is disturbed by more than processor time, so a process gets so many times the budget of one thread's.
const BUDGETS: u64 = 2;

/// Measures, prints tables, and leaves data and a chart.
pub(crate) fn run(options: &Options, threads: usize) -> Result<()> {
    let data = measure(options, threads)?;
    report::show_threads(&data, &options.out, options.process(), options.markdown)
}

/// A run under way.
struct Comparison<'a> {
    options: &'a Options,
    threads: usize,
    budget: u64,
    entries: Vec<&'static Entry>,
    keeper: Keeper,
    progress: Progress,
    /// What failed and is not tried again.
    gave_up: HashSet<(Column, &'static str)>,
}

fn measure(options: &Options, threads: usize) -> Result<Data> {
    let (columns, budget) = (options.columns(), options.budget_ms() * BUDGETS);
    let entries = options.allocators(|entry| ALLOCATORS.contains(&entry.name));
    for entry in &entries {
        ensure!(entry.threads.is_some(), "{} is for one thread", entry.name);
    }
    let progress = Progress::new(options.rounds() * columns.len() * entries.len());
    let keeper = Keeper::new(&options.out, record::THREADS)?;
    let mut comparison = Comparison { options, threads, budget, entries, keeper, progress, gave_up: HashSet::new() };
    let names = columns.iter().map(Column::to_string).collect();
    let run = Run { threads: Some(threads), ..Run::new(options, budget, &comparison.entries, names) };
    comparison.keeper.keep(Record::Run(run));
    let neighbours = Neighbours::begin();
    for round in 0..options.rounds() {
        comparison.round(round);
    }
    comparison.progress.end();
    comparison.keeper.keep(Record::Neighbours { percent: neighbours.percent() });
    Data::of(comparison.keeper.records.into_iter().map(Ok))
}

impl Comparison<'_> {
    /// One process for each column and allocator, those of a column one after another.
    fn round(&mut self, round: usize) {
        self.progress.part(&format!("{} threads, round {} of {}", self.threads, round + 1, self.options.rounds()));
        for (index, &column) in self.options.columns().iter().enumerate() {
            for entry in shuffled(&self.entries, round * 1000 + index) {
                self.progress.step(&format!("{} on {column}", entry.name));
                if self.gave_up.contains(&(column, entry.name)) {
                    continue;
                }
                if let Err(reason) = self.process(round, column, entry) {
                    self.gave_up.insert((column, entry.name));
                    self.keeper.keep(failed("threads", &column.to_string(), entry.name, &reason));
                }
            }
        }
    }

    fn process(&mut self, round: usize, column: Column, entry: &Entry) -> Result<()> {
        let [column, threads, budget] = [column.to_string(), self.threads.to_string(), self.budget.to_string()];
        let limit = self.options.patience() + Duration::from_millis(self.budget * 12);
        let mut command = process::command(&["threads", &column, entry.name, &threads, &budget]);
        let numbers: [f64; 8] = process::answer(&mut command, limit)?;
        let [warm, cold, fastest, slowest, samples, calm, peak, end] = numbers;
        let (samples, calm) = (samples as u64, Some(calm as u64));
        let time = Time { round, warm, cold, fastest, slowest, samples, calm, cycles_per_ns: None };
        self.keeper.keep(Record::Time(Of::new(&column, entry.name, time)));
        let resident = Resident { round, peak: peak as u64, end: end as u64 };
        self.keeper.keep(Record::Resident(Of::new(&column, entry.name, resident)));
        Ok(())
    }
}
