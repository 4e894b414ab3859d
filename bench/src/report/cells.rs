//! One line for each allocator and workload: what its processes said, the middle one and how far they lie apart.

use crate::base::stats;
use crate::measure::record::Data;
use std::fmt::Write;
use std::path::Path;

const HEADER: &str = "workload,allocator,processes,warm_ns,warm_least,warm_most,cold_ns,cold_least,cold_most,footprint";

/// Writes `cells.csv`. Names have no commas.
pub(crate) fn write(data: &Data, folder: &Path) -> Result<(), String> {
    let path = folder.join("cells.csv");
    std::fs::write(&path, text(data)).map_err(|error| format!("{}: {error}", path.display()))
}

fn text(data: &Data) -> String {
    let mut text = format!("{HEADER}\n");
    for workload in data.workloads() {
        for name in data.allocators().iter().map(|name| &name.name) {
            let (warm, cold) = (data.warm(workload, name), data.cold(workload, name));
            write!(text, "{workload},{name},{}", warm.len()).expect("text grows");
            for times in [&warm, &cold] {
                for number in [stats::median(times), stats::smallest(times), stats::largest(times)] {
                    cell(&mut text, number);
                }
            }
            cell(&mut text, data.footprint(workload, name));
            text.push('\n');
        }
    }
    text
}

/// An empty cell where there is no number.
fn cell(text: &mut String, number: Option<f64>) {
    text.push(',');
    if let Some(number) = number {
        write!(text, "{number:.4}").expect("text grows");
    }
}
