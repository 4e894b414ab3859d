//! `qemu/expected.txt`: what is known of each architecture.

use std::fs;
use support::places::repository;

/// One architecture, as the table has it.
pub(crate) struct Row {
    pub(crate) architecture: String,
    pub(crate) bits: String,
    pub(crate) byte_order: String,
    pub(crate) target: String,
    pub(crate) emulator: String,
    /// What becomes of a misaligned load, store and atomic addition: `fine`, `SIGBUS` or `SIGILL`.
    pub(crate) outcomes: [String; 3],
}

pub(crate) fn rows() -> Vec<Row> {
    let path = repository("qemu/expected.txt");
    let text = fs::read_to_string(path).expect("qemu/expected.txt");
    text.lines().filter(|line| !line.starts_with('#')).map(row).collect()
}

fn row(line: &str) -> Row {
    let columns: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let [architecture, bits, byte_order, target, emulator, load, store, atomic] =
        columns.try_into().unwrap_or_else(|_| panic!("eight columns are wanted in {line:?}"));
    Row { architecture, bits, byte_order, target, emulator, outcomes: [load, store, atomic] }
}

const BEGIN: &str = "<!-- sigbus table -->\n";
const END: &str = "<!-- /sigbus table -->";

/// The table as the README shows it, between its marks.
pub(crate) fn markdown() -> String {
    let mut text = String::from(BEGIN);
    text +=
        "| architecture | bits, byte order | load | store | atomic addition | run by |\n|---|---|---|---|---|---|\n";
    for row in rows() {
        let [load, store, atomic] = row.outcomes.map(|outcome| match outcome.as_str() {
            "fine" => outcome,
            _ => format!("**{outcome}**"),
        });
        let runner = if row.emulator == "native" { "the machine itself" } else { row.emulator.as_str() };
        let (name, bits, order) = (row.architecture, row.bits, row.byte_order);
        text += &format!("| {name} | {bits}, {order} | {load} | {store} | {atomic} | {runner} |\n");
    }
    text + END
}

/// Where the table stands in a README.
pub(crate) fn place(readme: &str) -> Option<std::ops::Range<usize>> {
    let start = readme.find(BEGIN)?;
    let end = start + readme[start..].find(END)? + END.len();
    Some(start..end)
}
