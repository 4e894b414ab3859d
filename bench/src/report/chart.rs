//! Charts of the ratios to the best peer, as SVG.

use super::columns::{groups, ratio};
use crate::allocators::candidate::Kind;
use crate::base::stats::Process;
use crate::measure::data::{Data, Quantity};
use anyhow::{Context, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::Path;

/// Ratios above this are drawn at the edge.
const HIGHEST: f64 = 32.0;
const LOWEST: f64 = 0.25;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Time and footprint, each in a file of its own.
pub(super) fn draw(data: &Data, folder: &Path, process: Process) -> Result<()> {
    let time = ("time.svg", "Time per operation, warm, to the best peer (below 1: faster)", Quantity::Warm(process));
    let footprint =
        ("footprint.svg", "Peak resident / peak live, to the best peer (below 1: smaller)", Quantity::Footprint);
    for (file, title, quantity) in [time, footprint] {
        draw_one(data, &folder.join(file), title, quantity)?;
    }
    Ok(())
}

/// One file.
pub(super) fn draw_one(data: &Data, path: &Path, title: &str, quantity: Quantity) -> Result<()> {
    chart(data, path, title, quantity).with_context(|| path.display().to_string())
}

/// An allocator's name, its ratios by workload, and how it is drawn.
struct Dots<'a> {
    name: &'a str,
    points: Vec<(f64, f64)>,
    /// Ours are squares.
    is_ours: bool,
    style: ShapeStyle,
}

/// Peers stand side by side, so that none hides another. The first of ours is filled, the others are outlines.
fn dots<'a>(data: &'a Data, workloads: &[&str], quantity: Quantity) -> Vec<Dots<'a>> {
    let dots = |name: &'a str, offset: f64, is_ours, style| {
        let point = |(index, workload): (usize, &&str)| {
            let ratio = ratio(data, workload, name, quantity)?;
            Some((index as f64 + offset, ratio.clamp(LOWEST, HIGHEST)))
        };
        Dots { name, points: workloads.iter().enumerate().filter_map(point).collect(), is_ours, style }
    };
    let ours = data.whose(Kind::Ours).enumerate().map(|(index, name)| {
        let style = if index == 0 { BLACK.filled() } else { BLACK.stroke_width(2) };
        dots(name, 0.0, true, style)
    });
    let count = data.whose(Kind::Peer).count().max(2) as f64;
    let peers = data
        .whose(Kind::Peer)
        .enumerate()
        .map(|(index, name)| dots(name, (index as f64 / count - 0.5) * 0.7, false, color(index).filled()));
    ours.chain(peers).collect()
}

/// Workloads from left to right, a dot for each allocator, ours as large squares.
fn chart(data: &Data, path: &Path, title: &str, quantity: Quantity) -> Result<()> {
    let shown = |load: &&str| data.allocators().any(|name| ratio(data, load, name, quantity).is_some());
    let workloads: Vec<&str> = groups(data).concat().into_iter().filter(shown).collect();
    if workloads.is_empty() {
        return Ok(());
    }
    let width = 260 + 90 * workloads.len().max(6) as u32;
    let area = SVGBackend::new(path, (width, 640)).into_drawing_area();
    area.fill(&WHITE)?;
    let (plot, legend) = area.split_horizontally(width - 170);
    let dots = dots(data, &workloads, quantity);
    draw_plot(&plot, title, &workloads, &dots)?;
    for (row, one) in (0..).zip(&dots) {
        let (x, y) = (14, 60 + row * 24);
        match one.is_ours {
            true => legend.draw(&Rectangle::new([(x - 5, y - 5), (x + 5, y + 5)], one.style))?,
            false => legend.draw(&Circle::new((x, y), 4, one.style))?,
        }
        legend.draw(&Text::new(one.name.to_owned(), (x + 14, y - 7), ("sans-serif", 15)))?;
    }
    area.present()?;
    Ok(())
}

fn draw_plot(plot: &Area<'_>, title: &str, workloads: &[&str], dots: &[Dots<'_>]) -> Result<()> {
    let right = workloads.len() as f64 - 0.5;
    let mut chart = ChartBuilder::on(plot)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d(-0.5..right, (LOWEST..HIGHEST).log_scale().base(2.0))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(workloads.len())
        .x_label_formatter(&|x| label(workloads, *x))
        .y_label_formatter(&|y| format!("{y}"))
        .draw()?;
    for bound in [1.0, 1.3] {
        chart.draw_series(LineSeries::new([(-0.5, bound), (right, bound)], BLACK.mix(0.5)))?;
    }
    // Ours come last, over the others.
    for Dots { points, style, .. } in dots.iter().filter(|one| !one.is_ours) {
        chart.draw_series(points.iter().map(|&point| Circle::new(point, 4, *style)))?;
    }
    for Dots { points, style, .. } in dots.iter().filter(|one| one.is_ours) {
        let square = || Rectangle::new([(-5, -5), (5, 5)], *style);
        chart.draw_series(points.iter().map(|&point| EmptyElement::at(point) + square()))?;
    }
    Ok(())
}

fn label(workloads: &[&str], x: f64) -> String {
    let index = x.round();
    let is_whole = (x - index).abs() < 0.01 && index >= 0.0;
    if is_whole { workloads.get(index as usize).copied().unwrap_or_default().to_owned() } else { String::new() }
}

fn color(index: usize) -> HSLColor {
    HSLColor(index as f64 * 0.381_966 % 1.0, 0.75, if index.is_multiple_of(2) { 0.45 } else { 0.6 })
}
