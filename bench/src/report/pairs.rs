//! What one allocation and its free cost, in time, cycles and instructions.

use crate::allocators::candidate::Kind;
use crate::base::stats::Process;
use crate::base::table::{Table, cell};
use crate::measure::data::Data;
use crate::workloads::PAIR;

/// A number of an allocator, by its name.
type Value<'a> = &'a dyn Fn(&str) -> Option<f64>;

pub(super) fn print(data: &Data, process: Process, markdown: bool) {
    // Times are of one operation, and a pair is two.
    let time = |name: &str| Some(2.0 * process.of(&data.times(PAIR, name, |time| Some(time.warm)))?);
    let cycles =
        |name: &str| Some(2.0 * process.of(&data.times(PAIR, name, |time| Some(time.warm * time.cycles_per_ns?)))?);
    let instructions = |name: &str| data.instructions(name).map(|(count, _)| count);
    let quantities: [(&str, Value); 3] = [("ns", &time), ("cycles", &cycles), ("instructions", &instructions)];
    // Each with the number of the boundary that is subtracted.
    let mut columns: Vec<(String, Value, f64)> = Vec::new();
    for (text, value) in quantities.into_iter().filter(|(_, value)| data.allocators().any(|name| value(name).is_some()))
    {
        columns.push((text.to_owned(), value, 0.0));
        if let Some(empty) = data.whose(Kind::Boundary).next().and_then(value) {
            columns.push((format!("{text} over empty"), value, empty));
        }
    }
    if columns.is_empty() {
        return;
    }
    let text = "one pair: a block of 16..256 B is allocated, its first word written, and it is freed";
    let mut table = Table::new(text, columns.iter().map(|(text, ..)| text), markdown);
    for name in data.allocators() {
        table.row(name, columns.iter().map(|(_, value, less)| cell(value(name).map(|found| found - less))));
    }
    print!("{table}");
    for name in data.allocators().filter(|name| data.instructions(name).is_some_and(|(_, stepped)| stepped)) {
        println!("{name} does not run under valgrind; its instructions were counted in single steps.\n");
    }
}
