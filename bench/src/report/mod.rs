//! From raw data to tables.

pub(crate) mod cells;
pub(crate) mod chart;
mod ours;
mod pairs;
mod summary;
mod syscalls;

use crate::base::stats;
use crate::base::table::{number, section, title};
use crate::measure::record::{Data, Name, Record};
use crate::options::View;

/// The columns that are counted as "the eleven"; all others stand after them.
pub(crate) const ELEVEN: [&str; 11] =
    ["pair", "stack64", "churn-10k", "churn-1m", "fifo", "rand", "vec2x", "vec1", "large", "trace-gcc", "trace-python"];

/// Prints everything that the data hold.
pub(crate) fn print(data: &Data, view: View) {
    let View { markdown, process } = view;
    head(data);
    let eleven: Vec<&str> = ELEVEN.into_iter().filter(|column| data.workloads().iter().any(|w| w == column)).collect();
    let others: Vec<&str> = data.workloads().iter().map(String::as_str).filter(|w| !ELEVEN.contains(w)).collect();
    let warm = |workload: &str, allocator: &str| process.of(&data.warm(workload, allocator));
    let cold = |workload: &str, allocator: &str| process.of(&data.cold(workload, allocator));
    let footprint = |workload: &str, allocator: &str| data.footprint(workload, allocator);
    let who = format!("the {} process", process.name());
    for columns in [&eleven, &others] {
        let title = format!("ns per operation, warm: {who}'s median (ratio to the best of this run)");
        grid(data, columns, &title, true, &warm, markdown);
    }
    for columns in [&eleven, &others] {
        let title = format!("ns per operation, cold: {who}'s first round (ratio to the best of this run)");
        grid(data, columns, &title, true, &cold, markdown);
    }
    for columns in [&eleven, &others] {
        grid(data, columns, "peak resident / peak live requested", false, &footprint, markdown);
    }
    ours::print(data, [&eleven, &others], view);
    pairs::print(data, view);
    syscalls::print(data, markdown);
    print!("{}", title("summary", markdown));
    for line in summary::lines(data, &eleven, &others, process) {
        println!("{line}");
    }
    println!();
    spread(data);
    remarks(data);
}

fn head(data: &Data) {
    if let Some(Record::Run { machine, kernel, rounds, budget_ms, .. }) = data.records.first() {
        println!("{machine}, Linux {kernel}; {rounds} processes of {budget_ms} ms for each allocator and workload");
    }
    let mut versions: Vec<&str> = data.allocators().iter().filter_map(|name| name.version.as_deref()).collect();
    versions.dedup();
    println!("{}\n", versions.join(", "));
}

/// A row for each allocator, a column for each workload. The boundary's row is last and never the best.
fn grid(
    data: &Data,
    columns: &[&str],
    text: &str,
    ratios: bool,
    value: &impl Fn(&str, &str) -> Option<f64>,
    markdown: bool,
) {
    let is_filled = |column: &&str| data.allocators().iter().any(|name| value(column, &name.name).is_some());
    let columns: Vec<&str> = columns.iter().copied().filter(is_filled).collect();
    if columns.is_empty() {
        return;
    }
    let best = |column: &str| {
        let real = data.allocators().iter().filter(|name| name.whose != "boundary");
        stats::smallest(&real.filter_map(|name| value(column, &name.name)).collect::<Vec<_>>())
    };
    let cell = |column: &str, name: &Name| match (value(column, &name.name), best(column)) {
        (None, _) => "-".to_owned(),
        (Some(value), Some(best)) if ratios => format!("{} ({:.2})", number(value), value / best),
        (Some(value), _) => number(value),
    };
    let row = |name: &Name| {
        let cells = columns.iter().map(|column| cell(column, name));
        [name.name.clone()].into_iter().chain(cells).collect::<Vec<_>>()
    };
    let header = [String::new()].into_iter().chain(columns.iter().map(|&column| column.to_owned()));
    let shown = data.allocators().iter().filter(|name| ratios || name.whose != "boundary");
    print!("{}", section(text, header.collect(), shown.map(row).collect(), markdown));
}

/// How far the processes of one cell lie apart.
fn spread(data: &Data) {
    let mut spreads = Vec::new();
    for workload in data.workloads() {
        for name in data.allocators() {
            let warm = data.warm(workload, &name.name);
            if let (true, Some(low), Some(high)) = (warm.len() > 1, stats::smallest(&warm), stats::largest(&warm)) {
                spreads.push((high / low, format!("{} on {workload}", name.name)));
            }
        }
    }
    let ratios: Vec<f64> = spreads.iter().map(|(ratio, _)| *ratio).collect();
    let widest = spreads.iter().max_by(|left, right| left.0.total_cmp(&right.0));
    if let (Some(median), Some((widest, cell))) = (stats::median(&ratios), widest) {
        println!(
            "The slowest process's median over the fastest's, warm: {median:.2} in the middle cell, {widest:.2} in the \
             widest ({cell}), above 1.10 in {} of {}.",
            ratios.iter().filter(|&&ratio| ratio > 1.10).count(),
            ratios.len()
        );
    }
}

/// What failed and what was left out.
fn remarks(data: &Data) {
    for record in &data.records {
        match record {
            Record::Failed { what, workload, allocator, reason } => {
                println!("- {allocator} on {workload} ({what}): {reason}");
            }
            Record::Left { what, reason } => println!("- {what}: {reason}"),
            _ => {}
        }
    }
}
