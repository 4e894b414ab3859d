//! This repository's heap beside the best of the others, column by column.

use crate::options::View;
use crate::record::{Data, Name};
use crate::report::title;
use crate::stats;
use crate::table::render;

/// Ratios to the best peer are held against these.
const BOUNDS: [f64; 2] = [1.0, 1.3];

/// The best peer of a column and its number.
pub(crate) fn best_peer(names: &[Name], value: impl Fn(&str) -> Option<f64>) -> Option<(&str, f64)> {
    let peers = names.iter().filter(|name| name.whose == "peer");
    let numbers = peers.filter_map(|name| Some((name.name.as_str(), value(&name.name)?)));
    numbers.min_by(|left, right| left.1.total_cmp(&right.1))
}

pub(crate) fn print(data: &Data, eleven: &[&str], others: &[&str], view: View) {
    let View { markdown, process } = view;
    let warm = |workload: &str, allocator: &str| process.of(&data.warm(workload, allocator));
    let other = |workload: &str, allocator: &str| process.other().of(&data.warm(workload, allocator));
    let footprint = |workload: &str, allocator: &str| data.footprint(workload, allocator);
    section(data, eleven, others, "time, warm, to the best peer", &warm, markdown);
    let text = format!("time, but by the {} process", process.other().name());
    count(data, eleven, others, &text, &other);
    section(data, eleven, others, "memory, footprint to the best peer's", &footprint, markdown);
}

fn section(
    data: &Data,
    eleven: &[&str],
    others: &[&str],
    text: &str,
    value: &impl Fn(&str, &str) -> Option<f64>,
    markdown: bool,
) {
    for columns in [eleven, others] {
        let known = |column: &&str| best_peer(data.allocators(), |name| value(column, name)).is_some();
        let columns: Vec<&str> = columns.iter().copied().filter(known).collect();
        if columns.is_empty() {
            continue;
        }
        let peer = |column: &&str| best_peer(data.allocators(), |name| value(column, name)).map_or("-", |peer| peer.0);
        let mut rows = vec![["best peer"].into_iter().chain(columns.iter().map(peer)).map(str::to_owned).collect()];
        for name in data.allocators().iter().filter(|name| name.whose == "ours") {
            let cell = |column: &&str| ratio(data, column, &name.name, value).map_or("-".to_owned(), two_digits);
            rows.push([name.name.clone()].into_iter().chain(columns.iter().map(cell)).collect::<Vec<_>>());
        }
        let header = [String::new()].into_iter().chain(columns.iter().map(|&column| column.to_owned()));
        title(text, markdown);
        println!("{}", render(header.collect(), rows, markdown));
    }
    count(data, eleven, others, text, value);
}

fn two_digits(ratio: f64) -> String {
    format!("{ratio:.2}")
}

/// This allocator's number over the best peer's.
pub(crate) fn ratio(data: &Data, column: &str, name: &str, value: &impl Fn(&str, &str) -> Option<f64>) -> Option<f64> {
    let (_, best) = best_peer(data.allocators(), |peer| value(column, peer))?;
    Some(value(column, name)? / best)
}

/// In how many columns each of ours is within the bounds.
fn count(data: &Data, eleven: &[&str], others: &[&str], text: &str, value: &impl Fn(&str, &str) -> Option<f64>) {
    for name in data.allocators().iter().filter(|name| name.whose == "ours") {
        let ratios = |columns: &[&str]| -> Vec<f64> {
            columns.iter().filter_map(|column| ratio(data, column, &name.name, value)).collect()
        };
        let (first, rest) = (ratios(eleven), ratios(others));
        let all: Vec<f64> = first.iter().chain(&rest).copied().collect();
        if all.is_empty() {
            continue;
        }
        let parts = BOUNDS.map(|bound| {
            let (count, total) = (stats::at_most(&first, bound), stats::at_most(&all, bound));
            format!("at most {bound:.1} in {count} of {} of the eleven, {total} of all {}", first.len(), all.len())
        });
        println!("{} ({text}): {}.", name.name, parts.join("; "));
    }
    println!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    fn name(name: &str, whose: &str) -> Name {
        Name { name: name.to_owned(), whose: whose.to_owned(), version: None, note: String::new() }
    }

    fn data() -> Data {
        let time = |allocator: &str, round, warm| Record::Time {
            workload: "pair".to_owned(),
            allocator: allocator.to_owned(),
            round,
            warm,
            cold: warm,
            fastest: warm,
            slowest: warm,
            samples: 1,
            cycles_per_ns: None,
        };
        let run = Record::Run {
            machine: String::new(),
            kernel: String::new(),
            seconds_since_1970: 0,
            arguments: Vec::new(),
            rounds: 2,
            budget_ms: 1,
            allocators: vec![
                name("mine", "ours"),
                name("fast", "peer"),
                name("slow", "peer"),
                name("empty", "boundary"),
            ],
            workloads: vec!["pair".to_owned()],
        };
        let times = [("mine", 3.0), ("fast", 2.0), ("slow", 9.0), ("empty", 0.5)];
        let records = times.iter().flat_map(|&(name, warm)| [time(name, 0, warm), time(name, 1, warm + 1.0)]);
        Data { records: [run].into_iter().chain(records).collect() }
    }

    #[test]
    fn the_best_peer_is_neither_ours_nor_the_boundary() {
        let data = data();
        let value = |workload: &str, name: &str| stats::smallest(&data.warm(workload, name));
        assert_eq!(best_peer(data.allocators(), |name| value("pair", name)), Some(("fast", 2.0)));
        assert_eq!(ratio(&data, "pair", "mine", &value), Some(1.5));
        assert_eq!(ratio(&data, "rand", "mine", &value), None);
        let middle = |workload: &str, name: &str| stats::median(&data.warm(workload, name));
        assert_eq!(ratio(&data, "pair", "mine", &middle), Some(3.5 / 2.5));
    }
}
