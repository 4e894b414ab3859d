//! Which pages of a tiny program's heap are touched, and by which span.

use super::memory::Stopped;
use anyhow::{Context, Result};
use std::path::Path;

/// A span as the program names it.
#[derive(Debug, PartialEq, Eq)]
struct Span<'a> {
    start: u64,
    bytes: u64,
    kind: &'a str,
}

/// Prints the pages that the program touches in each of its spans. It is one that names them.
pub(super) fn print(program: &Path) -> Result<()> {
    let mut stopped = Stopped::start(program)?;
    let said = stopped.until("live")?;
    let touched = stopped.heap_pages()?;
    stopped.go_on()?;
    stopped.until("freed")?;
    stopped.finish()?;
    let table = table(&said, &touched)?;
    println!("\nPages of 4 KiB touched in hmalloc's heap, by span: the pages' offsets in it\n\n{table}");
    Ok(())
}

/// A line for each span with touched pages.
fn table(said: &str, touched: &[u64]) -> Result<String> {
    let spans: Vec<Span<'_>> = said.lines().filter_map(parse).collect();
    let heap = spans.first().context("the program named no span")?.start;
    let mut lines = String::new();
    let mut placed = 0;
    for span in &spans {
        let inside = touched.iter().filter(|&&page| page >= span.start && page < span.start + span.bytes);
        let offsets: Vec<String> = inside.map(|page| format!("{:#x}", page - span.start)).collect();
        placed += offsets.len();
        if !offsets.is_empty() {
            let (at, kib) = (span.start - heap, span.bytes >> 10);
            lines.push_str(&format!("{at:#8x}  {kib:4} KiB  {}: {}\n", span.kind, offsets.join(" ")));
        }
    }
    // A break that is not a multiple of the heap's page leaves a gap before the first span; nothing should be there.
    let outside = touched.len() - placed;
    lines.push_str(&format!("outside of all spans: {outside}; in all {} pages\n", touched.len()));
    Ok(lines)
}

/// Reads `span ADDRESS BYTES KIND`.
fn parse(line: &str) -> Option<Span<'_>> {
    let mut words = line.strip_prefix("span ")?.splitn(3, ' ');
    let (start, bytes) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(Span { start, bytes, kind: words.next()? })
}

#[cfg(test)]
mod tests {
    use super::{Span, parse, table};

    #[test]
    fn a_line_that_is_no_span_is_skipped() {
        let kind = "Slab { slot: 32, capacity: 512, live: 3 }";
        assert_eq!(parse(&format!("span 16384 32768 {kind}")), Some(Span { start: 16384, bytes: 32768, kind }));
        assert_eq!(parse("78 words: a 15"), None);
        assert_eq!(parse("span 16384"), None);
    }

    #[test]
    fn each_page_is_placed_in_the_span_around_it() {
        let said = "78 words\nspan 65536 16384 Metadata\nspan 81920 16384 Free\nspan 98304 16384 Slab\n";
        let table = table(said, &[61440, 65536, 77824, 98304]).unwrap();
        assert_eq!(
            table,
            "     0x0    16 KiB  Metadata: 0x0 0x3000\n  0x8000    16 KiB  Slab: 0x0\noutside of all spans: 1; in all 4 pages\n"
        );
    }

    #[test]
    fn a_program_that_names_no_span_is_an_error() {
        assert!(table("78 words\n", &[4096]).is_err());
    }
}
