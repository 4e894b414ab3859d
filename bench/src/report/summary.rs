//! In how many columns this repository's heap is where it wants to be, and which columns are not.

use crate::base::stats::{Process, at_most};
use crate::measure::record::Data;
use crate::report::ours::{self, Value};

/// Ratios to the best peer are held against these.
const RATIOS: [f64; 2] = [1.0, 1.3];

/// Above so many live bytes a footprint is held against the first of [`FOOTPRINTS`] times the best peer's, below against
/// the second: a small heap has what an allocator takes once in it.
const MANY: u64 = 10_000_000;
const FOOTPRINTS: [f64; 2] = [1.15, 1.4];

/// A few lines for each of ours.
pub(crate) fn lines(data: &Data, eleven: &[&str], others: &[&str], process: Process) -> Vec<String> {
    let warm = |workload: &str, allocator: &str| process.of(&data.warm(workload, allocator));
    let other = |workload: &str, allocator: &str| process.other().of(&data.warm(workload, allocator));
    let cold = |workload: &str, allocator: &str| process.of(&data.cold(workload, allocator));
    let by_other = format!("time warm by the {} process", process.other().name());
    let values: [(&str, Value); 3] = [("time warm", &warm), (&by_other, &other), ("time cold", &cold)];
    let mut lines = Vec::new();
    for name in data.ours() {
        let ratios = values.iter().map(|(text, value)| to_best_peer(data, name, eleven, others, text, value));
        lines.extend(ratios.chain([footprints(data, name, eleven, others)]).flatten());
    }
    lines
}

/// Ratios to the best peer of each column, the eleven first.
fn to_best_peer(data: &Data, name: &str, eleven: &[&str], others: &[&str], text: &str, value: Value) -> Option<String> {
    let [eleven, all] = groups(eleven, others, |column| ours::ratio(data, column, name, value));
    let [best, near] = RATIOS.map(|bound| counts(&eleven, &all, |_| bound));
    let missed = missed(&all, |_| RATIOS[1]);
    let line = format!(
        "{name} to the best peer, {text}: at most {:.1} in {best}, {:.1} in {near}{missed}",
        RATIOS[0], RATIOS[1]
    );
    (!all.is_empty()).then_some(line)
}

fn footprints(data: &Data, name: &str, eleven: &[&str], others: &[&str]) -> Option<String> {
    let bound = |column: &str| match data.peak_live(column, name) {
        Some(live) if live > MANY => FOOTPRINTS[0],
        _ => FOOTPRINTS[1],
    };
    let footprint = |workload: &str, allocator: &str| data.footprint(workload, allocator);
    let [eleven, all] = groups(eleven, others, |column| ours::ratio(data, column, name, &footprint));
    let (met, missed) = (counts(&eleven, &all, bound), missed(&all, bound));
    let line = format!(
        "{name} to the best peer, memory: at most {} with over {} MB live, {} with less, in {met}{missed}",
        FOOTPRINTS[0],
        MANY / 1_000_000,
        FOOTPRINTS[1]
    );
    (!all.is_empty()).then_some(line)
}

/// Columns that have a number, with it.
type Numbers<'a> = Vec<(&'a str, f64)>;

/// Those of the eleven, and all.
fn groups<'a>(eleven: &[&'a str], others: &[&'a str], number: impl Fn(&str) -> Option<f64>) -> [Numbers<'a>; 2] {
    let numbers = |columns: &[&'a str]| -> Numbers<'a> {
        columns.iter().filter_map(|&column| Some((column, number(column)?))).collect()
    };
    [numbers(eleven), numbers(&[eleven, others].concat())]
}

/// How many are within their bounds: `9 of 11 (13 of all 17)`.
fn counts(eleven: &Numbers, all: &Numbers, bound: impl Fn(&str) -> f64) -> String {
    let met = |numbers: &Numbers| numbers.iter().filter(|(column, value)| at_most(*value, bound(column))).count();
    format!("{} of {} ({} of all {})", met(eleven), eleven.len(), met(all), all.len())
}

/// The columns that are not, with their numbers.
fn missed(numbers: &Numbers, bound: impl Fn(&str) -> f64) -> String {
    let above = numbers.iter().filter(|(column, value)| !at_most(*value, bound(column)));
    let names: Vec<String> = above.map(|(column, value)| format!("{column} {value:.2}")).collect();
    if names.is_empty() { ".".to_owned() } else { format!("; above: {}.", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::record::{Name, Record};

    fn name(name: &str, whose: &str) -> Name {
        Name { name: name.to_owned(), whose: whose.to_owned(), version: None, note: String::new() }
    }

    /// One process of each allocator on each workload: nanoseconds, resident bytes, live bytes.
    fn data(cells: &[(&str, &str, f64, u64, u64)]) -> Data {
        let run = Record::Run {
            machine: String::new(),
            kernel: String::new(),
            seconds_since_1970: 0,
            arguments: Vec::new(),
            rounds: 1,
            budget_ms: 1,
            allocators: vec![name("mine", "ours"), name("theirs", "peer")],
            workloads: Vec::new(),
        };
        let mut records = vec![run];
        for &(workload, allocator, warm, peak_resident, peak_live) in cells {
            let (workload, allocator) = (workload.to_owned(), allocator.to_owned());
            records.push(Record::Time {
                workload: workload.clone(),
                allocator: allocator.clone(),
                round: 0,
                warm,
                cold: 2.0 * warm,
                fastest: warm,
                slowest: warm,
                samples: 1,
                cycles_per_ns: None,
            });
            records.push(Record::Memory { workload, allocator, peak_resident, peak_live });
        }
        Data { records }
    }

    #[test]
    fn columns_are_counted_against_their_bounds_and_those_that_miss_are_named() {
        let data = data(&[
            ("pair", "mine", 1.0, 130, 100),
            ("pair", "theirs", 2.0, 100, 100),
            ("rand", "mine", 3.0, 23_000_000, 20_000_000),
            ("rand", "theirs", 2.0, 22_000_000, 20_000_000),
            ("mixed", "mine", 2.5, 24_000_000, 20_000_000),
            ("mixed", "theirs", 2.0, 20_000_000, 20_000_000),
        ]);
        let lines = lines(&data, &["pair", "rand"], &["mixed"], Process::Middle);
        let time = "at most 1.0 in 1 of 2 (1 of all 3), 1.3 in 1 of 2 (2 of all 3); above: rand 1.50.";
        assert_eq!(
            lines,
            [
                format!("mine to the best peer, time warm: {time}"),
                format!("mine to the best peer, time warm by the best process: {time}"),
                format!("mine to the best peer, time cold: {time}"),
                "mine to the best peer, memory: at most 1.15 with over 10 MB live, 1.4 with less, in 2 of 2 (2 of all 3); \
                 above: mixed 1.20."
                    .to_owned(),
            ]
        );
    }
}
