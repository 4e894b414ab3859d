//! The drawing: a panel for each kind of cost, what grows to the right, cost upwards, both in powers.

use super::measured::{ALLOCATORS, Measured};
use super::scenario::{Axis, Phase};
use anyhow::{Result, ensure};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::Path;

/// What a panel shows: a title, an axis, and a cost. 0 is not drawn.
type Panel = (&'static str, Axis, fn(&Measured) -> f64);

/// Left to right, then down.
static PANELS: [Panel; 12] = [
    ("small allocation, ns, by live blocks", Axis::Live, |one| one.figures.allocate),
    ("small allocation, ns, by bytes in large blocks", Axis::Heap, |one| one.figures.allocate),
    ("small free, ns, by live blocks", Axis::Live, |one| one.figures.free),
    ("small free, ns, by bytes in large blocks", Axis::Heap, |one| one.figures.free),
    ("slowest call of fills and replacements, µs, by live blocks", Axis::Live, slowest),
    ("slowest call of fills and replacements, µs, by bytes in large blocks", Axis::Heap, slowest),
    ("slowest call while all are freed, µs, by live blocks", Axis::Live, slowest_drain),
    ("slowest call while all are freed, µs, by bytes in large blocks", Axis::Heap, slowest_drain),
    ("metadata, % of the heap, by live blocks", Axis::Live, metadata),
    ("metadata, % of the heap, by bytes in large blocks", Axis::Heap, metadata),
    ("large allocation, ns, by bytes in large blocks", Axis::Heap, |one| one.figures.allocate_large.unwrap_or(0.0)),
    ("large free, ns, by bytes in large blocks", Axis::Heap, |one| one.figures.free_large.unwrap_or(0.0)),
];

/// Colours that stay apart for readers who confuse red and green.
const COLOURS: [RGBColor; ALLOCATORS.len()] =
    [RGBColor(0, 90, 181), RGBColor(86, 180, 233), RGBColor(213, 94, 0), RGBColor(120, 120, 120)];

fn slowest(one: &Measured) -> f64 {
    slowest_of(one, &[Phase::Fill, Phase::Replace])
}

fn slowest_drain(one: &Measured) -> f64 {
    slowest_of(one, &[Phase::Drain])
}

/// 0 where nothing was looked for.
fn slowest_of(one: &Measured, phases: &[Phase]) -> f64 {
    let of_phases = one.worst.iter().flatten().filter(|worst| phases.contains(&worst.step.phase));
    of_phases.map(|worst| f64::from(worst.nanoseconds) / 1e3).fold(0.0, f64::max)
}

fn metadata(one: &Measured) -> f64 {
    let share = one.figures.metadata.zip(one.figures.heap);
    share.map_or(0.0, |(metadata, heap)| 100.0 * metadata as f64 / heap as f64)
}

/// Writes the drawing to `path`.
pub(super) fn draw(all: &[Measured], path: &Path) -> Result<()> {
    let area = SVGBackend::new(path, (1100, 1640)).into_drawing_area();
    area.fill(&WHITE)?;
    let (legend, panels) = area.split_vertically(40);
    for (index, (allocator, colour)) in (0..).zip(ALLOCATORS.iter().zip(COLOURS)) {
        let (x, y) = (80 + index * 160, 25);
        legend.draw(&PathElement::new([(x, y), (x + 24, y)], colour.stroke_width(3)))?;
        legend.draw(&Text::new(*allocator, (x + 32, y - 7), ("sans-serif", 15)))?;
    }
    for (panel, part) in PANELS.iter().zip(panels.split_evenly((PANELS.len() / 2, 2))) {
        draw_panel(all, panel, &part)?;
    }
    area.present()?;
    Ok(())
}

/// The points of one allocator in a panel.
fn line(all: &[Measured], (_, axis, cost): &Panel, allocator: &str) -> Vec<(f64, f64)> {
    let ours = all.iter().filter(|one| one.allocator == allocator && one.scenario.axis == *axis);
    ours.map(|one| (one.scenario.value as f64, cost(one))).filter(|point| point.1 > 0.0).collect()
}

fn draw_panel(all: &[Measured], panel: &Panel, part: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<()> {
    let &(title, axis, _) = panel;
    let lines = ALLOCATORS.map(|allocator| line(all, panel, allocator));
    let points: Vec<(f64, f64)> = lines.iter().flatten().copied().collect();
    ensure!(!points.is_empty(), "there is nothing to draw for {title}");
    let bytes = axis == Axis::Heap;
    let base = if bytes { 4.0 } else { 10.0 };
    let (left, right) = bounds(points.iter().map(|point| point.0));
    let (bottom, top) = bounds(points.iter().map(|point| point.1));
    let (bottom, top) = (10_f64.powf(bottom.log10().floor()), 10_f64.powf(top.log10().ceil()));
    let mut chart = ChartBuilder::on(part)
        .caption(title, ("sans-serif", 15))
        .margin(10)
        // Half of the last label.
        .margin_right(30)
        .x_label_area_size(30)
        .y_label_area_size(55)
        .build_cartesian_2d((left..right).log_scale().base(base), (bottom..top).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_label_formatter(&|value| amount(*value, bytes))
        .y_labels(4)
        .y_label_formatter(&|value| amount(*value, false))
        .draw()?;
    for (points, colour) in lines.iter().zip(COLOURS) {
        chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
        chart.draw_series(points.iter().map(|&point| Circle::new(point, 3, colour.filled())))?;
    }
    Ok(())
}

/// The least and the greatest of some numbers.
fn bounds(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    numbers.fold((f64::INFINITY, 0.0), |(low, high), number| (low.min(number), high.max(number)))
}

/// A number short enough for an axis; bytes in units of 1024.
fn amount(value: f64, bytes: bool) -> String {
    let (unit, names) = if bytes { (1024.0, ["", " KiB", " MiB", " GiB"]) } else { (1000.0, ["", " k", " M", " G"]) };
    let (mut value, mut power) = (value, 0);
    while value >= unit && power + 1 < names.len() {
        (value, power) = (value / unit, power + 1);
    }
    let digits = if value < 0.1 { 3 } else { usize::from(value < 10.0 && value.fract() != 0.0) };
    format!("{value:.digits$}{}", names[power])
}

#[cfg(test)]
mod tests {
    use super::amount;

    #[test]
    fn amounts_are_short() {
        let amounts = [(0.01, false), (0.1, false), (1.0, false), (10_000.0, false), (1e7, false), (16e9, true)];
        let texts = amounts.map(|(value, bytes)| amount(value, bytes));
        assert_eq!(texts, ["0.010", "0.1", "1", "10 k", "10 M", "15 GiB"]);
    }
}
