//! Starts the children in interleaved rounds and keeps a record of each.

use crate::allocators::{Entry, Kind};
use crate::base::kernel;
use crate::base::progress::Progress;
use crate::measure::callgrind;
use crate::measure::child::{self, OUT_OF_MEMORY, WARM_ROUNDS};
use crate::measure::record::{Data, Keeper, Name, Record};
use crate::measure::syscalls;
use crate::options::Options;
use crate::workloads::Workload;
use std::collections::HashSet;
use std::io::Read;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// A run under way.
struct Comparison<'a> {
    options: &'a Options,
    keeper: Keeper,
    progress: Progress,
    /// What (time or memory) of which workload and allocator failed and is not tried again.
    gave_up: HashSet<(&'static str, &'static str, &'static str)>,
}

/// Does all parts that `options` ask for.
pub(crate) fn compare(options: &Options) -> Result<Data, String> {
    if options.instructions {
        callgrind::available()?;
    }
    let mut keeper = Keeper::new(&options.out)?;
    keeper.keep(description(options));
    let progress = Progress::new(steps(options));
    let mut comparison = Comparison { options, keeper, progress, gave_up: HashSet::new() };
    for round in 0..options.rounds {
        comparison.progress.part(&format!("time, round {} of {}", round + 1, options.rounds));
        comparison.times(round);
    }
    comparison.progress.part("memory");
    comparison.memory();
    if options.calls {
        comparison.progress.part("system calls");
        comparison.calls();
    }
    let Comparison { mut keeper, progress, .. } = comparison;
    if options.instructions {
        progress.part("instructions");
        callgrind::measure(options, &mut keeper, |allocator| progress.step(allocator));
    } else {
        let reason = options.no_instructions.to_owned();
        keeper.keep(Record::Left { what: "instructions".to_owned(), reason });
    }
    progress.end();
    Ok(keeper.data)
}

fn description(options: &Options) -> Record {
    let name = |entry: &&'static Entry| Name {
        name: entry.name.to_owned(),
        whose: match entry.kind {
            Kind::Ours => "ours",
            Kind::Peer => "peer",
            Kind::Boundary => "boundary",
        }
        .to_owned(),
        version: entry.version(),
        note: entry.note.to_owned(),
    };
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Record::Run {
        machine: kernel::machine(),
        kernel: kernel::release(),
        seconds_since_1970: since.map_or(0, |since| since.as_secs()),
        arguments: std::env::args().skip(1).collect(),
        rounds: options.rounds,
        budget_ms: options.budget_ms,
        allocators: options.allocators.iter().map(name).collect(),
        workloads: options.workloads.iter().map(|load| load.name.to_owned()).collect(),
    }
}

fn steps(options: &Options) -> u64 {
    let allocators = options.allocators.len();
    let timed: usize = options.workloads.iter().map(|workload| rounds(options, workload)).sum();
    let held = options.workloads.iter().filter(|workload| workload.memory).count();
    let called = if options.calls { options.workloads.len() } else { 0 };
    (allocators * (timed + held + called + usize::from(options.instructions))) as u64
}

/// Slow workloads get one process less, but for a run of everything.
fn rounds(options: &Options, workload: &Workload) -> usize {
    if workload.slow && !options.everything { (options.rounds - 1).max(1) } else { options.rounds }
}

impl Comparison<'_> {
    /// One process for every workload and allocator that did not give up. The allocators of one workload run one after
    /// another, so that they see the same neighbours, in another order each time.
    fn times(&mut self, round: usize) {
        for (index, workload) in self.options.workloads.iter().enumerate() {
            if round >= rounds(self.options, workload) {
                continue;
            }
            for entry in shuffled(&self.options.allocators, round * 1000 + index) {
                if let Some(numbers) = self.child("time", entry, workload) {
                    let [warm, cold, fastest, slowest, samples, clock] = numbers;
                    self.keeper.keep(Record::Time {
                        workload: workload.name.to_owned(),
                        allocator: entry.name.to_owned(),
                        round,
                        warm,
                        cold,
                        fastest,
                        slowest,
                        samples: samples as u64,
                        cycles_per_ns: Some(clock).filter(|&clock| clock > 0.0),
                    });
                }
            }
        }
    }

    fn memory(&mut self) {
        for workload in self.options.workloads.iter().filter(|workload| workload.memory) {
            for entry in &self.options.allocators {
                // Blocks of the boundary overlap, and who is too slow to be timed is too slow for this as well.
                let failed = self.gave_up.contains(&("time", entry.name, workload.name));
                if entry.kind == Kind::Boundary || failed {
                    self.progress.step(entry.name);
                    continue;
                }
                if let Some([resident, live]) = self.child("memory", entry, workload) {
                    self.keeper.keep(Record::Memory {
                        workload: workload.name.to_owned(),
                        allocator: entry.name.to_owned(),
                        peak_resident: resident as u64,
                        peak_live: live as u64,
                    });
                }
            }
        }
    }

    fn calls(&mut self) {
        for workload in &self.options.workloads {
            for entry in &self.options.allocators {
                self.progress.step(&format!("{} on {}", entry.name, workload.name));
                if self.gave_up.contains(&("time", entry.name, workload.name)) {
                    continue;
                }
                let counted = child::command(&["calls", entry.name, workload.name, "0"])
                    .and_then(|mut command| syscalls::count(command.stdout(Stdio::null())));
                self.keeper.keep(match counted {
                    Ok([_, first, warm, _]) => Record::Calls {
                        workload: workload.name.to_owned(),
                        allocator: entry.name.to_owned(),
                        first,
                        warm,
                        warm_rounds: WARM_ROUNDS,
                    },
                    Err(reason) => Record::Failed {
                        what: "system calls".to_owned(),
                        workload: workload.name.to_owned(),
                        allocator: entry.name.to_owned(),
                        reason,
                    },
                });
            }
        }
    }

    /// Runs a child to its line of numbers. A failure is recorded once, and such a child is not started again.
    fn child<const N: usize>(
        &mut self,
        what: &'static str,
        entry: &'static Entry,
        workload: &'static Workload,
    ) -> Option<[f64; N]> {
        self.progress.step(&format!("{} on {}", entry.name, workload.name));
        if self.gave_up.contains(&(what, entry.name, workload.name)) {
            return None;
        }
        match child(what, entry, workload, self.options) {
            Ok(numbers) => Some(numbers),
            Err(reason) => {
                self.gave_up.insert((what, entry.name, workload.name));
                self.keeper.keep(Record::Failed {
                    what: what.to_owned(),
                    workload: workload.name.to_owned(),
                    allocator: entry.name.to_owned(),
                    reason,
                });
                None
            }
        }
    }
}

/// The same order for the same seed, so that a run can be done again.
fn shuffled(allocators: &[&'static Entry], seed: usize) -> Vec<&'static Entry> {
    let mut order = allocators.to_vec();
    fastrand::Rng::with_seed(seed as u64).shuffle(&mut order);
    order
}

/// A child that takes far longer than its budget has met a workload that its allocator cannot do in reasonable time.
fn child<const N: usize>(
    what: &str,
    entry: &Entry,
    workload: &Workload,
    options: &Options,
) -> Result<[f64; N], String> {
    // The footprint takes long because of its samples, which a slow peer pays like all others.
    let factor = (if workload.slow { 2 } else { 1 }) * (if what == "memory" { 2 } else { 1 });
    let base = options.patience * factor;
    let budget = options.budget_ms.to_string();
    let mut child = child::command(&[what, entry.name, workload.name, &budget])?
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let status = wait(&mut child, base + Duration::from_millis(options.budget_ms * 8))?;
    if status.code() == Some(OUT_OF_MEMORY) {
        return Err("ran out of memory".to_owned());
    }
    if !status.success() {
        return Err(format!("died: {status}"));
    }
    let mut line = String::new();
    let mut output = child.stdout.take().ok_or("no output")?;
    output.read_to_string(&mut line).map_err(|error| error.to_string())?;
    let numbers: Vec<f64> = line.split_whitespace().map_while(|number| number.parse().ok()).collect();
    numbers.try_into().map_err(|_| format!("answered {line:?}"))
}

/// The child's one line fits a pipe, so waiting before reading cannot block it.
fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus, String> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok(status);
        }
        if begin.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("took over {:.1} s", limit.as_secs_f64()));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocators;

    #[test]
    fn nobody_is_always_first() {
        let all: Vec<&'static Entry> = allocators::ALL.iter().collect();
        let first: HashSet<&str> = (0..200).map(|seed| shuffled(&all, seed)[0].name).collect();
        assert_eq!(first.len(), all.len());
        let mut names: Vec<&str> = shuffled(&all, 5).iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        let mut expected: Vec<&str> = all.iter().map(|entry| entry.name).collect();
        expected.sort_unstable();
        assert_eq!(names, expected);
    }
}
