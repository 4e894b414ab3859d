//! What an allocator adds to one small static program: bytes of the stripped file, and pages of memory touched.

mod memory;
mod spans;

use crate::base::cargo;
use crate::base::progress::Progress;
use crate::base::table::section;
use memory::{Pages, Stopped};
use std::path::{Path, PathBuf};

/// The allocators, as features of the package in `tiny/`. The others are compared with the first.
const ALLOCATORS: [&str; 7] =
    ["bump", "hmalloc", "hmalloc-single", "rustix-dlmalloc", "picoalloc", "talc", "linked_list_allocator"];

/// What hmalloc may cost such a program.
const HEAP_PAGES_MAX: u64 = 8;
const BYTES_MAX: u64 = 12 << 10;

/// Ways to build the program: a name for the table, further features, and the optimization level.
const BUILDS: [(&str, &str, &str); 3] =
    [("bytes", "", "3"), ("opt-level s", "", "\"s\""), ("with fmt", ",format", "3")];

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
pub(crate) fn print(markdown: bool) -> Result<(), String> {
    let rows = measure().map_err(|message| format!("the tiny programs: {message}"))?;
    print_tables(&rows, markdown);
    print_targets(&rows);
    spans::print(build).map_err(|message| format!("the pages of a tiny heap: {message}"))
}

fn build(features: &str, level: &str) -> Result<PathBuf, String> {
    let level = format!("profile.release.opt-level={level}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tiny");
    cargo::build(&folder, "tiny", &["--features", features, "--config", &level])
}

fn measure() -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    let mut expected = None;
    let progress = Progress::new(ALLOCATORS.len() as u64);
    progress.part("builds");
    for name in ALLOCATORS {
        progress.step(name);
        let mut bytes = [0; BUILDS.len()];
        let mut program = PathBuf::new();
        // The plain build comes last, because the next build takes its place.
        for (index, (_, features, level)) in BUILDS.iter().enumerate().rev() {
            program = build(&format!("{name}{features}"), level)?;
            bytes[index] = std::fs::metadata(&program).map_err(|error| error.to_string())?.len();
        }
        let mut stopped = Stopped::start(&program)?;
        let said = stopped.until("live")?;
        if *expected.get_or_insert(said.clone()) != said {
            return Err(format!("on {name} the program says {said:?}"));
        }
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

fn print_tables(rows: &[Row], markdown: bool) {
    let Some(bump) = rows.first() else { return };
    let (mut header, mut lines) = (vec![String::new()], Vec::new());
    for (build, ..) in BUILDS {
        header.extend([build.to_owned(), "over bump".to_owned()]);
    }
    for row in rows {
        let mut line = vec![row.name.to_owned()];
        for (bytes, reference) in row.bytes.iter().zip(bump.bytes) {
            line.extend([bytes.to_string(), over(*bytes, reference)]);
        }
        lines.push(line);
    }
    print!("{}", section("Size of the stripped static program", header, lines, markdown));
    let header = ["", "break", "mappings", "program", "stack", "written", "over bump", "resident", "over bump"];
    for (when, pages) in
        [("all blocks are live", (|row| row.live) as fn(&Row) -> Pages), ("all are freed", |row| row.freed)]
    {
        let mut lines = Vec::new();
        let reference = pages(bump);
        for row in rows {
            let pages = pages(row);
            lines.push(vec![
                row.name.to_owned(),
                pages.heap.to_string(),
                pages.mapped.to_string(),
                pages.program.to_string(),
                pages.stack.to_string(),
                pages.written().to_string(),
                over(pages.written(), reference.written()),
                pages.resident.to_string(),
                over(pages.resident, reference.resident),
            ]);
        }
        let caption = format!("Pages of 4 KiB written while {when}, by where they are");
        print!("{}", section(&caption, header.map(str::to_owned).to_vec(), lines, markdown));
    }
}

fn over(value: u64, reference: u64) -> String {
    format!("{:+}", value as i64 - reference as i64)
}

fn print_targets(rows: &[Row]) {
    let Some(bump) = rows.first() else { return };
    let judge = |met: bool| if met { "met" } else { "missed" };
    for row in rows.iter().filter(|row| row.name.starts_with("hmalloc")) {
        let (pages, bytes) = (row.live.heap + row.live.mapped, row.bytes[0].saturating_sub(bump.bytes[0]));
        println!("{}: {pages} pages of heap, at most {HEAP_PAGES_MAX}: {}", row.name, judge(pages <= HEAP_PAGES_MAX));
        println!("{}: adds {bytes} bytes, at most {BYTES_MAX}: {}", row.name, judge(bytes <= BYTES_MAX));
    }
}
