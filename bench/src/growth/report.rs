//! What is printed, and the table of numbers.

use super::scenario::{Axis, Operation, Phase};
use super::worst::{Moves, SLOW, Worst};
use super::{ALLOCATORS, Measured};
use crate::base::table;
use std::fmt::Write;

/// All tables as text.
pub(super) fn text(all: &[Measured], markdown: bool) -> String {
    let mut text = String::new();
    for (axis, caption) in [
        (Axis::Live, "Small blocks, by how many are live: ns for an allocation / a free"),
        (Axis::Heap, "Small blocks over large ones, by bytes in the large: ns for an allocation / a free"),
    ] {
        let pair = |one: &Measured| format!("{} / {}", number(one.figures.allocate), number(one.figures.free));
        section(&mut text, caption, all, axis, pair, markdown);
    }
    let large = |one: &Measured| format!("{} / {}", number(one.figures.allocate_large), number(one.figures.free_large));
    section(&mut text, "The large blocks: ns for an allocation / a free", all, Axis::Heap, large, markdown);
    for (axis, caption) in [
        (Axis::Live, "The slowest single call, µs, first / to fill / to replace / to drain, by how many are live"),
        (Axis::Heap, "The slowest single call, µs, first / to fill / to replace / to drain, by bytes in large blocks"),
    ] {
        let slowest = |one: &Measured| {
            let each = one.worst.map(|worst| worst.map(|worst| number(f64::from(worst.nanoseconds) / 1e3)));
            each.map_or("-".to_owned(), |each| each.join(" / "))
        };
        section(&mut text, caption, all, axis, slowest, markdown);
    }
    let header = ["", "metadata", "heap", "% of the heap"].map(str::to_owned).to_vec();
    let metadata = all.iter().filter(|one| one.allocator == ALLOCATORS[0]).map(metadata_line).collect();
    text += &table::section("What headers and page map take, MiB", header, metadata, markdown);
    text += &table::title("What hmalloc's slowest calls were", markdown);
    for one in all.iter().filter(|one| one.allocator.starts_with("hmalloc")) {
        for worst in one.worst.iter().flatten() {
            let _ = writeln!(text, "{:14} {:12} {}", one.scenario.to_string(), one.allocator, describe(worst));
        }
    }
    let resident = all.iter().map(|one| one.figures.resident).fold(0.0, f64::max);
    let _ = writeln!(text, "\nThe most that a process had resident: {} MiB", number(resident / f64::from(1 << 20)));
    text
}

/// A title and a line for each point of an axis, with a cell for each allocator.
fn section(
    text: &mut String,
    caption: &str,
    all: &[Measured],
    axis: Axis,
    cell: impl Fn(&Measured) -> String,
    markdown: bool,
) {
    let header = [""].into_iter().chain(ALLOCATORS).map(str::to_owned).collect();
    let mut rows = Vec::new();
    let of_axis: Vec<&Measured> = all.iter().filter(|one| one.scenario.axis == axis).collect();
    for point in of_axis.chunk_by(|a, b| a.scenario == b.scenario) {
        rows.push([point[0].scenario.to_string()].into_iter().chain(point.iter().map(|one| cell(one))).collect());
    }
    text.push_str(&table::section(caption, header, rows, markdown));
}

fn metadata_line(one: &Measured) -> Vec<String> {
    let (metadata, heap) = (one.figures.metadata, one.figures.heap);
    let mib = |bytes: f64| format!("{:.2}", bytes / f64::from(1 << 20));
    vec![one.scenario.to_string(), mib(metadata), mib(heap), format!("{:.2}", 100.0 * metadata / heap)]
}

/// What was not measured is not a number.
fn number(value: f64) -> String {
    if value.is_nan() { "-".to_owned() } else { table::number(value) }
}

fn operation(worst: &Worst) -> &'static str {
    match worst.step.operation {
        Operation::Allocate => "allocate",
        Operation::Free => "free",
    }
}

fn describe(worst: &Worst) -> String {
    let mut text = format!(
        "{:7} {:.1} µs: {} of {} B with {} live",
        worst.step.phase.name(),
        f64::from(worst.nanoseconds) / 1e3,
        operation(worst),
        worst.size,
        worst.step.live
    );
    if let Some(moves) = worst.moves {
        let Moves { breaks, maps, heap_before, heap_after, resident_before, resident_after } = moves;
        let _ = write!(text, ", {breaks} break moves, {maps} mappings");
        for (what, before, after) in [("heap", heap_before, heap_after), ("resident", resident_before, resident_after)]
        {
            if before != after {
                let _ = write!(text, ", {what} {} -> {} KiB", before >> 10, after >> 10);
            }
        }
    }
    text
}

/// One line for each point and allocator; of the slowest calls, one group of cells for each phase. A cell is empty
/// where there is no such number.
pub(super) fn csv(all: &[Measured]) -> String {
    let mut text = "axis,value,allocator,malloc_ns,free_ns,large_malloc_ns,large_free_ns,metadata_bytes,heap_bytes,\
                    live_bytes,resident_bytes"
        .to_owned();
    for phase in Phase::ALL.map(Phase::name) {
        for cell in ["calls", "worst_ns", "worst_operation", "worst_size", "worst_live", "break_moves", "mappings"] {
            let _ = write!(text, ",{phase}_{cell}");
        }
        text.extend(SLOW.map(|limit| format!(",{phase}_calls_from_{limit}_ns")));
    }
    text.push('\n');
    let cell = |value: f64| if value.is_nan() { String::new() } else { value.to_string() };
    for Measured { scenario, allocator, figures, worst } in all {
        let mut cells = vec![scenario.axis.name().to_owned(), scenario.value.to_string(), (*allocator).to_owned()];
        cells.extend([figures.allocate, figures.free, figures.allocate_large, figures.free_large].map(cell));
        cells.extend([figures.metadata, figures.heap, figures.live, figures.resident].map(cell));
        for index in 0..Phase::ALL.len() {
            let Some(worst) = worst.map(|worst| worst[index]) else {
                cells.extend(std::iter::repeat_n(String::new(), 7 + SLOW.len()));
                continue;
            };
            cells.extend([worst.calls.to_string(), worst.nanoseconds.to_string(), operation(&worst).to_owned()]);
            cells.extend([worst.size.to_string(), worst.step.live.to_string()]);
            cells.extend([worst.moves.map(|moves| moves.breaks), worst.moves.map(|moves| moves.maps)].map(optional));
            cells.extend(worst.slow.map(|count| count.to_string()));
        }
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    text
}

fn optional(count: Option<usize>) -> String {
    count.map_or(String::new(), |count| count.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::child::Figures;
    use super::super::scenario::{Axis, Scenario};
    use super::super::worst::{Moves, find};
    use super::{Measured, csv, text};

    const MOVES: Moves = Moves {
        breaks: 2,
        maps: 0,
        heap_before: 1 << 20,
        heap_after: 2 << 20,
        resident_before: 4096,
        resident_after: 4096,
    };

    fn measured(allocator: &'static str, axis: Axis, moves: Option<Moves>) -> Measured {
        let scenario = Scenario { axis, value: 4 << 20 };
        let mut durations = vec![10; scenario.calls()];
        durations[3] = 123_456;
        let line = b"1.5 2.5 NaN NaN 16384 1048576 500000 700000";
        let mut worst = find(scenario, &durations).unwrap();
        worst[1].moves = moves;
        Measured { scenario, allocator, figures: Figures::parse(line).unwrap(), worst: Some(worst) }
    }

    #[test]
    fn every_line_has_as_many_cells_as_the_header() {
        let all = [measured("hmalloc", Axis::Heap, Some(MOVES)), measured("system", Axis::Heap, None)];
        let unsought = Measured { worst: None, ..measured("hmalloc-lock", Axis::Heap, None) };
        let csv = csv(&all.into_iter().chain([unsought]).collect::<Vec<_>>());
        assert_eq!(csv.lines().count(), 4);
        let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{csv}");
        let cell = |name| lines[1][lines[0].iter().position(|cell| *cell == name).unwrap()];
        assert_eq!((cell("malloc_ns"), cell("large_free_ns"), cell("fill_break_moves")), ("1.5", "", "2"));
        assert_eq!((cell("fill_worst_ns"), cell("fill_calls_from_100000_ns")), ("123456", "1"));
    }

    #[test]
    fn a_slow_call_is_named_with_what_it_did() {
        let text = text(&[measured("hmalloc", Axis::Heap, Some(MOVES))], false);
        assert!(text.contains("fill    123.5 µs: allocate of "), "{text}");
        assert!(text.contains("with 3 live, 2 break moves, 0 mappings, heap 1024 -> 2048 KiB\n"), "{text}");
        assert!(text.contains("1.56"), "metadata in percent: {text}");
    }
}
