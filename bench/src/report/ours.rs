//! This repository's heap beside the best of the others, column by column.

use crate::base::table;
use crate::measure::record::{Data, Name};
use crate::options::View;

/// The best peer of a column and its number.
pub(crate) fn best_peer(names: &[Name], value: impl Fn(&str) -> Option<f64>) -> Option<(&str, f64)> {
    let peers = names.iter().filter(|name| name.whose == "peer");
    let numbers = peers.filter_map(|name| Some((name.name.as_str(), value(&name.name)?)));
    numbers.min_by(|left, right| left.1.total_cmp(&right.1))
}

/// A number of a workload and an allocator.
pub(crate) type Value<'a> = &'a dyn Fn(&str, &str) -> Option<f64>;

/// Ratios to the best peer, in tables.
pub(crate) fn print(data: &Data, groups: [&[&str]; 2], view: View) {
    let View { markdown, process } = view;
    let warm = |workload: &str, allocator: &str| process.of(&data.warm(workload, allocator));
    let cold = |workload: &str, allocator: &str| process.of(&data.cold(workload, allocator));
    let footprint = |workload: &str, allocator: &str| data.footprint(workload, allocator);
    section(data, groups, "time, warm, to the best peer", &warm, markdown);
    section(data, groups, "time, cold, to the best peer", &cold, markdown);
    section(data, groups, "memory, footprint to the best peer's", &footprint, markdown);
}

fn section(data: &Data, groups: [&[&str]; 2], text: &str, value: Value, markdown: bool) {
    for columns in groups {
        let known = |column: &&str| best_peer(data.allocators(), |name| value(column, name)).is_some();
        let columns: Vec<&str> = columns.iter().copied().filter(known).collect();
        if columns.is_empty() {
            continue;
        }
        let peer = |column: &&str| best_peer(data.allocators(), |name| value(column, name)).map_or("-", |peer| peer.0);
        let mut rows = vec![["best peer"].into_iter().chain(columns.iter().map(peer)).map(str::to_owned).collect()];
        for name in data.ours() {
            let cell =
                |column: &&str| ratio(data, column, name, value).map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
            rows.push([name.to_owned()].into_iter().chain(columns.iter().map(cell)).collect::<Vec<_>>());
        }
        let header = [String::new()].into_iter().chain(columns.iter().map(|&column| column.to_owned()));
        print!("{}", table::section(text, header.collect(), rows, markdown));
    }
}

/// This allocator's number over the best peer's.
pub(crate) fn ratio(data: &Data, column: &str, name: &str, value: Value) -> Option<f64> {
    let (_, best) = best_peer(data.allocators(), |peer| value(column, peer))?;
    Some(value(column, name)? / best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::stats;
    use crate::measure::record::Record;

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
