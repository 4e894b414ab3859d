//! Starts the children in interleaved rounds, keeps the best of each, and prints the tables.

use crate::child::OUT_OF_MEMORY;
use crate::options::Options;
use crate::table::Table;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Outcome of all processes of one allocator and workload so far.
#[derive(Clone, Default)]
struct Outcome {
    /// The two numbers of a child's line, each the smallest of all processes.
    best: Option<(f64, f64)>,
    /// Why there will be no more processes.
    gave_up: Option<String>,
}

impl Outcome {
    fn record(&mut self, result: Result<(f64, f64), String>) {
        match result {
            Ok((first, second)) => {
                let best = self.best.unwrap_or((first, second));
                self.best = Some((best.0.min(first), best.1.min(second)));
            }
            Err(reason) => self.gave_up = Some(reason),
        }
    }
}

/// Outcomes by workload, then allocator.
type Grid = Vec<Vec<Outcome>>;

pub(crate) fn compare(options: &Options) {
    let mut time = vec![vec![Outcome::default(); options.allocators.len()]; options.workloads.len()];
    let mut memory = time.clone();
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        each(options, &mut time, |_| true, "time");
    }
    eprintln!("memory");
    each(options, &mut memory, |workload| options.workloads[workload].memory, "memory");

    let all: Vec<usize> = (0..options.workloads.len()).collect();
    let warm = "ns per operation, warm: the best process's median (ratio to the best of this run)";
    print(options, warm, &table(options, &time, &all, true, |best| best.0));
    let cold = "ns per operation, cold: a process's first round (ratio to the best of this run)";
    print(options, cold, &table(options, &time, &all, true, |best| best.1));
    let held: Vec<usize> = all.into_iter().filter(|&index| options.workloads[index].memory).collect();
    if !held.is_empty() {
        let footprint = table(options, &memory, &held, false, |best| best.0 / best.1);
        print(options, "peak resident / peak live requested", &footprint);
    }
    reasons(options, &time, "time");
    reasons(options, &memory, "memory");
}

/// One process for every workload and allocator that did not give up.
fn each(options: &Options, grid: &mut Grid, wanted: impl Fn(usize) -> bool, what: &str) {
    for (index, workload) in options.workloads.iter().enumerate().filter(|(index, _)| wanted(*index)) {
        for (entry, outcome) in options.allocators.iter().zip(&mut grid[index]) {
            if outcome.gave_up.is_none() {
                outcome.record(child(what, entry.name, workload.name, options.budget_ms, workload.slow));
            }
        }
    }
}

/// A child that takes far longer than its budget has met a workload that its allocator cannot do in reasonable time.
fn child(what: &str, allocator: &str, workload: &str, budget_ms: u64, slow: bool) -> Result<(f64, f64), String> {
    let limit = Duration::from_millis(budget_ms * 8 + if slow { 20_000 } else { 4_000 });
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut child = Command::new(program)
        .args(["--child", what, allocator, workload, &budget_ms.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let status = wait(&mut child, limit)?;
    if status.code() == Some(OUT_OF_MEMORY) {
        return Err("ran out of memory".to_owned());
    }
    if !status.success() {
        return Err(format!("died: {status}"));
    }
    let mut line = String::new();
    let mut output = child.stdout.take().ok_or("no output")?;
    output.read_to_string(&mut line).map_err(|error| error.to_string())?;
    let mut numbers = line.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(second))) => Ok((first, second)),
        _ => Err(format!("answered {line:?}")),
    }
}

/// The child's one line fits a pipe, so waiting before reading cannot block it.
fn wait(child: &mut Child, limit: Duration) -> Result<std::process::ExitStatus, String> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok(status);
        }
        if begin.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("took over {} s", limit.as_secs_f64().round()));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn table(options: &Options, grid: &Grid, columns: &[usize], ratios: bool, number: impl Fn((f64, f64)) -> f64) -> Table {
    let row = |row: usize| columns.iter().map(|&column| grid[column][row].best.map(&number)).collect();
    Table {
        columns: columns.iter().map(|&column| options.workloads[column].name.to_owned()).collect(),
        rows: options.allocators.iter().enumerate().map(|(index, entry)| (entry.name.to_owned(), row(index))).collect(),
        ratios,
    }
}

fn print(options: &Options, title: &str, table: &Table) {
    if options.markdown {
        println!("**{title}**\n\n{}", table.markdown());
    } else {
        println!("{title}\n\n{}", table.text());
    }
}

fn reasons(options: &Options, grid: &Grid, what: &str) {
    for (workload, column) in options.workloads.iter().zip(grid) {
        for (entry, outcome) in options.allocators.iter().zip(column) {
            if let Some(reason) = &outcome.gave_up {
                println!("- {} on {} ({what}): {reason}", entry.name, workload.name);
            }
        }
    }
}
