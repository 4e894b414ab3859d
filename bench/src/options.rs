//! What the command line asks for.

use crate::allocators::{self, Entry};
use crate::stats::Process;
use crate::workloads::{self, OWN_TRACE, Workload};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

pub(crate) const HELP: &str = "\
Usage: cargo run --release -- [OPTIONS]

Without options: time and memory of every allocator on every workload, and instructions per pair; under five minutes.

  --quick              about a minute: shorter, no slow workloads, no instructions
  --all                everything, system calls too, with more processes; a quarter of an hour
  --million            slow workloads with --quick too
  --workload A,B       only these workloads
  --allocator A,B      only these allocators
  --rounds N           processes for each allocator and workload (3; quick: 2; all: 5)
  --syscalls           count system calls too
  --no-callgrind       count no instructions, which needs valgrind
  --markdown           tables in markdown
  --best               tables and charts by the best process of each cell instead of the middle one
  --out DIR            where the raw data and the charts go (default: a new folder below target/)
  --from DIR           measure nothing: tables and charts from the raw data in DIR
  --self-test          measure nothing: is every allocator's memory good, and are system calls counted right
  --figures            the size of the static program and the lines of src/, and nothing else
  --list               the names of all allocators and workloads

Usage: cargo run --release -- trace        how to record and show traces
";

/// How results are shown.
#[derive(Clone, Copy, Default)]
pub(crate) struct View {
    pub(crate) markdown: bool,
    pub(crate) process: Process,
}

/// One comparison.
pub(crate) struct Options {
    pub(crate) view: View,
    pub(crate) everything: bool,
    pub(crate) calls: bool,
    pub(crate) instructions: bool,
    /// Why no instructions are counted, if none are.
    pub(crate) no_instructions: &'static str,
    pub(crate) rounds: usize,
    /// How long one child measures.
    pub(crate) budget_ms: u64,
    /// How much longer than that a child may take to set up and to end.
    pub(crate) patience: Duration,
    pub(crate) allocators: Vec<&'static Entry>,
    pub(crate) workloads: Vec<&'static Workload>,
    pub(crate) out: PathBuf,
}

pub(crate) enum Task {
    Help,
    List,
    Figures,
    SelfTest,
    From { folder: PathBuf, view: View },
    Compare(Options),
}

/// What was given on the command line, before it is known what follows from it.
#[derive(Default)]
struct Given {
    quick: bool,
    all: bool,
    million: bool,
    view: View,
    syscalls: bool,
    no_callgrind: bool,
    rounds: Option<usize>,
    workloads: Option<String>,
    allocators: Option<String>,
    out: Option<PathBuf>,
    from: Option<PathBuf>,
}

pub(crate) fn parse(arguments: &[String]) -> Result<Task, String> {
    let mut given = Given::default();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().cloned().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--help" | "-h" => return Ok(Task::Help),
            "--list" => return Ok(Task::List),
            "--figures" => return Ok(Task::Figures),
            "--self-test" => return Ok(Task::SelfTest),
            "--quick" => given.quick = true,
            "--all" => given.all = true,
            "--million" => given.million = true,
            "--markdown" => given.view.markdown = true,
            "--best" => given.view.process = Process::Best,
            "--syscalls" => given.syscalls = true,
            "--no-callgrind" => given.no_callgrind = true,
            "--rounds" => given.rounds = Some(number(&value()?)?),
            "--allocator" => given.allocators = Some(value()?),
            "--workload" => given.workloads = Some(value()?),
            "--out" => given.out = Some(value()?.into()),
            "--from" => given.from = Some(value()?.into()),
            other => return Err(format!("unknown option {other}")),
        }
    }
    match given.from {
        Some(folder) => Ok(Task::From { folder, view: given.view }),
        None => options(given).map(Task::Compare),
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number > 0).ok_or(format!("--rounds needs a number above 0, not {text}"))
}

fn options(given: Given) -> Result<Options, String> {
    if given.quick && given.all {
        return Err("--quick and --all exclude each other".to_owned());
    }
    let slow = !given.quick || given.million;
    let allocators = select(&allocators::ALL, given.allocators.as_deref(), |entry| entry.name, |_| true)?;
    let workloads = select(&workloads::ALL, given.workloads.as_deref(), |load| load.name, |load| {
        (slow || !load.slow) && load.name != OWN_TRACE
    })?;
    let no_instructions = match () {
        () if given.no_callgrind => "left out by --no-callgrind",
        () if given.quick => "left out by --quick",
        () if !workloads.iter().any(|load| load.name == crate::callgrind::WORKLOAD) => "left out without workload pair",
        () => "",
    };
    let (rounds, budget_ms, patience) = match () {
        () if given.quick => (2, 40, Duration::from_secs(1)),
        () if given.all => (5, 400, Duration::from_secs(10)),
        () => (3, 80, Duration::from_millis(1500)),
    };
    Ok(Options {
        view: given.view,
        everything: given.all,
        calls: given.syscalls || given.all,
        instructions: no_instructions.is_empty(),
        no_instructions,
        rounds: given.rounds.unwrap_or(rounds),
        budget_ms,
        patience,
        allocators,
        workloads,
        out: given.out.unwrap_or_else(fresh_folder),
    })
}

/// A folder that git ignores, named by the second.
fn fresh_folder() -> PathBuf {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("target/comparison/{seconds}"))
}

/// The entries that `names` lists, in the order of `all`; without names, those that `default` accepts.
fn select<T>(
    all: &'static [T],
    names: Option<&str>,
    name: fn(&T) -> &'static str,
    default: impl Fn(&T) -> bool,
) -> Result<Vec<&'static T>, String> {
    let Some(names) = names else {
        return Ok(all.iter().filter(|entry| default(entry)).collect());
    };
    let names: Vec<&str> = names.split(',').collect();
    if let Some(unknown) = names.iter().find(|wanted| !all.iter().any(|entry| name(entry) == **wanted)) {
        return Err(format!("{unknown} is not known; see --list"));
    }
    Ok(all.iter().filter(|entry| names.contains(&name(entry))).collect())
}

pub(crate) fn list() {
    println!("Allocators:");
    for entry in &allocators::ALL {
        println!("  {:24} {:32} {}", entry.name, entry.version().unwrap_or_default(), entry.note);
    }
    println!("Workloads:");
    for workload in &workloads::ALL {
        println!("  {:24} {}", workload.name, workload.note);
    }
}
