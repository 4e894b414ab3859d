//! Each thread does rounds of a workload on a table of live blocks. The table stays with it, or goes to the next thread
//! after each pass, whose frees are then of blocks that another thread allocated.

use super::meet::Apart;
use super::team::Work;
use crate::allocators::candidate::Entry;
use crate::base::probe::FirstWord;
use crate::base::random::SEED;
use crate::workloads::run::Run;
use crate::workloads::workload::Workload;
use std::sync::{Mutex, MutexGuard};

/// Whose table a thread works on in the next pass.
#[derive(Clone, Copy)]
pub(super) enum Tables {
    Own,
    HandedOn,
}

pub(super) struct Rounds {
    runs: Vec<Apart<Mutex<Run<FirstWord>>>>,
    tables: Tables,
}

impl Rounds {
    pub(super) fn new(entry: &'static Entry, threads: usize, workload: &Workload, tables: Tables) -> Self {
        let run = |index| Run::prepared(workload, entry, || FirstWord, SEED.rotate_left(index as u32 * 7));
        Self { runs: (0..threads).map(|index| Apart(Mutex::new(run(index)))).collect(), tables }
    }

    fn table(&self, number: usize) -> MutexGuard<'_, Run<FirstWord>> {
        self.runs[number % self.runs.len()].0.lock().expect("no thread panics")
    }
}

impl Work for Rounds {
    fn pass(&self, thread: usize, pass: usize) -> usize {
        match self.tables {
            Tables::Own => self.table(thread).round(),
            Tables::HandedOn => self.table(thread + pass).round(),
        }
    }

    fn drain(&self, thread: usize) {
        self.table(thread).drain();
    }
}
