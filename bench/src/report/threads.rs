//! Tables and a chart of several threads.

use super::tables::{grid, head, ours, remarks, spread};
use super::{cells, chart};
use crate::base::stats::Process;
use crate::measure::data::{Data, Quantity};
use crate::measure::record::Record;
use anyhow::Result;
use std::path::Path;

/// Prints the tables, draws the chart and writes the cells.
pub(crate) fn show_threads(data: &Data, folder: &Path, process: Process, markdown: bool) -> Result<()> {
    head(data);
    let columns: Vec<&str> = data.run.workloads.iter().map(String::as_str).collect();
    let (time, peak, end) = (Quantity::Warm(process), Quantity::Peak(process), Quantity::End(process));
    let text = format!("wall ns per call, the {} process's median (ratio to the best of this run)", process.name());
    grid(data, &columns, &text, time, markdown);
    grid(data, &columns, "resident at the most, MiB", peak, markdown);
    grid(data, &columns, "resident at the end, when all is freed and no thread is left, MiB", end, markdown);
    ours(data, &columns, "time, to the best peer", time, markdown);
    ours(data, &columns, "resident at the most, to the best peer's", peak, markdown);
    spread(data);
    disturbance(data);
    remarks(data);
    let title = "Several threads: wall time per call, to the best peer (below 1: faster)";
    chart::draw_one(data, &folder.join("threads.svg"), title, time)?;
    cells::write(data, &folder.join("threads.csv"))?;
    println!("\nRaw data and chart of several threads: {}", folder.display());
    Ok(())
}

/// How far the figures can be believed.
fn disturbance(data: &Data) {
    let percent = data.records.iter().find_map(|record| match record {
        Record::Neighbours { percent } => Some(*percent),
        _ => None,
    });
    let (disturbed, all) = data.disturbed();
    println!(
        "Neighbours had {} % of the processors meanwhile; {disturbed} of {all} processes were disturbed in nearly all \
         samples.",
        percent.map_or("unknown".to_owned(), |percent| format!("{percent:.0}"))
    );
}
