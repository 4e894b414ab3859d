//! Charts of the ratios to the best peer, as SVG.

use crate::base::stats::Process;
use crate::measure::record::{Data, Name};
use crate::report::ELEVEN;
use crate::report::ours::{self, Value};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::Path;

/// Ratios above this are drawn at the edge.
const HIGHEST: f64 = 32.0;
const LOWEST: f64 = 0.25;

/// Time and footprint, each in a file of its own.
pub(crate) fn draw(data: &Data, folder: &Path, process: Process) -> Result<(), String> {
    let time = |workload: &str, allocator: &str| process.of(&data.warm(workload, allocator));
    let footprint = |workload: &str, allocator: &str| data.footprint(workload, allocator);
    let charts: [(&str, &str, Value); 2] = [
        ("time.svg", "Time per operation, warm, to the best peer (below 1: faster)", &time),
        ("footprint.svg", "Peak resident / peak live, to the best peer (below 1: smaller)", &footprint),
    ];
    for (file, title, value) in charts {
        let path = folder.join(file);
        chart(data, &path, title, value).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// Workloads from left to right, a dot for each allocator, ours as large squares.
fn chart(data: &Data, path: &Path, title: &str, value: Value) -> Result<(), Box<dyn std::error::Error>> {
    let ratio = |workload: &str, name: &str| ours::ratio(data, workload, name, value);
    let shown = |workload: &&str| data.allocators().iter().any(|name| ratio(workload, &name.name).is_some());
    let eleven = ELEVEN.into_iter().filter(|column| data.workloads().iter().any(|load| load == column));
    let others = data.workloads().iter().map(String::as_str).filter(|load| !ELEVEN.contains(load));
    let workloads: Vec<&str> = eleven.chain(others).filter(shown).collect();
    if workloads.is_empty() {
        return Ok(());
    }
    let width = 260 + 90 * workloads.len().max(6) as u32;
    let area = SVGBackend::new(path, (width, 640)).into_drawing_area();
    area.fill(&WHITE)?;
    let (plot, legend) = area.split_horizontally(width - 170);
    let mut chart = ChartBuilder::on(&plot)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d(-0.5..workloads.len() as f64 - 0.5, (LOWEST..HIGHEST).log_scale().base(2.0))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(workloads.len())
        .x_label_formatter(&|x| label(&workloads, *x))
        .y_label_formatter(&|y| format!("{y}"))
        .draw()?;
    for bound in [1.0, 1.3] {
        let line = [(-0.5, bound), (workloads.len() as f64 - 0.5, bound)];
        chart.draw_series(LineSeries::new(line, BLACK.mix(0.5)))?;
    }
    let (own, peers): (Vec<_>, Vec<_>) =
        data.allocators().iter().filter(|name| name.whose != "boundary").partition(|name| name.whose == "ours");
    for (index, name) in peers.iter().enumerate() {
        let dots = points(&workloads, &ratio, name, offset(index, peers.len()));
        chart.draw_series(dots.iter().map(|&dot| Circle::new(dot, 4, color(index).filled())))?;
    }
    for (index, name) in own.iter().enumerate() {
        let dots = points(&workloads, &ratio, name, 0.0);
        let style = own_style(index);
        chart.draw_series(dots.iter().map(|&dot| EmptyElement::at(dot) + Rectangle::new([(-5, -5), (5, 5)], style)))?;
    }
    names(&legend, &own, &peers)?;
    area.present()?;
    Ok(())
}

fn label(workloads: &[&str], x: f64) -> String {
    let index = x.round();
    let is_whole = (x - index).abs() < 0.01 && index >= 0.0;
    if is_whole { workloads.get(index as usize).copied().unwrap_or_default().to_owned() } else { String::new() }
}

/// Peers stand side by side, so that none hides another.
fn offset(index: usize, count: usize) -> f64 {
    (index as f64 / count.max(2) as f64 - 0.5) * 0.7
}

fn points(workloads: &[&str], ratio: &impl Fn(&str, &str) -> Option<f64>, name: &Name, offset: f64) -> Vec<(f64, f64)> {
    let point = |(index, workload): (usize, &&str)| {
        Some((index as f64 + offset, ratio(workload, &name.name)?.clamp(LOWEST, HIGHEST)))
    };
    workloads.iter().enumerate().filter_map(point).collect()
}

/// The first of ours is filled, the second, with a lock, an outline.
fn own_style(index: usize) -> ShapeStyle {
    if index == 0 { BLACK.filled() } else { BLACK.stroke_width(2) }
}

fn color(index: usize) -> HSLColor {
    HSLColor(index as f64 * 0.381_966 % 1.0, 0.75, if index.is_multiple_of(2) { 0.45 } else { 0.6 })
}

fn names(
    area: &DrawingArea<SVGBackend, Shift>,
    own: &[&Name],
    peers: &[&Name],
) -> Result<(), Box<dyn std::error::Error>> {
    for (row, name) in own.iter().chain(peers).enumerate() {
        let (x, y) = (14, 60 + row as i32 * 24);
        match row.checked_sub(own.len()) {
            None => {
                area.draw(&Rectangle::new([(x - 5, y - 5), (x + 5, y + 5)], own_style(row)))?;
            }
            Some(index) => area.draw(&Circle::new((x, y), 4, color(index).filled()))?,
        }
        area.draw(&Text::new(name.name.clone(), (x + 14, y - 7), ("sans-serif", 15)))?;
    }
    Ok(())
}
