//! Tables of whole programs.

use super::heaps::SYSTEM;
use super::job::Figures;
use super::record::{Data, Record};
use crate::base::machine;
use crate::base::stats::{self, Process};
use crate::base::table::{Table, number};
use crate::options::Program;

/// hmalloc is held against these: better in time than the C library by something that can be measured, and no larger.
const TIME: f64 = 0.98;
const MEMORY: f64 = 1.0;
const OURS: &str = "hmalloc";

/// A figure that is measured.
#[derive(Clone, Copy)]
struct Quantity {
    name: &'static str,
    /// Of the first column.
    unit: &'static str,
    of: fn(&Figures) -> f64,
    /// What hmalloc's ratio is to be, at most.
    bound: f64,
}

const QUANTITIES: [Quantity; 3] = [
    Quantity { name: "wall time", unit: "s", of: |figures| figures.wall, bound: TIME },
    Quantity { name: "processor time", unit: "s", of: |figures| figures.processor, bound: TIME },
    Quantity { name: "peak resident", unit: "MiB", of: |figures| figures.peak as f64 / MIB, bound: MEMORY },
];

const MIB: f64 = (1 << 20) as f64;

/// All tables as text.
pub(super) fn text(data: &Data, process: Process, markdown: bool) -> String {
    let tables = QUANTITIES.map(|quantity| table(data, quantity, process, markdown));
    let lines = QUANTITIES.map(|quantity| summary(data, quantity, process));
    [head(data), tables.concat(), lines.concat(), spread(data), remarks(data)].concat()
}

fn head(data: &Data) -> String {
    let run = &data.run;
    let when = machine::date(run.seconds_since_1970);
    let note = if run.quick { "; quick: small inputs, not for comparison" } else { "" };
    let rounds = run.rounds;
    let first = format!(
        "{}, Linux {}; {when}; {rounds} processes for each program and allocator{note}",
        run.machine, run.kernel
    );
    format!("{first}\n{}\n\n", run.versions.join(", "))
}

/// The middle or best process, if there is one.
fn value(data: &Data, quantity: Quantity, process: Process, program: Program, allocator: &str) -> Option<f64> {
    process.of(&data.figures(program, allocator).map(quantity.of).collect::<Vec<_>>())
}

/// To the C library's malloc.
fn ratio(data: &Data, quantity: Quantity, process: Process, program: Program, allocator: &str) -> Option<f64> {
    let value = |name| value(data, quantity, process, program, name);
    Some(value(allocator)? / value(SYSTEM)?)
}

/// A row for each program, and their mean.
fn table(data: &Data, quantity: Quantity, process: Process, markdown: bool) -> String {
    let Quantity { name, unit, .. } = quantity;
    let others: Vec<&str> = data.run.allocators.iter().map(String::as_str).filter(|name| *name != SYSTEM).collect();
    let caption = format!("{name}: {SYSTEM} in {unit}, the others as ratios to it; the {} process", process.name());
    let mut table = Table::new(&caption, [SYSTEM].iter().chain(&others), markdown);
    for &program in &data.run.programs {
        let system = value(data, quantity, process, program, SYSTEM);
        let ratios = others.iter().map(|other| shown(ratio(data, quantity, process, program, other)));
        table.row(&program.to_string(), [system.map_or("-".to_owned(), number)].into_iter().chain(ratios));
    }
    let of = |program: Program, other: &str| ratio(data, quantity, process, program, other);
    let complete = complete(&data.run.programs, &others, of);
    let means = others.iter().map(|other| shown(mean(complete.iter().filter_map(|&program| of(program, other)))));
    table.row(&format!("geometric mean of {}", complete.len()), ["".to_owned()].into_iter().chain(means));
    table.to_string()
}

/// The programs that have a figure on every allocator that has any.
fn complete(all: &[Program], allocators: &[&str], of: impl Fn(Program, &str) -> Option<f64>) -> Vec<Program> {
    let has_any = |name: &&&str| all.iter().any(|&program| of(program, name).is_some());
    let present: Vec<&str> = allocators.iter().filter(has_any).copied().collect();
    let has_all = |program: &Program| present.iter().all(|name| of(*program, name).is_some());
    all.iter().copied().filter(|program| !present.is_empty() && has_all(program)).collect()
}

fn mean(ratios: impl Iterator<Item = f64>) -> Option<f64> {
    let logarithms: Vec<f64> = ratios.map(f64::ln).collect();
    let sum: f64 = logarithms.iter().sum();
    (!logarithms.is_empty()).then(|| (sum / logarithms.len() as f64).exp())
}

fn shown(ratio: Option<f64>) -> String {
    ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}"))
}

/// Where this repository's heap is as good as it is to be, and where it is not.
fn summary(data: &Data, quantity: Quantity, process: Process) -> String {
    let Quantity { name, bound, .. } = quantity;
    let ratios =
        data.run.programs.iter().filter_map(|&program| Some((program, ratio(data, quantity, process, program, OURS)?)));
    let (good, above): (Vec<_>, Vec<_>) = ratios.partition(|(_, ratio)| *ratio <= bound);
    if good.is_empty() && above.is_empty() {
        return String::new();
    }
    let count = good.len() + above.len();
    let names: Vec<String> = above.iter().map(|(program, ratio)| format!("{program} {ratio:.3}")).collect();
    let rest = if names.is_empty() { ".".to_owned() } else { format!("; above: {}.", names.join(", ")) };
    format!("{OURS} to {SYSTEM}, {name}: at most {bound:.2} in {} of {count}{rest}\n", good.len())
}

/// How far the processes of one cell lie apart, and who else used the machine.
fn spread(data: &Data) -> String {
    let cells =
        data.run.programs.iter().flat_map(|program| data.run.allocators.iter().map(move |name| (*program, name)));
    let spreads = cells.filter_map(|(program, name)| {
        let times: Vec<f64> = data.figures(program, name).map(|figures| figures.processor).collect();
        let ratio = stats::largest(&times)? / stats::smallest(&times)?;
        (times.len() > 1).then(|| (ratio, format!("{program} on {name}")))
    });
    let mut spreads: Vec<(f64, String)> = spreads.collect();
    spreads.sort_by(|left, right| left.0.total_cmp(&right.0));
    let middle = stats::median(&spreads.iter().map(|(ratio, _)| *ratio).collect::<Vec<_>>());
    let apart = middle.zip(spreads.last()).map_or(String::new(), |(middle, (widest, cell))| {
        format!(
            "\nThe slowest process's processor time over the fastest's: {middle:.2} in the middle cell, {widest:.2} in the \
             widest ({cell}).\n"
        )
    });
    let percent = data.records.iter().find_map(|record| match record {
        Record::Neighbours { percent } => Some(format!("Neighbours had {percent:.0} % of the processors meanwhile.\n")),
        _ => None,
    });
    apart + &percent.unwrap_or_default()
}

/// What is missing and what failed.
fn remarks(data: &Data) -> String {
    let line = |record: &Record| match record {
        Record::Missing { what, reason } => Some(format!("- NOT MEASURED: {what}: {reason}\n")),
        Record::Failed { program, allocator, reason } => {
            Some(format!("- FAILED: {program} on {allocator}: {reason}\n"))
        }
        _ => None,
    };
    data.records.iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::record::Run;

    /// Three processes of each program and allocator, the last of them disturbed, at so many times the first one's figures.
    fn processes(program: Program, allocator: &str, times: f64) -> Vec<Record> {
        let process = |round| {
            let factor = times * [1.0, 1.1, 9.0][round];
            let figures = Figures { wall: factor, processor: 2.0 * factor, peak: (times * 64.0) as u64, digest: 1 };
            Record::Process { program, allocator: allocator.to_owned(), round, figures }
        };
        (0..3).map(process).collect()
    }

    fn data(records: Vec<Record>) -> Data {
        let run = Run {
            machine: "a machine".to_owned(),
            kernel: "6".to_owned(),
            seconds_since_1970: 1_000_000_000,
            rounds: 3,
            quick: false,
            programs: vec![Program::Sort, Program::Gcc, Program::Redis],
            allocators: [SYSTEM, OURS, "mimalloc"].map(str::to_owned).to_vec(),
            versions: vec!["sort 9".to_owned()],
        };
        Data::of(run, records)
    }

    /// The cells of the row that begins so, in the table of wall time.
    fn row(text: &str, name: &str) -> Vec<String> {
        let line = text.lines().find(|line| line.starts_with(&format!("| {name} "))).expect("a row of this name");
        line.split('|').skip(2).map(|cell| cell.trim().to_owned()).filter(|cell| !cell.is_empty()).collect()
    }

    #[test]
    fn ratios_are_to_the_c_library_and_means_of_what_all_have() {
        let (sort, gcc) = (Program::Sort, Program::Gcc);
        let cells =
            [(sort, SYSTEM, 1.0), (sort, OURS, 0.5), (sort, "mimalloc", 2.0), (gcc, SYSTEM, 1.0), (gcc, OURS, 3.0)];
        let records = cells.into_iter().flat_map(|(program, name, times)| processes(program, name, times)).collect();
        let text = text(&data(records), Process::Middle, true);
        assert_eq!(row(&text, "sort"), ["1.10", "0.500", "2.000"]);
        assert_eq!(row(&text, "gcc"), ["1.10", "3.000", "-"]);
        assert_eq!(row(&text, "redis"), ["-", "-", "-"]);
        assert_eq!(row(&text, "geometric mean of 1"), ["0.500", "2.000"]);
        assert!(text.contains("at most 0.98 in 1 of 2; above: gcc 3.000."), "{text}");
        assert!(text.starts_with("a machine, Linux 6; 2001-09-09T01:46:40Z; 3 processes"), "{text}");
    }

    #[test]
    fn what_is_missing_or_failed_is_said() {
        let missing = Record::Missing { what: "redis".to_owned(), reason: "not installed".to_owned() };
        let failed = Record::Failed { program: Program::Gcc, allocator: OURS.to_owned(), reason: "died".to_owned() };
        let data = data(vec![missing, failed]);
        let text = text(&data, Process::Best, false);
        assert!(text.contains("NOT MEASURED: redis: not installed") && text.contains("FAILED: gcc on hmalloc: died"));
        assert!(text.contains("geometric mean of 0"), "{text}");
        assert_eq!(data.failures(), 1);
    }
}
