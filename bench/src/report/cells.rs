//! One line for each allocator and workload: what its processes said, the middle one and how far they lie apart.

use crate::base::stats;
use crate::measure::data::{Data, Quantity};
use anyhow::{Context, Result};
use std::path::Path;

const HEADER: &str = "workload,allocator,processes,warm_ns,warm_least,warm_most,cold_ns,cold_least,cold_most,footprint";

/// Writes the file at `path`. Names have no commas.
pub(super) fn write(data: &Data, path: &Path) -> Result<()> {
    let mut text = format!("{HEADER}\n");
    for workload in &data.run.workloads {
        data.allocators().for_each(|name| text += &line(data, workload, name));
    }
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

/// An empty cell where there is no number.
fn line(data: &Data, workload: &str, name: &str) -> String {
    let warm = data.times(workload, name, |time| Some(time.warm));
    let cold = data.times(workload, name, |time| Some(time.cold));
    let spread = |times: &[f64]| [stats::median(times), stats::smallest(times), stats::largest(times)];
    let footprint = [data.number(Quantity::Footprint, workload, name)];
    let numbers = [&spread(&warm)[..], &spread(&cold), &footprint].concat();
    let cells = numbers.iter().map(|number| number.map_or(String::new(), |number| format!("{number:.4}")));
    format!("{workload},{name},{},{}\n", warm.len(), cells.collect::<Vec<_>>().join(","))
}
