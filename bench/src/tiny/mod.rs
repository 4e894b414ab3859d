//! What an allocator adds to one small static program: bytes of the stripped file, and pages of memory touched.

mod memory;
mod spans;

use crate::base::progress::Progress;
use crate::base::table::Table;
use crate::base::{build, machine};
use anyhow::{Context, Result, ensure};
use memory::{Pages, Stopped};
use std::path::PathBuf;

/// The allocators, as features of the package in `tiny/`. The others are compared with the first.
const ALLOCATORS: [&str; 10] = [
    "bump",
    "hmalloc",
    "hmalloc-turns",
    "hmalloc-alone",
    "hmalloc-small",
    "hmalloc-smallest",
    "rustix-dlmalloc",
    "picoalloc",
    "talc",
    "linked_list_allocator",
];

/// What hmalloc may cost such a program. Bytes are those of the builds that are optimized for size.
const HEAP_PAGES_MAX: u64 = 8;
const BYTES_MAX: u64 = 16 << 10;
const FOR_SIZE: [usize; 2] = [1, 2];

/// Ways to build the program: a name for the table, further features, and the optimization level.
const BUILDS: [(&str, &str, &str); 4] =
    [("bytes", "", "3"), ("opt-level s", "", "\"s\""), ("s, lean", ",lean", "\"s\""), ("with fmt", ",format", "3")];

/// One allocator's row.
struct Row {
    name: &'static str,
    /// Bytes of the stripped file, for each of [`BUILDS`].
    bytes: [u64; BUILDS.len()],
    /// While all blocks are live.
    live: Pages,
    /// After all have been freed.
    freed: Pages,
}

/// Builds and measures everything, and prints it.
pub(crate) fn print(markdown: bool) -> Result<()> {
    let rows = measure().context("the tiny programs")?;
    println!("{}\n", machine::here_and_now());
    print_sizes(&rows, markdown);
    print_pages("all blocks are live", &rows, |row| row.live, markdown);
    print_pages("all are freed", &rows, |row| row.freed, markdown);
    print_targets(&rows);
    spans::print(&build("hmalloc,spans", "3")?).context("the pages of a tiny heap")
}

fn build(features: &str, level: &str) -> Result<PathBuf> {
    let level = format!("profile.release.opt-level={level}");
    build::release("bench/tiny", "tiny", "tiny", &["--features", features, "--config", &level])
}

fn measure() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut expected = None;
    let progress = Progress::new(ALLOCATORS.len());
    progress.part("builds");
    for name in ALLOCATORS {
        progress.step(name);
        let mut bytes = [0; BUILDS.len()];
        let mut program = PathBuf::new();
        // The plain build comes last, because the next build takes its place.
        for (index, (_, features, level)) in BUILDS.iter().enumerate().rev() {
            program = build(&format!("{name}{features}"), level)?;
            bytes[index] = build::size(&program)?;
        }
        let mut stopped = Stopped::start(&program)?;
        let said = stopped.until("live")?;
        ensure!(*expected.get_or_insert(said.clone()) == said, "on {name} the program says {said:?}");
        let live = stopped.pages()?;
        stopped.go_on()?;
        stopped.until("freed")?;
        let freed = stopped.pages()?;
        stopped.finish()?;
        rows.push(Row { name, bytes, live, freed });
    }
    progress.end();
    Ok(rows)
}

fn print_sizes(rows: &[Row], markdown: bool) {
    let header = BUILDS.iter().flat_map(|(build, ..)| [*build, "over bump"]);
    let mut table = Table::new("Size of the stripped static program", header, markdown);
    for row in rows {
        let pairs = row.bytes.iter().zip(rows[0].bytes);
        table.row(row.name, pairs.flat_map(|(bytes, bump)| [bytes.to_string(), over(*bytes, bump)]));
    }
    print!("{table}");
}

fn print_pages(when: &str, rows: &[Row], pages: fn(&Row) -> Pages, markdown: bool) {
    let caption = format!("Pages of 4 KiB written while {when}, by where they are");
    let header = ["break", "mappings", "program", "stack", "written", "over bump", "resident", "over bump"];
    let mut table = Table::new(&caption, header, markdown);
    let bump = pages(&rows[0]);
    for row in rows {
        let pages = pages(row);
        let (written, resident) = (pages.written(), pages.resident);
        let counts = [pages.heap, pages.mapped, pages.program, pages.stack, written].map(|count| count.to_string());
        let rest = [over(written, bump.written()), resident.to_string(), over(resident, bump.resident)];
        table.row(row.name, counts.iter().chain(&rest));
    }
    print!("{table}");
}

fn over(value: u64, reference: u64) -> String {
    format!("{:+}", value as i64 - reference as i64)
}

fn print_targets(rows: &[Row]) {
    let judge = |met: bool| if met { "met" } else { "missed" };
    for Row { name, bytes, live, .. } in rows.iter().filter(|row| row.name.starts_with("hmalloc")) {
        let pages = live.heap + live.mapped;
        println!("{name}: {pages} pages of heap, at most {HEAP_PAGES_MAX}: {}", judge(pages <= HEAP_PAGES_MAX));
        for build in FOR_SIZE {
            let (bytes, how) = (bytes[build].saturating_sub(rows[0].bytes[build]), BUILDS[build].0);
            println!("{name}: adds {bytes} bytes at {how}, at most {BYTES_MAX}: {}", judge(bytes <= BYTES_MAX));
        }
    }
}
