//! What the command line asks for.

use crate::allocators::{self, Entry};
use crate::workloads::{self, Workload};
use std::path::{Path, PathBuf};

pub(crate) const HELP: &str = "\
Usage: cargo run --release -- [OPTIONS]

  --quick              about one minute instead of several
  --million            also the churn with one million live blocks
  --workload A,B       only these workloads
  --allocator A,B      only these allocators
  --rounds N           processes for each allocator and workload (3; quick: 2)
  --markdown           tables in markdown
  --figures            the size of the static program and the lines of src/, and nothing else
  --growth             how cost grows with live blocks and with the heap's size, and nothing else
  --out DIR            where --growth leaves its numbers and its drawing (target/growth in this folder)
  --tiny               what each allocator adds to one small static program, and nothing else
  --list               the names of all allocators and workloads
";

/// One comparison.
pub(crate) struct Options {
    pub(crate) markdown: bool,
    pub(crate) rounds: usize,
    /// How long one child measures.
    pub(crate) budget_ms: u64,
    pub(crate) allocators: Vec<&'static Entry>,
    pub(crate) workloads: Vec<&'static Workload>,
}

pub(crate) enum Task {
    Help,
    List,
    Figures,
    Tiny,
    Growth { out: PathBuf, quick: bool },
    Compare(Options),
}

pub(crate) fn parse(arguments: &[String]) -> Result<Task, String> {
    let mut rounds = None;
    let (mut quick, mut million, mut markdown) = (false, false, false);
    let (mut allocators, mut workloads) = (None, None);
    let (mut growth, mut out) = (false, None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--help" | "-h" => return Ok(Task::Help),
            "--list" => return Ok(Task::List),
            "--figures" => return Ok(Task::Figures),
            "--growth" => growth = true,
            "--out" => out = Some(PathBuf::from(value()?)),
            "--tiny" => return Ok(Task::Tiny),
            "--quick" => quick = true,
            "--million" => million = true,
            "--markdown" => markdown = true,
            "--rounds" => rounds = Some(value()?.parse().map_err(|_| "--rounds needs a number".to_owned())?),
            "--allocator" => allocators = Some(value()?.clone()),
            "--workload" => workloads = Some(value()?.clone()),
            other => return Err(format!("unknown option {other}")),
        }
    }
    if growth {
        let out = out.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/growth"));
        return Ok(Task::Growth { out, quick });
    }
    let allocators = select(&allocators::ALL, allocators.as_deref(), |entry| entry.name, |_| true)?;
    let workloads = select(&workloads::ALL, workloads.as_deref(), |load| load.name, |load| million || !load.slow)?;
    let rounds = rounds.unwrap_or(if quick { 2 } else { 3 });
    let budget_ms = if quick { 150 } else { 600 };
    Ok(Task::Compare(Options { markdown, rounds, budget_ms, allocators, workloads }))
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
        println!("  {:24} {}", entry.name, entry.note);
    }
    println!("Workloads:");
    for workload in &workloads::ALL {
        println!("  {:24} {}", workload.name, workload.note);
    }
}
