//! What is printed, and the table of numbers.

use super::measured::{ALLOCATORS, Measured, Moves, SLOW, Worst};
use super::scenario::{Axis, Phase, Step};
use crate::base::table::{self, Table, cell, mib, microseconds, number};
use std::fmt::Write;
use strum::{EnumCount, VariantArray};

/// All tables as text.
pub(super) fn text(all: &[Measured], markdown: bool) -> String {
    let small = |one: &Measured| format!("{} / {}", number(one.figures.allocate), number(one.figures.free));
    let large = |one: &Measured| format!("{} / {}", cell(one.figures.allocate_large), cell(one.figures.free_large));
    let slowest = |one: &Measured| {
        let each = one.worst.map(|worst| worst.map(|worst| microseconds(worst.nanoseconds)).join(" / "));
        each.unwrap_or("-".to_owned())
    };
    let section = |axis, caption: &str, cell: &dyn Fn(&Measured) -> String| {
        let mut table = Table::new(caption, ALLOCATORS, markdown);
        for point in all.chunk_by(|a, b| a.scenario == b.scenario).filter(|point| point[0].scenario.axis == axis) {
            table.row(&point[0].scenario.to_string(), point.iter().map(cell));
        }
        table.to_string()
    };
    let (single, calls) =
        ("The slowest single call, µs, first / to fill / to replace / to drain, by", "ns for an allocation / a free");
    [
        section(Axis::Live, &format!("Small blocks, by how many are live: {calls}"), &small),
        section(Axis::Heap, &format!("Small blocks over large ones, by bytes in the large: {calls}"), &small),
        section(Axis::Heap, &format!("The large blocks: {calls}"), &large),
        section(Axis::Live, &format!("{single} how many are live"), &slowest),
        section(Axis::Heap, &format!("{single} bytes in large blocks"), &slowest),
        metadata(all, markdown),
        slow_calls(all, markdown),
    ]
    .concat()
}

fn slow_calls(all: &[Measured], markdown: bool) -> String {
    let mut text = table::title("What hmalloc's slowest calls were", markdown);
    for one in all.iter().filter(|one| one.allocator.starts_with("hmalloc")) {
        for worst in one.worst.iter().flatten() {
            let _ = writeln!(text, "{:14} {:12} {}", one.scenario.to_string(), one.allocator, describe(worst));
        }
    }
    let resident = all.iter().map(|one| one.figures.resident).max().unwrap_or(0);
    text + &format!("\nThe most that a process had resident: {} MiB\n", mib(resident as u64))
}

fn metadata(all: &[Measured], markdown: bool) -> String {
    let columns = ["metadata", "heap", "% of the heap"];
    let mut table = Table::new("What headers and page map take, MiB", columns, markdown);
    for one in all.iter().filter(|one| one.allocator == ALLOCATORS[0]) {
        if let (Some(metadata), Some(heap)) = (one.figures.metadata, one.figures.heap) {
            let [metadata, heap] = [metadata, heap].map(|bytes| bytes as f64 / f64::from(1 << 20));
            let numbers = [metadata, heap, 100.0 * metadata / heap].map(|number| format!("{number:.2}"));
            table.row(&one.scenario.to_string(), numbers);
        }
    }
    table.to_string()
}

fn describe(worst: &Worst) -> String {
    let Worst { size, step: Step { phase, operation, live, .. }, .. } = worst;
    let time = f64::from(worst.nanoseconds) / 1e3;
    let mut text = format!("{phase:7} {time:.1} µs: {operation} of {size} B with {live} live");
    if let Some(Moves { breaks, maps, heap_before, heap_after, resident_before, resident_after }) = worst.moves {
        let _ = write!(text, ", {breaks} break moves, {maps} mappings");
        let sizes = [("heap", heap_before, heap_after), ("resident", resident_before, resident_after)];
        for (what, before, after) in sizes.into_iter().filter(|(_, before, after)| before != after) {
            let _ = write!(text, ", {what} {} -> {} KiB", before >> 10, after >> 10);
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
    for phase in Phase::VARIANTS {
        for cell in ["calls", "worst_ns", "worst_operation", "worst_size", "worst_live", "break_moves", "mappings"] {
            let _ = write!(text, ",{phase}_{cell}");
        }
        text.extend(SLOW.map(|limit| format!(",{phase}_calls_from_{limit}_ns")));
    }
    text.push('\n');
    for Measured { scenario, allocator, figures, worst } in all {
        let mut cells = vec![scenario.axis.to_string(), scenario.value.to_string(), (*allocator).to_owned()];
        cells.extend([figures.allocate, figures.free].map(|number| number.to_string()));
        cells.extend([figures.allocate_large, figures.free_large].map(optional));
        cells.extend([figures.metadata, figures.heap, figures.live, Some(figures.resident)].map(optional));
        (0..Phase::COUNT).for_each(|index| cells.extend(phase_cells(worst.map(|worst| worst[index]))));
        text += &(cells.join(",") + "\n");
    }
    text
}

fn phase_cells(worst: Option<Worst>) -> Vec<String> {
    let Some(worst) = worst else { return vec![String::new(); 7 + SLOW.len()] };
    let mut cells = vec![worst.calls.to_string(), worst.nanoseconds.to_string(), worst.step.operation.to_string()];
    cells.extend([worst.size.to_string(), worst.step.live.to_string()]);
    cells.extend([worst.moves.map(|moves| moves.breaks), worst.moves.map(|moves| moves.maps)].map(optional));
    cells.extend(worst.slow.map(|count| count.to_string()));
    cells
}

fn optional(number: Option<impl ToString>) -> String {
    number.map_or(String::new(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::measured::{Figures, find};
    use super::super::scenario::Scenario;
    use super::*;

    const MOVES: Moves = Moves {
        breaks: 2,
        maps: 0,
        heap_before: 1 << 20,
        heap_after: 2 << 20,
        resident_before: 4096,
        resident_after: 4096,
    };

    fn measured(allocator: &'static str, moves: Option<Moves>) -> Measured {
        let scenario = Scenario { axis: Axis::Heap, value: 4 << 20 };
        let mut durations = vec![10; scenario.calls()];
        durations[3] = 123_456;
        let figures = r#"{"allocate": 1.5, "free": 2.5, "metadata": 16384, "heap": 1048576, "live": 5, "resident": 7}"#;
        let figures: Figures = serde_json::from_str(figures).unwrap();
        let mut worst = find(scenario, &durations).unwrap();
        worst[1].moves = moves;
        Measured { scenario, allocator, figures, worst: Some(worst) }
    }

    #[test]
    fn every_line_has_as_many_cells_as_the_header() {
        let all = [measured("hmalloc", Some(MOVES)), measured("system", None)];
        let unsought = Measured { worst: None, ..measured("hmalloc-alone", None) };
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
        let text = text(&[measured("hmalloc", Some(MOVES))], false);
        assert!(text.contains("fill    123.5 µs: allocate of "), "{text}");
        assert!(text.contains("with 3 live, 2 break moves, 0 mappings, heap 1024 -> 2048 KiB\n"), "{text}");
        assert!(text.contains("1.56"), "metadata in percent: {text}");
    }
}
