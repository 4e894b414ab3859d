//! What the command line asks for.

mod names;

pub(crate) use names::{Column, Part, Program};

use crate::allocators;
use crate::allocators::candidate::Entry;
use crate::base::machine;
use crate::base::stats::Process;
use crate::workloads::workload::{Tier, Workload};
use crate::workloads::{self, PAIR};
use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// It is a library of the system's, and not among the peers that are linked.
const TCMALLOC: &str = "tcmalloc";

/// Without options: time and memory of every allocator on nearly every workload, and instructions per pair; under five
/// minutes.
#[derive(Parser)]
#[command(bin_name = "cargo run --release --", args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// About a minute: shorter, fewer workloads, no instructions. With --memory, all of it smaller
    #[arg(long)]
    pub(crate) quick: bool,
    /// Everything: all workloads, more processes, system calls, then --threads, --growth, --tiny, --memory, --misuse and --programs
    #[arg(long, conflicts_with = "quick")]
    pub(crate) all: bool,
    /// The churn of a million blocks with --quick too
    #[arg(long)]
    million: bool,
    /// Only these workloads
    #[arg(long, value_name = "A,B", value_delimiter = ',', hide_possible_values = true)]
    #[arg(value_parser = PossibleValuesParser::new(workloads::ALL.iter().map(|load| load.name)))]
    workload: Vec<String>,
    /// Only these allocators
    #[arg(long, value_name = "A,B", value_delimiter = ',', hide_possible_values = true)]
    #[arg(value_parser = PossibleValuesParser::new(allocators::ALL.iter().map(|entry| entry.name).chain([TCMALLOC])))]
    allocator: Vec<String>,
    /// Processes for each allocator and workload [default: 3; quick: 2; all: 5]
    #[arg(long, value_name = "N")]
    rounds: Option<NonZeroUsize>,
    /// Count system calls too
    #[arg(long)]
    syscalls: bool,
    /// Count no instructions, which needs valgrind
    #[arg(long)]
    no_callgrind: bool,
    /// Tables and charts by the best process of each cell instead of the middle one
    #[arg(long)]
    best: bool,
    /// Tables in markdown
    #[arg(long)]
    pub(crate) markdown: bool,
    /// Where raw data and charts go [default: a new folder below target/comparison/]
    #[arg(long, value_name = "DIR", default_value_os_t = fresh_folder(), hide_default_value = true)]
    pub(crate) out: PathBuf,
    /// With --memory, only these parts
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(crate) part: Vec<Part>,
    /// With --threads, only these columns
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    column: Vec<Column>,
    /// With --programs, only these
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    program: Vec<Program>,
    /// With --memory: how long a process is idle after its bursts
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    pub(crate) rest: Duration,
    #[command(flatten)]
    pub(crate) instead: Instead,
}

/// What is done instead of a comparison, if anything.
#[derive(Args)]
#[group(multiple = false)]
#[command(next_help_heading = "Instead of all that")]
pub(crate) struct Instead {
    /// How cost grows with live blocks and with the heap's size (with --quick: its first half)
    #[arg(long)]
    pub(crate) growth: bool,
    /// Resident memory after bursts and patterns, calls at a limit and in a large address space
    #[arg(long)]
    pub(crate) memory: bool,
    /// Wrong frees: what each allocator does about them
    #[arg(long)]
    pub(crate) misuse: bool,
    /// Several threads: time per call and resident memory. N is even [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = even)]
    threads: Option<Option<usize>>,
    /// What each allocator adds to one small static program
    #[arg(long)]
    pub(crate) tiny: bool,
    /// Whole programs: time and peak memory of those that are installed, with malloc preloaded, and of some in Rust
    #[arg(long)]
    pub(crate) programs: bool,
    /// Measure nothing: tables and charts from the raw data in DIR
    #[arg(long, value_name = "DIR")]
    pub(crate) from: Option<PathBuf>,
    /// The size of the static program and the lines of src/
    #[arg(long)]
    pub(crate) figures: bool,
    /// Is every allocator's memory good, and are calls and instructions counted right
    #[arg(long)]
    pub(crate) self_test: bool,
    /// The names of all allocators and workloads
    #[arg(long)]
    pub(crate) list: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Pack and show traces
    #[command(subcommand)]
    Trace(Trace),
}

#[derive(Subcommand)]
pub(crate) enum Trace {
    /// Make one trace of what the recorder wrote, processes in the order in which they began
    Pack {
        /// The first N calls only
        #[arg(long, value_name = "N")]
        first: Option<usize>,
        out: PathBuf,
        /// Files, or folders of them
        #[arg(required = true)]
        inputs: Vec<PathBuf>,
    },
    /// Print what a trace holds
    Show {
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

impl Instead {
    /// How many threads there are to be, if several threads are to be measured.
    pub(crate) fn threads(&self) -> Option<usize> {
        Some(self.threads?.unwrap_or_else(machine::even_processors))
    }
}

impl Options {
    pub(crate) fn process(&self) -> Process {
        if self.best { Process::Best } else { Process::Middle }
    }

    /// The allocators that are named, or those of which `usual` is true, in the order of all.
    pub(crate) fn allocators(&self, usual: impl Fn(&Entry) -> bool) -> Vec<&'static Entry> {
        let is_wanted = |entry: &&Entry| match &self.allocator[..] {
            [] => usual(entry),
            names => names.iter().any(|name| name == entry.name),
        };
        allocators::ALL.iter().filter(is_wanted).collect()
    }

    pub(crate) fn workloads(&self) -> Vec<&'static Workload> {
        let tier = self.by_tier(Tier::Quick, Tier::Usual, Tier::All);
        let is_wanted = |load: &&Workload| match &self.workload[..] {
            [] => load.tier <= tier || (self.million && load.slow),
            names => names.iter().any(|name| name == load.name),
        };
        workloads::ALL.iter().filter(is_wanted).collect()
    }

    /// The columns of `--threads`.
    pub(crate) fn columns(&self) -> &[Column] {
        if self.column.is_empty() { Column::value_variants() } else { &self.column }
    }

    /// The programs of `--programs`.
    pub(crate) fn programs(&self) -> &[Program] {
        if self.program.is_empty() { Program::value_variants() } else { &self.program }
    }

    /// Whether an allocator of `--programs` is to be measured there.
    pub(crate) fn is_preloaded(&self, name: &str) -> bool {
        self.allocator.is_empty() || self.allocator.iter().any(|wanted| wanted == name)
    }

    /// That nothing is asked for which would be left out without a word.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let is_elsewhere = !self.instead.programs && !self.allocator.is_empty() && self.is_preloaded(TCMALLOC);
        anyhow::ensure!(!is_elsewhere, "{TCMALLOC} is only in --programs");
        Ok(())
    }

    pub(crate) fn rounds(&self) -> usize {
        self.rounds.map_or(self.by_tier(2, 3, 5), NonZeroUsize::get)
    }

    /// How long one child measures.
    pub(crate) fn budget_ms(&self) -> u64 {
        self.by_tier(40, 80, 300)
    }

    /// How much longer than that a child may take to set up and to end.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_millis(self.by_tier(1000, 1500, 2000))
    }

    /// Whether system calls are counted.
    pub(crate) fn calls(&self) -> bool {
        self.syscalls || self.all
    }

    /// Why no instructions are counted, if none are.
    pub(crate) fn no_instructions(&self) -> Option<&'static str> {
        match () {
            () if self.no_callgrind => Some("left out by --no-callgrind"),
            () if self.quick => Some("left out by --quick"),
            () if !self.workloads().iter().any(|load| load.name == PAIR) => Some("left out without workload pair"),
            () => None,
        }
    }

    fn by_tier<T>(&self, quick: T, usual: T, all: T) -> T {
        match () {
            () if self.quick => quick,
            () if self.all => all,
            () => usual,
        }
    }
}

fn seconds(text: &str) -> anyhow::Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

/// Some threads work in pairs.
fn even(text: &str) -> anyhow::Result<usize> {
    let count: usize = text.parse()?;
    anyhow::ensure!(count > 0 && count.is_multiple_of(2), "some threads work in pairs: an even number");
    Ok(count)
}

/// A folder that git ignores, named by the second.
fn fresh_folder() -> PathBuf {
    let folder = format!("target/comparison/{}", machine::seconds_since_1970());
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder)
}

#[cfg(test)]
mod tests;
