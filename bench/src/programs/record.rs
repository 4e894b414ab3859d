//! The raw data: one line of JSON for each process.

use super::job::Figures;
use crate::options::Program;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

/// The file of these records.
pub(crate) const FILE: &str = "programs.jsonl";

/// What was run.
#[derive(Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) machine: String,
    pub(super) kernel: String,
    pub(super) seconds_since_1970: u64,
    pub(super) rounds: usize,
    pub(super) quick: bool,
    pub(super) programs: Vec<Program>,
    pub(super) allocators: Vec<String>,
    /// Of allocators and programs, as the system's packages name them.
    pub(super) versions: Vec<String>,
}

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "lowercase")]
pub(super) enum Record {
    Run(Run),
    Process {
        program: Program,
        allocator: String,
        round: usize,
        #[serde(flatten)]
        figures: Figures,
    },
    /// What cannot be had here: a program, an allocator.
    Missing {
        what: String,
        reason: String,
    },
    /// A process that did not end well, without the allocator, or with another output than the others.
    Failed {
        program: Program,
        allocator: String,
        reason: String,
    },
    /// How many percent of all processors other programs had during the run.
    Neighbours {
        percent: f64,
    },
}

/// Everything that a run wrote down.
pub(super) struct Data {
    pub(super) run: Run,
    pub(super) records: Vec<Record>,
    file: Option<File>,
}

impl Data {
    /// Of a run that begins. Every record is written when it comes.
    pub(super) fn begin(folder: &Path, run: Run) -> Result<Self> {
        let create = || -> std::io::Result<File> {
            std::fs::create_dir_all(folder)?;
            File::create(folder.join(FILE))
        };
        let mut file = create().with_context(|| folder.display().to_string())?;
        let first = Record::Run(run);
        writeln!(file, "{}", serde_json::to_string(&first)?)?;
        let Record::Run(run) = first else { unreachable!("it was made above") };
        Ok(Self { run, records: Vec::new(), file: Some(file) })
    }

    pub(super) fn keep(&mut self, record: Record) -> Result<()> {
        if let Some(file) = &mut self.file {
            writeln!(file, "{}", serde_json::to_string(&record)?)?;
        }
        self.records.push(record);
        Ok(())
    }

    /// Of a run that has ended.
    pub(super) fn of(run: Run, records: Vec<Record>) -> Self {
        Self { run, records, file: None }
    }

    pub(super) fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let read = || -> Result<Self> {
            let lines = BufReader::new(File::open(&path)?).lines();
            let mut records = lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect::<Result<Vec<Record>>>()?;
            if records.is_empty() {
                bail!("it is empty");
            }
            let Record::Run(run) = records.remove(0) else { bail!("it does not begin with what was run") };
            Ok(Self::of(run, records))
        };
        read().with_context(|| path.display().to_string())
    }

    /// What the processes of a program on an allocator needed.
    pub(super) fn figures(&self, program: Program, allocator: &str) -> impl Iterator<Item = &Figures> {
        self.records.iter().filter_map(move |record| match record {
            Record::Process { program: other, allocator: name, figures, .. }
                if *other == program && name == allocator =>
            {
                Some(figures)
            }
            _ => None,
        })
    }

    pub(super) fn failures(&self) -> usize {
        self.records.iter().filter(|record| matches!(record, Record::Failed { .. })).count()
    }
}
