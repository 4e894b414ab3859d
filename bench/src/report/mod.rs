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

use crate::base::stats::Process;
use crate::measure::record::Data;
use anyhow::Result;
use std::path::Path;

/// Prints the tables, draws the charts and writes the cells.
pub(crate) fn show(data: &Data, folder: &Path, process: Process, markdown: bool) -> Result<()> {
    tables::print(data, process, markdown);
    chart::draw(data, folder, process)?;
    cells::write(data, folder)?;
    println!("\nRaw data and charts: {}", folder.display());
    Ok(())
}
