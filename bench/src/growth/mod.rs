//! How cost grows with the number of live blocks and with the size of the heap.
//!
//! ```text
//!   parent (this file)                        child.rs, a process for each measurement
//!     for each point and allocator   ----->     times batches of calls: one line of numbers
//!                                    3 x --->   times every call of a fixed sequence: one duration a call
//!     measured.rs  the slowest call  ----->     goes to that call again and counts break moves
//!     report.rs, chart.rs            what is printed, the table of numbers, the drawing
//! ```

mod chart;
pub(crate) mod child;
mod measured;
mod report;
mod scenario;

use crate::allocators;
use crate::base::progress::Progress;
use crate::base::{child as process, durations, machine};
use anyhow::{Context, Result, ensure};
use measured::{ALLOCATORS, Figures, Measured, Moves, OfPhases, find};
use scenario::Scenario;
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Processes that run the same sequence of calls; each call counts with its fastest.
const REPETITIONS: usize = 3;

/// Above this many live blocks a sequence takes seconds, and the slowest calls are looked for in one of hmalloc's two
/// kinds only: the other is the same heap for a single thread.
const BOTH_KINDS_MAX: usize = 1_000_000;

/// How long the search for the slowest calls may take in all. Sequences that would make it longer are left out.
const SEARCH_MAX: Duration = Duration::from_secs(240);

/// Measures all points, prints them, and leaves `growth.csv` and `growth.svg` in the folder `out`.
pub(crate) fn run(out: &Path, quick: bool, markdown: bool) -> Result<()> {
    let all = measure(quick)?;
    println!("{}\n", machine::here_and_now());
    print!("{}", report::text(&all, markdown));
    let write = || -> Result<()> {
        std::fs::create_dir_all(out)?;
        std::fs::write(out.join("growth.csv"), report::csv(&all))?;
        chart::draw(&all, &out.join("growth.svg"))
    };
    write().with_context(|| format!("nothing could be written to {}", out.display()))?;
    println!("\ngrowth.csv and growth.svg: {}", out.display());
    Ok(())
}

fn measure(quick: bool) -> Result<Vec<Measured>> {
    let (mut all, mut search, points) = (Vec::new(), Search::default(), scenario::points(quick));
    let progress = Progress::new(points.len() * ALLOCATORS.len());
    for scenario in points {
        progress.part(&scenario.to_string());
        for name in ALLOCATORS {
            progress.step(name);
            let measured = measure_one(scenario, name, &mut search);
            all.push(measured.with_context(|| format!("{name} at {scenario}"))?);
        }
    }
    progress.end();
    eprintln!("The search for the slowest calls took {:.0} s", search.spent.as_secs_f64());
    Ok(all)
}

fn measure_one(scenario: Scenario, allocator: &'static str, search: &mut Search) -> Result<Measured> {
    let figures: Figures = process::parse(&child("time", allocator, scenario, &[])?)?;
    let is_twin = allocator == ALLOCATORS[1] && scenario.slots() > BOTH_KINDS_MAX;
    let worst = (!is_twin && search.has_time(scenario, allocator)).then(|| search.slowest(scenario, allocator));
    Ok(Measured { scenario, allocator, figures, worst: worst.transpose()? })
}

/// How long the search for the slowest calls has taken.
#[derive(Default)]
struct Search {
    spent: Duration,
    /// By allocator: seconds for each call of the last sequence, which is shorter than the next one.
    pace: HashMap<&'static str, f64>,
}

impl Search {
    /// Whether there is time for this sequence. Calls get slower as sequences get longer, so half as much is added.
    fn has_time(&self, scenario: Scenario, allocator: &str) -> bool {
        let seconds = 1.5 * self.pace.get(allocator).unwrap_or(&0.0) * scenario.calls() as f64;
        self.spent + Duration::from_secs_f64(seconds) <= SEARCH_MAX
    }

    fn slowest(&mut self, scenario: Scenario, allocator: &'static str) -> Result<OfPhases> {
        let begin = Instant::now();
        let found = slowest(scenario, allocator);
        self.spent += begin.elapsed();
        self.pace.insert(allocator, begin.elapsed().as_secs_f64() / scenario.calls() as f64);
        found
    }
}

/// The slowest call of each phase and, of an allocator that can say so, what it did.
fn slowest(scenario: Scenario, allocator: &str) -> Result<OfPhases> {
    let durations = durations::fastest((0..REPETITIONS).map(|_| child("calls", allocator, scenario, &[])))?;
    let mut worst = find(scenario, &durations)?;
    if allocators::stats(allocator).is_some() {
        let positions = worst.map(|worst| worst.position.to_string());
        let answer = child("moves", allocator, scenario, &positions)?;
        let moves: Vec<Moves> = serde_json::Deserializer::from_slice(&answer).into_iter().collect::<Result<_, _>>()?;
        ensure!(moves.len() == worst.len(), "its process tells of {} calls instead of {}", moves.len(), worst.len());
        for (worst, moves) in worst.iter_mut().zip(moves) {
            worst.moves = Some(moves);
        }
    }
    Ok(worst)
}

/// What a process of its own says.
fn child(what: &str, allocator: &str, scenario: Scenario, more: &[String]) -> Result<Vec<u8>> {
    let (axis, value) = (scenario.axis.to_string(), scenario.value.to_string());
    process::output(process::command(&["growth", what, allocator, &axis, &value]).args(more))
}

#[cfg(test)]
mod tests {
    use super::scenario::{Axis, Scenario};
    use super::{SEARCH_MAX, Search};

    #[test]
    fn what_would_take_too_long_is_left_out() {
        let point = |value| Scenario { axis: Axis::Live, value };
        let pace = SEARCH_MAX.as_secs_f64() / point(1_000_000).calls() as f64;
        let mut search = Search { pace: [("slow", pace)].into(), ..Search::default() };
        assert!(search.has_time(point(500_000), "slow") && !search.has_time(point(1_000_000), "slow"));
        assert!(search.has_time(point(1_000_000), "new"));
        search.spent = SEARCH_MAX;
        assert!(!search.has_time(point(1_000), "slow"));
    }
}
