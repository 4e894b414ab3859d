//! Starts the children in interleaved rounds and keeps a record of each.

use super::callgrind;
use super::child::WARM_ROUNDS;
use super::data::Data;
use super::record::{Asked, COMPARISON, Keeper, Memory, Of, Record, Run, Time};
use super::syscalls;
use crate::allocators;
use crate::allocators::candidate::{Entry, Kind};
use crate::base::child;
use crate::base::progress::Progress;
use crate::options::Options;
use crate::workloads::PAIR;
use crate::workloads::workload::Workload;
use anyhow::Result;
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::process::Stdio;
use std::time::Duration;

/// A run under way.
struct Comparison<'a> {
    options: &'a Options,
    allocators: Vec<&'static Entry>,
    workloads: Vec<&'static Workload>,
    keeper: Keeper,
    progress: Progress,
    /// What (time or memory) of which workload and allocator failed and is not tried again.
    gave_up: HashSet<(&'static str, &'static str, &'static str)>,
}

/// Does all parts that `options` ask for.
pub(crate) fn compare(options: &Options) -> Result<Data> {
    if options.no_instructions().is_none() {
        callgrind::available()?;
    }
    let mut comparison = Comparison {
        options,
        allocators: options.allocators(allocators::is_for_one_thread),
        workloads: options.workloads(),
        keeper: Keeper::new(&options.out, COMPARISON)?,
        progress: Progress::new(0),
        gave_up: HashSet::new(),
    };
    comparison.progress = Progress::new(comparison.steps());
    let workloads = comparison.workloads.iter().map(|load| load.name.to_owned()).collect();
    let run = Run::new(options, options.budget_ms(), &comparison.allocators, workloads);
    comparison.keeper.keep(Record::Run(run));
    for round in 0..options.rounds() {
        comparison.progress.part(&format!("time, round {} of {}", round + 1, options.rounds()));
        comparison.times(round);
    }
    comparison.progress.part("memory");
    comparison.memory();
    if options.calls() {
        comparison.progress.part("system calls");
        comparison.calls();
    }
    comparison.instructions();
    comparison.progress.end();
    Data::of(comparison.keeper.records.into_iter().map(Ok))
}

impl Comparison<'_> {
    fn steps(&self) -> usize {
        let timed: usize = self.workloads.iter().map(|workload| self.rounds(workload)).sum();
        let held = self.workloads.iter().filter(|workload| workload.memory).count();
        let called = if self.options.calls() { self.workloads.len() } else { 0 };
        let counted = usize::from(self.options.no_instructions().is_none());
        self.allocators.len() * (timed + held + called + counted)
    }

    /// Slow workloads get one process less, but for a run of everything.
    fn rounds(&self, workload: &Workload) -> usize {
        let rounds = self.options.rounds();
        if workload.slow && !self.options.all { (rounds - 1).max(1) } else { rounds }
    }

    /// One process for each workload and allocator that has not failed before. The allocators of one workload run one after
    /// another, so that they see the same neighbours, in another order each time.
    fn times(&mut self, round: usize) {
        for (index, workload) in self.workloads.clone().into_iter().enumerate() {
            if round >= self.rounds(workload) {
                continue;
            }
            for entry in shuffled(&self.allocators, round * 1000 + index) {
                let Some(numbers) = self.child("time", entry, workload) else { continue };
                let [warm, cold, fastest, slowest, samples, clock]: [f64; 6] = numbers;
                let (samples, cycles_per_ns) = (samples as u64, Some(clock).filter(|&clock| clock > 0.0));
                let time = Time { round, warm, cold, fastest, slowest, samples, calm: None, cycles_per_ns };
                self.keeper.keep(Record::Time(Of::new(workload.name, entry.name, time)));
            }
        }
    }

    fn memory(&mut self) {
        for workload in self.workloads.clone().into_iter().filter(|workload| workload.memory) {
            for entry in self.allocators.clone() {
                // Blocks of the boundary overlap, and what is too slow to be timed is too slow for this as well.
                if entry.kind == Kind::Boundary || self.gave_up.contains(&("time", entry.name, workload.name)) {
                    self.progress.step(entry.name);
                } else if let Some([peak_resident, peak_live]) = self.child::<[u64; 2]>("memory", entry, workload) {
                    let memory = Memory { peak_resident, peak_live };
                    self.keeper.keep(Record::Memory(Of::new(workload.name, entry.name, memory)));
                }
            }
        }
    }

    fn calls(&mut self) {
        for workload in &self.workloads {
            for entry in &self.allocators {
                self.progress.step(&format!("{} on {}", entry.name, workload.name));
                if self.gave_up.contains(&("time", entry.name, workload.name)) {
                    continue;
                }
                let mut command = child::command(&["calls", entry.name, workload.name, "0"]);
                self.keeper.keep(match syscalls::count(command.stdout(Stdio::null())) {
                    Ok([_, first, warm, _]) => {
                        let calls = Asked { first, warm, warm_rounds: WARM_ROUNDS };
                        Record::Calls(Of::new(workload.name, entry.name, calls))
                    }
                    Err(reason) => failed("system calls", workload.name, entry.name, &reason),
                });
            }
        }
    }

    fn instructions(&mut self) {
        if let Some(reason) = self.options.no_instructions() {
            let (what, reason) = ("instructions".to_owned(), reason.to_owned());
            return self.keeper.keep(Record::Left { what, reason });
        }
        self.progress.part("instructions");
        let names: Vec<&str> = self.allocators.iter().map(|entry| entry.name).collect();
        callgrind::measure(&names, &self.options.out, |name, counted| {
            self.progress.step(name);
            self.keeper.keep(match counted {
                Ok((per_pair, stepped)) => Record::Instructions { allocator: name.to_owned(), per_pair, stepped },
                Err(reason) => failed("instructions", PAIR, name, &reason),
            });
        });
    }

    /// Runs a child to its line of numbers. A failure is recorded once, and such a child is not started again.
    fn child<T: DeserializeOwned>(
        &mut self,
        what: &'static str,
        entry: &'static Entry,
        workload: &'static Workload,
    ) -> Option<T> {
        self.progress.step(&format!("{} on {}", entry.name, workload.name));
        if self.gave_up.contains(&(what, entry.name, workload.name)) {
            return None;
        }
        let numbers = numbers(what, entry, workload, self.options);
        let give_up = |reason: &anyhow::Error| {
            self.gave_up.insert((what, entry.name, workload.name));
            self.keeper.keep(failed(what, workload.name, entry.name, reason));
        };
        numbers.inspect_err(give_up).ok()
    }
}

pub(crate) fn failed(what: &str, workload: &str, allocator: &str, reason: &anyhow::Error) -> Record {
    let [what, workload, allocator] = [what, workload, allocator].map(str::to_owned);
    Record::Failed { what, workload, allocator, reason: format!("{reason:#}") }
}

/// The same order for the same seed, so that a run can be done again.
pub(crate) fn shuffled(allocators: &[&'static Entry], seed: usize) -> Vec<&'static Entry> {
    let mut order = allocators.to_vec();
    fastrand::Rng::with_seed(seed as u64).shuffle(&mut order);
    order
}

/// A child that takes far longer than its budget has met a workload that its allocator cannot do in reasonable time.
fn numbers<T: DeserializeOwned>(what: &str, entry: &Entry, workload: &Workload, options: &Options) -> Result<T> {
    // The footprint takes long because of its samples, which a slow peer pays like all others.
    let factor = (if workload.slow { 2 } else { 1 }) * (if what == "memory" { 2 } else { 1 });
    let limit = options.patience() * factor + Duration::from_millis(options.budget_ms() * 8);
    let budget = options.budget_ms().to_string();
    child::answer(&mut child::command(&[what, entry.name, workload.name, &budget]), limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_allocator_is_always_first() {
        let all: Vec<&'static Entry> = allocators::ALL.iter().collect();
        let first: HashSet<&str> = (0..200).map(|seed| shuffled(&all, seed)[0].name).collect();
        assert_eq!(first.len(), all.len());
        let names: HashSet<&str> = shuffled(&all, 5).iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), all.len());
    }
}
