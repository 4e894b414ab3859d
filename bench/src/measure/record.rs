//! The raw data: one line of JSON for each process, and what is made of them.

use crate::base::stats;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// An allocator as the run that made the data knew it.
#[derive(Clone, Serialize, Deserialize, PartialEq, Debug)]
pub(crate) struct Name {
    pub(crate) name: String,
    /// `ours`, `peer` or `boundary`.
    pub(crate) whose: String,
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
    pub(crate) fn sum(&self) -> u64 {
        self.brk + self.mmap + self.munmap + self.mremap + self.madvise + self.other
    }
}

/// One line. Times are nanoseconds per operation.
#[derive(Clone, Serialize, Deserialize, PartialEq, Debug)]
#[serde(tag = "record", rename_all = "lowercase")]
pub(crate) enum Record {
    Run {
        machine: String,
        kernel: String,
        seconds_since_1970: u64,
        arguments: Vec<String>,
        rounds: usize,
        budget_ms: u64,
        allocators: Vec<Name>,
        workloads: Vec<String>,
    },
    /// One process: the median, the fastest and the slowest of its warm rounds, its first round, and the clock's
    /// cycles per nanosecond just before.
    Time {
        workload: String,
        allocator: String,
        round: usize,
        warm: f64,
        cold: f64,
        fastest: f64,
        slowest: f64,
        samples: u64,
        cycles_per_ns: Option<f64>,
    },
    /// One process: bytes.
    Memory {
        workload: String,
        allocator: String,
        peak_resident: u64,
        peak_live: u64,
    },
    Calls {
        workload: String,
        allocator: String,
        first: Calls,
        warm: Calls,
        warm_rounds: u64,
    },
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

/// Everything that a run wrote down.
#[derive(Default)]
pub(crate) struct Data {
    pub(crate) records: Vec<Record>,
}

/// Numbers of one workload and allocator, one of each process.
type Numbers = Vec<f64>;

impl Data {
    pub(crate) fn load(folder: &Path) -> Result<Self, String> {
        let path = file(folder);
        let show = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let mut records = Vec::new();
        for line in BufReader::new(File::open(&path).map_err(|error| show(&error))?).lines() {
            let line = line.map_err(|error| show(&error))?;
            records.push(serde_json::from_str(&line).map_err(|error| show(&error))?);
        }
        if !matches!(records.first(), Some(Record::Run { .. })) {
            return Err(format!("{} does not begin with what was run", path.display()));
        }
        Ok(Self { records })
    }

    pub(crate) fn allocators(&self) -> &[Name] {
        match self.records.first() {
            Some(Record::Run { allocators, .. }) => allocators,
            _ => &[],
        }
    }

    /// The names of this repository's heaps.
    pub(crate) fn ours(&self) -> impl Iterator<Item = &str> {
        self.allocators().iter().filter(|name| name.whose == "ours").map(|name| name.name.as_str())
    }

    pub(crate) fn workloads(&self) -> &[String] {
        match self.records.first() {
            Some(Record::Run { workloads, .. }) => workloads,
            _ => &[],
        }
    }

    /// What `number` takes from every process of this workload and allocator.
    fn numbers(&self, load: &str, name: &str, number: impl Fn(&Record) -> Option<f64>) -> Numbers {
        let wanted = |record: &&Record| match record {
            Record::Time { workload, allocator, .. } | Record::Memory { workload, allocator, .. } => {
                workload == load && allocator == name
            }
            _ => false,
        };
        self.records.iter().filter(wanted).filter_map(number).collect()
    }

    pub(crate) fn warm(&self, workload: &str, allocator: &str) -> Numbers {
        let warm = |record: &Record| if let Record::Time { warm, .. } = record { Some(*warm) } else { None };
        self.numbers(workload, allocator, warm)
    }

    pub(crate) fn cold(&self, workload: &str, allocator: &str) -> Numbers {
        let cold = |record: &Record| if let Record::Time { cold, .. } = record { Some(*cold) } else { None };
        self.numbers(workload, allocator, cold)
    }

    /// Cycles per operation of each process, by its own clock.
    pub(crate) fn cycles(&self, workload: &str, allocator: &str) -> Numbers {
        let cycles = |record: &Record| match record {
            Record::Time { warm, cycles_per_ns: Some(clock), .. } => Some(warm * clock),
            _ => None,
        };
        self.numbers(workload, allocator, cycles)
    }

    /// Peak resident over peak live.
    pub(crate) fn footprint(&self, workload: &str, allocator: &str) -> Option<f64> {
        let footprint = |record: &Record| match record {
            Record::Memory { peak_resident, peak_live, .. } => Some(*peak_resident as f64 / *peak_live as f64),
            _ => None,
        };
        stats::median(&self.numbers(workload, allocator, footprint))
    }

    /// Bytes requested that were live at most.
    pub(crate) fn peak_live(&self, load: &str, name: &str) -> Option<u64> {
        self.records.iter().find_map(|record| match record {
            Record::Memory { workload, allocator, peak_live, .. } if workload == load && allocator == name => {
                Some(*peak_live)
            }
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
pub(crate) struct Keeper {
    file: File,
    pub(crate) data: Data,
}

impl Keeper {
    pub(crate) fn new(folder: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let file = File::create(file(folder)).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self { file, data: Data::default() })
    }

    pub(crate) fn keep(&mut self, record: Record) {
        let line = serde_json::to_string(&record).expect("records have no keys but text");
        if let Err(error) = writeln!(self.file, "{line}") {
            eprintln!("a record was not written: {error}");
        }
        self.data.records.push(record);
    }
}
