//! What the command line asks for.

mod help;
#[cfg(test)]
mod tests;

pub(crate) use help::HELP;

use crate::allocators::{self, Entry};
use crate::base::stats::Process;
use crate::memory;
use crate::workloads::{self, Tier, Workload};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

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
    Tiny { markdown: bool },
    Growth { out: PathBuf, quick: bool, markdown: bool },
    Memory(memory::Options),
    From { folder: PathBuf, view: View },
    Compare(Options),
}

/// What is done instead of a comparison, if anything.
#[derive(Default)]
enum Instead {
    #[default]
    Nothing,
    Figures,
    SelfTest,
    Tiny,
    Growth,
    Memory,
    From(PathBuf),
}

/// What was given on the command line, before it is known what follows from it.
#[derive(Default)]
struct Given {
    instead: Instead,
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
    parts: Option<String>,
    rest: Option<Duration>,
}

pub(crate) fn parse(arguments: &[String]) -> Result<Task, String> {
    let mut given = Given::default();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().cloned().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--help" | "-h" => return Ok(Task::Help),
            "--list" => return Ok(Task::List),
            "--figures" => given.instead = Instead::Figures,
            "--self-test" => given.instead = Instead::SelfTest,
            "--tiny" => given.instead = Instead::Tiny,
            "--growth" => given.instead = Instead::Growth,
            "--memory" => given.instead = Instead::Memory,
            "--part" => given.parts = Some(value()?),
            "--rest" => given.rest = Some(seconds(&value()?)?),
            "--from" => given.instead = Instead::From(value()?.into()),
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
            other => return Err(format!("unknown option {other}")),
        }
    }
    task(given)
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number > 0).ok_or(format!("--rounds needs a number above 0, not {text}"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or(format!("--rest needs seconds, not {text}"))
}

fn task(mut given: Given) -> Result<Task, String> {
    let View { markdown, .. } = given.view;
    Ok(match std::mem::take(&mut given.instead) {
        Instead::Nothing => Task::Compare(options(given)?),
        Instead::Figures => Task::Figures,
        Instead::SelfTest => Task::SelfTest,
        Instead::Tiny => Task::Tiny { markdown },
        Instead::Growth => Task::Growth { out: given.out.unwrap_or_else(fresh_folder), quick: given.quick, markdown },
        Instead::Memory => Task::Memory(memory_options(given)?),
        Instead::From(folder) => Task::From { folder, view: given.view },
    })
}

fn memory_options(given: Given) -> Result<memory::Options, String> {
    let defaults = memory::Options::default();
    let is_usual = |entry: &Entry| memory::ALLOCATORS.contains(&entry.name);
    Ok(memory::Options {
        quick: given.quick,
        markdown: given.view.markdown,
        rest: given.rest.unwrap_or(defaults.rest),
        parts: select(&memory::Part::ALL, given.parts.as_deref(), |part| part.name(), |_| true)?,
        allocators: select(&allocators::ALL, given.allocators.as_deref(), |entry| entry.name, is_usual)?,
    })
}

fn options(given: Given) -> Result<Options, String> {
    if given.quick && given.all {
        return Err("--quick and --all exclude each other".to_owned());
    }
    let tier = match () {
        () if given.quick => Tier::Quick,
        () if given.all => Tier::All,
        () => Tier::Usual,
    };
    let allocators = select(&allocators::ALL, given.allocators.as_deref(), |entry| entry.name, |_| true)?;
    let workloads = select(
        &workloads::ALL,
        given.workloads.as_deref(),
        |load| load.name,
        |load| load.tier <= tier || (given.million && load.slow),
    )?;
    let no_instructions = match () {
        () if given.no_callgrind => "left out by --no-callgrind",
        () if given.quick => "left out by --quick",
        () if !workloads.iter().any(|load| load.name == crate::measure::callgrind::WORKLOAD) => {
            "left out without workload pair"
        }
        () => "",
    };
    let (rounds, budget_ms, patience) = match tier {
        Tier::Quick => (2, 40, Duration::from_secs(1)),
        Tier::All => (5, 300, Duration::from_secs(2)),
        _ => (3, 80, Duration::from_millis(1500)),
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
        println!("  {:24} {}{}", workload.name, workload.note, workload.tier.remark());
    }
}
