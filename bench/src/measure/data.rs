//! What a run wrote down, and the numbers that are made of it.

use super::record::{Asked, CALM, Memory, Record, Resident, Run, Time};
use crate::allocators::candidate::Kind;
use crate::base::stats::{self, Process};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// A number of a workload and an allocator.
#[derive(Clone, Copy)]
pub(crate) enum Quantity {
    /// Nanoseconds per operation.
    Warm(Process),
    Cold(Process),
    /// Peak resident over peak live.
    Footprint,
    /// MiB resident at the most, with several threads.
    Peak(Process),
    /// MiB resident after all was freed, with several threads.
    End(Process),
}

/// Everything that a run wrote down.
pub(crate) struct Data {
    pub(crate) run: Run,
    pub(crate) records: Vec<Record>,
}

impl Data {
    /// What the file of this name holds.
    pub(crate) fn load(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(name);
        let read =
            || Self::of(BufReader::new(File::open(&path)?).lines().map(|line| Ok(serde_json::from_str(&line?)?)));
        read().with_context(|| path.display().to_string())
    }

    /// Of records the first of which says what was run.
    pub(crate) fn of(records: impl IntoIterator<Item = Result<Record>>) -> Result<Self> {
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
            Quantity::Peak(process) => process.of(&self.resident(workload, allocator, |resident| resident.peak)),
            Quantity::End(process) => process.of(&self.resident(workload, allocator, |resident| resident.end)),
        }
    }

    /// MiB of each process.
    fn resident(&self, load: &str, name: &str, bytes: impl Fn(&Resident) -> u64) -> Vec<f64> {
        let all = self.records.iter().filter_map(|record| match record {
            Record::Resident(resident) => resident.of(load, name),
            _ => None,
        });
        all.map(|resident| bytes(resident) as f64 / f64::from(1 << 20)).collect()
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

    /// Of how many processes with several threads the figures are of disturbed samples too, and of how many they are.
    pub(crate) fn disturbed(&self) -> (usize, usize) {
        let calm = self.records.iter().filter_map(|record| match record {
            Record::Time(time) => time.said.calm,
            _ => None,
        });
        let calm: Vec<u64> = calm.collect();
        (calm.iter().filter(|&&calm| calm < CALM as u64).count(), calm.len())
    }

    /// Instructions per pair, and whether they were counted in single steps.
    pub(crate) fn instructions(&self, name: &str) -> Option<(f64, bool)> {
        self.records.iter().find_map(|record| match record {
            Record::Instructions { allocator, per_pair, stepped } if allocator == name => Some((*per_pair, *stepped)),
            _ => None,
        })
    }
}
