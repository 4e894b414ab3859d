use super::columns::{ELEVEN, best_peer, groups, ratio};
use super::summary;
use crate::allocators::candidate::Kind;
use crate::base::stats::Process;
use crate::measure::data::{Data, Quantity};
use crate::measure::record::{Memory, Name, Of, Record, Run, Time};
use crate::workloads;
use crate::workloads::workload::Tier;

const WARM: Quantity = Quantity::Warm(Process::Best);

/// One process for each line: workload, allocator, nanoseconds, resident bytes, live bytes.
fn data(cells: &[(&str, &str, f64, u64, u64)]) -> Data {
    let name = |(name, whose): (&str, Kind)| Name { name: name.to_owned(), whose, version: None, note: String::new() };
    let names = [("mine", Kind::Ours), ("fast", Kind::Peer), ("slow", Kind::Peer), ("empty", Kind::Boundary)];
    let workloads = ["mixed", "rand", "pair"].map(str::to_owned).to_vec();
    let run = Run { allocators: names.map(name).into(), workloads, ..Run::default() };
    let mut records = Vec::new();
    for &(workload, allocator, warm, peak_resident, peak_live) in cells {
        let (cold, fastest, slowest) = (2.0 * warm, warm, warm);
        let time = Time { round: 0, warm, cold, fastest, slowest, samples: 1, calm: None, cycles_per_ns: None };
        records.push(Record::Time(Of::new(workload, allocator, time)));
        records.push(Record::Memory(Of::new(workload, allocator, Memory { peak_resident, peak_live })));
    }
    Data { run, records }
}

#[test]
fn the_best_peer_is_neither_ours_nor_the_boundary() {
    let cells = [("mine", 3.0), ("fast", 2.0), ("slow", 9.0), ("empty", 0.5)];
    let cell = |(name, warm)| [("pair", name, warm, 1, 1), ("pair", name, warm + 1.0, 1, 1)];
    let data = data(cells.map(cell).as_flattened());
    assert_eq!(best_peer(&data, "pair", WARM), Some(("fast", 2.0)));
    assert_eq!(ratio(&data, "pair", "mine", WARM), Some(1.5));
    assert_eq!(ratio(&data, "rand", "mine", WARM), None);
    assert_eq!(ratio(&data, "pair", "mine", Quantity::Warm(Process::Middle)), Some(3.5 / 2.5));
}

#[test]
fn the_eleven_come_first_and_are_in_every_full_run() {
    assert_eq!(groups(&data(&[])), [vec!["pair", "rand"], vec!["mixed"]]);
    assert!(ELEVEN.iter().all(|name| workloads::find(name).is_some_and(|load| load.tier <= Tier::Usual)));
}

#[test]
fn columns_are_counted_against_their_bounds_and_those_that_miss_are_named() {
    let data = data(&[
        ("pair", "mine", 1.0, 130, 100),
        ("pair", "fast", 2.0, 100, 100),
        ("rand", "mine", 3.0, 23_000_000, 20_000_000),
        ("rand", "fast", 2.0, 22_000_000, 20_000_000),
        ("mixed", "mine", 2.5, 24_000_000, 20_000_000),
        ("mixed", "fast", 2.0, 20_000_000, 20_000_000),
    ]);
    let time = "at most 1.0 in 1 of 2 (1 of all 3), 1.3 in 1 of 2 (2 of all 3); above: rand 1.50.";
    let memory = "at most 1.15 with over 10 MB live, 1.4 with less, in 2 of 2 (2 of all 3); above: mixed 1.20.";
    assert_eq!(
        summary::lines(&data, Process::Middle),
        [
            format!("mine to the best peer, time warm: {time}"),
            format!("mine to the best peer, time warm by the best process: {time}"),
            format!("mine to the best peer, time cold: {time}"),
            format!("mine to the best peer, memory: {memory}"),
        ]
    );
}
