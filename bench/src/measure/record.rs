//! The raw data: one line of JSON for each process, and what is made of them.

use crate::allocators::candidate::Kind;
use crate::base::stats::{self, Process};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

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
    pub(crate) cycles_per_ns: Option<f64>,
}

/// Bytes.
#[derive(Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) peak_resident: u64,
    pub(crate) peak_live: u64,
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
    Calls(Of<Asked>),
    /// Counted by valgrind, or in single steps where the allocator does not run under it.
    Instructions {
        allocator: String,
        per_pair: f64,
        stepped: bool,
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

    fn of(&self, workload: &str, allocator: &str) -> Option<&T> {
        (self.workload == workload && self.allocator == allocator).then_some(&self.said)
    }
}

/// A number of a workload and an allocator.
#[derive(Clone, Copy)]
pub(crate) enum Quantity {
    /// Nanoseconds per operation.
    Warm(Process),
    Cold(Process),
    /// Peak resident over peak live.
    Footprint,
}

/// Everything that a run wrote down.
pub(crate) struct Data {
    pub(crate) run: Run,
    pub(crate) records: Vec<Record>,
}

impl Data {
    pub(crate) fn load(folder: &Path) -> Result<Self> {
        let path = file(folder);
        let read =
            || Self::of(BufReader::new(File::open(&path)?).lines().map(|line| Ok(serde_json::from_str(&line?)?)));
        read().with_context(|| path.display().to_string())
    }

    /// Of records the first of which says what was run.
    pub(super) fn of(records: impl IntoIterator<Item = Result<Record>>) -> Result<Self> {
        let mut records = records.into_iter();
        let Some(Record::Run(run)) = records.next().transpose()? else { bail!("it does not begin with what was run") };
        Ok(Self { run, records: records.collect::<Result<_>>()? })
    }

    pub(crate) fn allocators(&self) -> impl Iterator<Item = &str> + Clone {
        self.run.allocators.iter().map(|name| name.name.as_str())
    }

    pub(crate) fn whose(&self, kind: Kind) -> impl Iterator<Item = &str> {
        self.run.allocators.iter().filter(move |name| name.whose == kind).map(|name| name.name.as_str())
    }

    pub(crate) fn number(&self, quantity: Quantity, workload: &str, allocator: &str) -> Option<f64> {
        match quantity {
            Quantity::Warm(process) => process.of(&self.times(workload, allocator, |time| Some(time.warm))),
            Quantity::Cold(process) => process.of(&self.times(workload, allocator, |time| Some(time.cold))),
            Quantity::Footprint => {
                let footprints = self.memory(workload, allocator);
                stats::median(
                    &footprints.map(|one| one.peak_resident as f64 / one.peak_live as f64).collect::<Vec<_>>(),
                )
            }
        }
    }

    /// What `number` takes of each process.
    pub(crate) fn times(&self, load: &str, name: &str, number: impl Fn(&Time) -> Option<f64>) -> Vec<f64> {
        let times = self.records.iter().filter_map(|record| match record {
            Record::Time(time) => time.of(load, name),
            _ => None,
        });
        times.filter_map(number).collect()
    }

    pub(crate) fn memory(&self, load: &str, name: &str) -> impl Iterator<Item = &Memory> {
        self.records.iter().filter_map(move |record| match record {
            Record::Memory(memory) => memory.of(load, name),
            _ => None,
        })
    }

    pub(crate) fn calls(&self, load: &str, name: &str) -> Option<&Asked> {
        self.records.iter().find_map(|record| match record {
            Record::Calls(calls) => calls.of(load, name),
            _ => None,
        })
    }

    /// Instructions per pair, and whether they were counted in single steps.
    pub(crate) fn instructions(&self, name: &str) -> Option<(f64, bool)> {
        self.records.iter().find_map(|record| match record {
            Record::Instructions { allocator, per_pair, stepped } if allocator == name => Some((*per_pair, *stepped)),
            _ => None,
        })
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("processes.jsonl")
}

/// Writes every record when it comes, so that a run that is ended early keeps what it has.
pub(super) struct Keeper {
    file: File,
    pub(super) records: Vec<Record>,
}

impl Keeper {
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let create = || -> std::io::Result<File> {
            std::fs::create_dir_all(folder)?;
            File::create(file(folder))
        };
        Ok(Self { file: create().with_context(|| folder.display().to_string())?, records: Vec::new() })
    }

    pub(super) fn keep(&mut self, record: Record) {
        let line = serde_json::to_string(&record).expect("records have no keys but text");
        if let Err(error) = writeln!(self.file, "{line}") {
            eprintln!("a record was not written: {error}");
        }
        self.records.push(record);
    }
}
