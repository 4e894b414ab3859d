//! What one allocation and its free cost, in time, cycles and instructions.

use crate::base::table::{number, section};
use crate::measure::callgrind::WORKLOAD;
use crate::measure::record::Data;
use crate::options::View;

/// A number of an allocator, by its name.
type Value<'a> = &'a dyn Fn(&str) -> Option<f64>;

pub(crate) fn print(data: &Data, view: View) {
    let View { markdown, process } = view;
    // Times are of one operation, and a pair is two.
    let time = |name: &str| process.of(&data.warm(WORKLOAD, name)).map(|time| time * 2.0);
    let cycles = |name: &str| process.of(&data.cycles(WORKLOAD, name)).map(|cycles| cycles * 2.0);
    let instructions = |name: &str| data.instructions(name).map(|(count, _)| count);
    let boundary = data.allocators().iter().find(|name| name.whose == "boundary").map(|name| name.name.as_str());
    let mut header: Vec<String> = vec![String::new()];
    // Each with the number of the boundary that is taken off.
    let mut columns: Vec<(Value, f64)> = Vec::new();
    let quantities: [(&str, Value); 3] = [("ns", &time), ("cycles", &cycles), ("instructions", &instructions)];
    for (text, value) in quantities {
        if !data.allocators().iter().any(|name| value(&name.name).is_some()) {
            continue;
        }
        header.push(text.to_owned());
        columns.push((value, 0.0));
        if let Some(empty) = boundary.and_then(value) {
            header.push(format!("{text} over empty"));
            columns.push((value, empty));
        }
    }
    if columns.is_empty() {
        return;
    }
    let row = |name: &str| {
        let cells =
            columns.iter().map(|(value, less)| value(name).map_or("-".to_owned(), |found| number(found - less)));
        [name.to_owned()].into_iter().chain(cells).collect::<Vec<_>>()
    };
    let text = "one pair: a block of 16..256 B is allocated, its first word written, and it is freed";
    let rows = data.allocators().iter().map(|name| row(&name.name)).collect();
    print!("{}", section(text, header, rows, markdown));
    for name in data.allocators().iter().map(|name| &name.name) {
        if let Some((_, true)) = data.instructions(name) {
            println!("{name} does not run under valgrind; its instructions were counted in single steps.\n");
        }
    }
}
