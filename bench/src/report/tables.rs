//! From raw data to tables.

use super::columns::{best_peer, groups, ratio};
use super::{pairs, summary, syscalls};
use crate::allocators::candidate::Kind;
use crate::base::machine;
use crate::base::stats::{self, Process};
use crate::base::table::{Table, cell, number, title};
use crate::measure::data::{Data, Quantity};
use crate::measure::record::Record;

/// Prints everything that the data hold.
pub(super) fn print(data: &Data, process: Process, markdown: bool) {
    head(data);
    let (warm, cold) = (Quantity::Warm(process), Quantity::Cold(process));
    let of = |what| format!("{what} (ratio to the best of this run)");
    let process_name = process.name();
    let warm_text = of(format!("ns per operation, warm: the {process_name} process's median"));
    let cold_text = of(format!("ns per operation, cold: the {process_name} process's first round"));
    for (text, quantity) in
        [(&*warm_text, warm), (&cold_text, cold), ("peak resident / peak live requested", Quantity::Footprint)]
    {
        groups(data).iter().for_each(|columns| grid(data, columns, text, quantity, markdown));
    }
    for (text, quantity) in [
        ("time, warm, to the best peer", warm),
        ("time, cold, to the best peer", cold),
        ("memory, footprint to the best peer's", Quantity::Footprint),
    ] {
        groups(data).iter().for_each(|columns| ours(data, columns, text, quantity, markdown));
    }
    pairs::print(data, process, markdown);
    syscalls::print(data, markdown);
    print!("{}", title("summary", markdown));
    summary::lines(data, process).iter().for_each(|line| println!("{line}"));
    println!();
    spread(data);
    remarks(data);
}

pub(super) fn head(data: &Data) {
    let run = &data.run;
    let (machine, kernel, rounds, budget) = (&run.machine, &run.kernel, run.rounds, run.budget_ms);
    let threads = run.threads.map_or(String::new(), |count| format!(" with {count} threads"));
    let date = machine::date(run.seconds_since_1970);
    println!(
        "{machine}, Linux {kernel}; {date}; {rounds} processes of {budget} ms{threads} for each allocator and workload"
    );
    let mut versions: Vec<&str> = run.allocators.iter().filter_map(|name| name.version.as_deref()).collect();
    versions.dedup();
    println!("{}\n", versions.join(", "));
}

/// A row for each allocator, a column for each workload. The boundary's row is last and never the best.
pub(super) fn grid(data: &Data, columns: &[&str], text: &str, quantity: Quantity, markdown: bool) {
    let is_time = matches!(quantity, Quantity::Warm(_) | Quantity::Cold(_));
    let boundary: Vec<&str> = data.whose(Kind::Boundary).collect();
    let value = |column: &str, name: &str| data.number(quantity, column, name);
    let is_filled = |column: &&&str| data.allocators().any(|name| value(column, name).is_some());
    let columns: Vec<&str> = columns.iter().filter(is_filled).copied().collect();
    if columns.is_empty() {
        return;
    }
    let best = |column: &str| {
        let real = data.allocators().filter(|name| !boundary.contains(name));
        stats::smallest(&real.filter_map(|name| value(column, name)).collect::<Vec<_>>())
    };
    let mut table = Table::new(text, &columns, markdown);
    for name in data.allocators().filter(|name| is_time || !boundary.contains(name)) {
        let cells = columns.iter().map(|column| match (value(column, name), best(column)) {
            (Some(value), Some(best)) if is_time => format!("{} ({:.2})", number(value), value / best),
            (value, _) => cell(value),
        });
        table.row(name, cells);
    }
    print!("{table}");
}

/// This repository's heap beside the best of the others, column by column.
pub(super) fn ours(data: &Data, columns: &[&str], text: &str, quantity: Quantity, markdown: bool) {
    let peers = columns.iter().filter_map(|column| Some((*column, best_peer(data, column, quantity)?.0)));
    let (columns, peers): (Vec<&str>, Vec<&str>) = peers.unzip();
    if columns.is_empty() {
        return;
    }
    let mut table = Table::new(text, &columns, markdown);
    table.row("best peer", peers);
    for name in data.whose(Kind::Ours) {
        let cell =
            |column: &&str| ratio(data, column, name, quantity).map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        table.row(name, columns.iter().map(cell));
    }
    print!("{table}");
}

/// How far the processes of one cell lie apart.
pub(super) fn spread(data: &Data) {
    let mut spreads = Vec::new();
    for workload in &data.run.workloads {
        for name in data.allocators() {
            let warm = data.times(workload, name, |time| Some(time.warm));
            if let (true, Some(low), Some(high)) = (warm.len() > 1, stats::smallest(&warm), stats::largest(&warm)) {
                spreads.push((high / low, format!("{name} on {workload}")));
            }
        }
    }
    spreads.sort_by(|left, right| left.0.total_cmp(&right.0));
    let ratios: Vec<f64> = spreads.iter().map(|(ratio, _)| *ratio).collect();
    if let (Some(median), Some((widest, cell))) = (stats::median(&ratios), spreads.last()) {
        println!(
            "The slowest process's median over the fastest's, warm: {median:.2} in the middle cell, {widest:.2} in the \
             widest ({cell}), above 1.10 in {} of {}.",
            ratios.iter().filter(|&&ratio| ratio > 1.10).count(),
            ratios.len()
        );
    }
}

/// What failed and what was left out.
pub(super) fn remarks(data: &Data) {
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
