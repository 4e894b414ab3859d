//! What is made of a comparison's raw data: tables, charts and a file of cells.

mod cells;
mod chart;
mod columns;
mod pairs;
mod summary;
mod syscalls;
mod tables;
#[cfg(test)]
mod tests;
mod threads;

pub(crate) use threads::show_threads;

use crate::base::stats::Process;
use crate::measure::data::Data;
use anyhow::Result;
use std::path::Path;

/// Prints the tables, draws the charts and writes the cells.
pub(crate) fn show(data: &Data, folder: &Path, process: Process, markdown: bool) -> Result<()> {
    tables::print(data, process, markdown);
    chart::draw(data, folder, process)?;
    cells::write(data, &folder.join("cells.csv"))?;
    println!("\nRaw data and charts: {}", folder.display());
    Ok(())
}
