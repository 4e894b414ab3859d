//! What is printed, and the table of numbers.

use super::scenario::{Axis, Operation, Phase};
use super::worst::{SLOW, Worst};
use super::{ALLOCATORS, Measured};
use crate::grid;
use std::fmt::Write;

/// All tables as text.
pub(super) fn text(all: &[Measured]) -> String {
    let mut text = String::new();
    for (axis, title) in [
        (Axis::Live, "Small blocks, by how many are live: ns for an allocation / a free"),
        (Axis::Heap, "Small blocks over large ones, by bytes in the large: ns for an allocation / a free"),
    ] {
        let pair = |one: &Measured| format!("{} / {}", number(one.figures.allocate), number(one.figures.free));
        section(&mut text, title, all, axis, pair);
    }
    let large = |one: &Measured| format!("{} / {}", number(one.figures.allocate_large), number(one.figures.free_large));
    section(&mut text, "The large blocks: ns for an allocation / a free", all, Axis::Heap, large);
    for (axis, title) in [
        (Axis::Live, "The slowest single call, µs, by how many blocks are live"),
        (Axis::Heap, "The slowest single call, µs, by bytes in large blocks"),
    ] {
        section(&mut text, title, all, axis, |one| number(f64::from(one.worst.nanoseconds) / 1e3));
    }
    let metadata: Vec<Vec<String>> = [["", "metadata", "heap", "% of the heap"].map(str::to_owned).to_vec()]
        .into_iter()
        .chain(all.iter().filter(|one| one.allocator == ALLOCATORS[0]).map(metadata_line))
        .collect();
    let _ = writeln!(text, "What headers and page map take, MiB\n\n{}", grid::text(&metadata));
    let _ = writeln!(text, "What hmalloc's slowest calls were\n");
    for one in all.iter().filter(|one| one.allocator.starts_with("hmalloc")) {
        let _ = writeln!(text, "{:14} {:12} {}", one.scenario.to_string(), one.allocator, describe(&one.worst));
    }
    let resident = all.iter().map(|one| one.figures.resident).fold(0.0, f64::max);
    let _ = writeln!(text, "\nThe most that a process had resident: {} MiB", number(resident / f64::from(1 << 20)));
    text
}

/// A title and a line for each point of an axis, with a cell for each allocator.
fn section(text: &mut String, title: &str, all: &[Measured], axis: Axis, cell: impl Fn(&Measured) -> String) {
    let mut lines = vec![vec![String::new()]];
    lines[0].extend(ALLOCATORS.map(str::to_owned));
    let of_axis: Vec<&Measured> = all.iter().filter(|one| one.scenario.axis == axis).collect();
    for point in of_axis.chunk_by(|a, b| a.scenario == b.scenario) {
        lines.push([point[0].scenario.to_string()].into_iter().chain(point.iter().map(|one| cell(one))).collect());
    }
    let _ = writeln!(text, "{title}\n\n{}", grid::text(&lines));
}

fn metadata_line(one: &Measured) -> Vec<String> {
    let (metadata, heap) = (one.figures.metadata, one.figures.heap);
    let mib = |bytes: f64| format!("{:.2}", bytes / f64::from(1 << 20));
    vec![one.scenario.to_string(), mib(metadata), mib(heap), format!("{:.2}", 100.0 * metadata / heap)]
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value {
        _ if value.is_nan() => "-".to_owned(),
        _ if value < 10.0 => format!("{value:.2}"),
        _ if value < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn operation(worst: &Worst) -> &'static str {
    match worst.step.operation {
        Operation::Allocate => "allocate",
        Operation::Free => "free",
    }
}

fn phase(worst: &Worst) -> &'static str {
    match worst.step.phase {
        Phase::Fill => "fill",
        Phase::Replace => "replace",
        Phase::Drain => "drain",
    }
}

fn describe(worst: &Worst) -> String {
    let mut text = format!(
        "{:.1} µs: {} of {} B with {} live ({})",
        f64::from(worst.nanoseconds) / 1e3,
        operation(worst),
        worst.size,
        worst.step.live,
        phase(worst)
    );
    if let Some(moves) = worst.moves {
        let _ = write!(
            text,
            ", {} break moves, {} mappings, heap {} -> {} KiB",
            moves.breaks,
            moves.maps,
            moves.heap_before >> 10,
            moves.heap_after >> 10
        );
    }
    text
}

/// One line for each point and allocator. A cell is empty where there is no such number.
pub(super) fn csv(all: &[Measured]) -> String {
    let mut text = "axis,value,allocator,malloc_ns,free_ns,large_malloc_ns,large_free_ns,metadata_bytes,heap_bytes,\
                    live_bytes,resident_bytes,worst_ns,worst_operation,worst_size,worst_live,worst_phase,\
                    worst_break_moves,worst_mappings,calls"
        .to_owned();
    text.extend(SLOW.map(|limit| format!(",calls_from_{limit}_ns")));
    text.push('\n');
    let cell = |value: f64| if value.is_nan() { String::new() } else { value.to_string() };
    for Measured { scenario, allocator, figures, worst } in all {
        let mut cells = vec![scenario.axis.name().to_owned(), scenario.value.to_string(), (*allocator).to_owned()];
        cells.extend([figures.allocate, figures.free, figures.allocate_large, figures.free_large].map(cell));
        cells.extend([figures.metadata, figures.heap, figures.live, figures.resident].map(cell));
        cells.extend([worst.nanoseconds.to_string(), operation(worst).to_owned(), worst.size.to_string()]);
        cells.extend([worst.step.live.to_string(), phase(worst).to_owned()]);
        cells.extend([worst.moves.map(|moves| moves.breaks), worst.moves.map(|moves| moves.maps)].map(optional));
        cells.push(worst.calls.to_string());
        cells.extend(worst.slow.map(|count| count.to_string()));
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
    use super::super::worst::{Moves, Worst};
    use super::{Measured, csv, text};

    fn measured(allocator: &'static str, axis: Axis, moves: Option<Moves>) -> Measured {
        let scenario = Scenario { axis, value: 4 << 20 };
        let mut durations = vec![10; scenario.calls()];
        durations[3] = 123_456;
        let line = b"1.5 2.5 NaN NaN 16384 1048576 500000 700000";
        let mut worst = Worst::find(scenario, &durations).unwrap();
        worst.moves = moves;
        Measured { scenario, allocator, figures: Figures::parse(line).unwrap(), worst }
    }

    #[test]
    fn every_line_has_as_many_cells_as_the_header() {
        let moves = Moves { breaks: 1, maps: 0, heap_before: 0, heap_after: 1 << 20 };
        let all = [measured("hmalloc", Axis::Heap, Some(moves)), measured("system", Axis::Heap, None)];
        let csv = csv(&all);
        let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{csv}");
        let cell = |name| lines[1][lines[0].iter().position(|cell| *cell == name).unwrap()];
        assert_eq!((cell("malloc_ns"), cell("large_free_ns"), cell("worst_break_moves")), ("1.5", "", "1"));
        assert_eq!((cell("worst_ns"), cell("calls_from_100000_ns")), ("123456", "1"));
    }

    #[test]
    fn a_slow_call_is_named_with_what_it_did() {
        let moves = Moves { breaks: 2, maps: 0, heap_before: 1 << 20, heap_after: 2 << 20 };
        let text = text(&[measured("hmalloc", Axis::Heap, Some(moves))]);
        assert!(text.contains("123.5 µs: allocate of "), "{text}");
        assert!(text.contains("with 3 live (fill), 2 break moves, 0 mappings, heap 1024 -> 2048 KiB"), "{text}");
        assert!(text.contains("1.56"), "metadata in percent: {text}");
    }
}
