//! The raw data: one line of JSON for each process.

use crate::allocators::candidate::{Entry, Kind};
use crate::base::machine;
use crate::options::Options;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// An allocator as the run that made the data knew it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Name {
    pub(crate) name: String,
    pub(crate) whose: Kind,
    pub(crate) version: Option<String>,
    pub(crate) note: String,
}

/// System calls of one child, by name.
#[derive(Clone, Copy, Default, Serialize, Deserialize, PartialEq, Eq, Debug)]
pub(crate) struct Calls {
    pub(crate) brk: u64,
    pub(crate) mmap: u64,
    pub(crate) munmap: u64,
    pub(crate) mremap: u64,
    pub(crate) madvise: u64,
    pub(crate) other: u64,
}

impl Calls {
    pub(crate) fn kinds(&self) -> [(&'static str, u64); 6] {
        let Self { brk, mmap, munmap, mremap, madvise, other } = *self;
        [("brk", brk), ("mmap", mmap), ("munmap", munmap), ("mremap", mremap), ("madvise", madvise), ("other", other)]
    }

    pub(crate) fn sum(&self) -> u64 {
        self.kinds().iter().map(|(_, count)| count).sum()
    }
}

/// What was run.
#[derive(Serialize, Deserialize, Default)]
pub(crate) struct Run {
    pub(crate) machine: String,
    pub(crate) kernel: String,
    pub(crate) seconds_since_1970: u64,
    pub(crate) arguments: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) budget_ms: u64,
    pub(crate) allocators: Vec<Name>,
    pub(crate) workloads: Vec<String>,
    /// How many there were, in a run of several. Older data do not say that there was one.
    #[serde(default)]
    pub(crate) threads: Option<usize>,
}

impl Run {
    /// A run that begins now.
    pub(crate) fn new(options: &Options, budget_ms: u64, entries: &[&'static Entry], workloads: Vec<String>) -> Self {
        let name = |entry: &&'static Entry| Name {
            name: entry.name.to_owned(),
            whose: entry.kind,
            version: entry.version(),
            note: entry.note.to_owned(),
        };
        Self {
            machine: machine::name(),
            kernel: machine::kernel(),
            seconds_since_1970: machine::seconds_since_1970(),
            arguments: std::env::args().skip(1).collect(),
            rounds: options.rounds(),
            budget_ms,
            allocators: entries.iter().map(name).collect(),
            workloads,
            threads: None,
        }
    }
}

/// What one process said of one workload on one allocator.
#[derive(Serialize, Deserialize)]
pub(crate) struct Of<T> {
    pub(crate) workload: String,
    pub(crate) allocator: String,
    #[serde(flatten)]
    pub(crate) said: T,
}

/// The median, the fastest and the slowest of a process's warm rounds, its first round, in nanoseconds per operation, and
/// the clock's cycles per nanosecond just before.
#[derive(Serialize, Deserialize)]
pub(crate) struct Time {
    pub(crate) round: usize,
    pub(crate) warm: f64,
    pub(crate) cold: f64,
    pub(crate) fastest: f64,
    pub(crate) slowest: f64,
    pub(crate) samples: u64,
    /// With several threads: in how many samples each had a processor whenever it wanted one. If there are [`CALM`],
    /// the figures are of those alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) calm: Option<u64>,
    pub(crate) cycles_per_ns: Option<f64>,
}

/// Bytes.
#[derive(Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) peak_resident: u64,
    pub(crate) peak_live: u64,
}

/// Bytes that several threads made resident: at the most, and after all was freed and all of them ended.
#[derive(Serialize, Deserialize)]
pub(crate) struct Resident {
    pub(crate) round: usize,
    pub(crate) peak: u64,
    pub(crate) end: u64,
}

/// System calls of the first round, and of the later ones together.
#[derive(Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) first: Calls,
    pub(crate) warm: Calls,
    pub(crate) warm_rounds: u64,
}

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "lowercase")]
pub(crate) enum Record {
    Run(Run),
    Time(Of<Time>),
    Memory(Of<Memory>),
    Resident(Of<Resident>),
    Calls(Of<Asked>),
    /// Counted by valgrind, or in single steps where the allocator does not run under it.
    Instructions {
        allocator: String,
        per_pair: f64,
        stepped: bool,
    },
    /// How many percent of all processors other programs had during the run.
    Neighbours {
        percent: f64,
    },
    Failed {
        what: String,
        workload: String,
        allocator: String,
        reason: String,
    },
    /// A part of the run that was not done.
    Left {
        what: String,
        reason: String,
    },
}

impl<T> Of<T> {
    pub(crate) fn new(workload: &str, allocator: &str, said: T) -> Self {
        Self { workload: workload.to_owned(), allocator: allocator.to_owned(), said }
    }

    pub(super) fn of(&self, workload: &str, allocator: &str) -> Option<&T> {
        (self.workload == workload && self.allocator == allocator).then_some(&self.said)
    }
}

/// So many samples without a disturbance are enough.
pub(crate) const CALM: usize = 3;

/// The file of a comparison's records.
pub(crate) const COMPARISON: &str = "processes.jsonl";
/// The file of those of several threads.
pub(crate) const THREADS: &str = "threads.jsonl";

/// Writes every record when it comes, so that a run that is ended early keeps what it has.
pub(crate) struct Keeper {
    file: File,
    pub(crate) records: Vec<Record>,
}

impl Keeper {
    pub(crate) fn new(folder: &Path, name: &str) -> Result<Self> {
        let create = || -> std::io::Result<File> {
            std::fs::create_dir_all(folder)?;
            File::create(folder.join(name))
        };
        Ok(Self { file: create().with_context(|| folder.display().to_string())?, records: Vec::new() })
    }

    pub(crate) fn keep(&mut self, record: Record) {
        let line = serde_json::to_string(&record).expect("records have no keys but text");
        if let Err(error) = writeln!(self.file, "{line}") {
            eprintln!("a record was not written: {error}");
        }
        self.records.push(record);
    }
}
