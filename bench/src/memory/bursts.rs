//! What stays resident after bursts of blocks, all of which were freed.

use super::blocks::Blocks;
use super::job::Job;
use super::parent::Parent;
use crate::allocators::candidate::Entry;
use crate::base::child::ended_well;
use crate::base::kernel;
use crate::base::random::{SEED, Sizes};
use crate::base::table::mib;
use crate::options::Part;
use anyhow::{Context, Result};
use indicatif::HumanCount;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout};

const BURSTS: usize = 8;

/// The block that is allocated and freed after the rest: some allocators look at their free memory in a call only.
const AFTER_REST: usize = 100_000;

/// The blocks of a burst.
pub(super) struct Shape {
    name: &'static str,
    count: usize,
    sizes: Sizes,
    /// Whether they are freed in random order instead of first to last.
    shuffled: bool,
}

const fn shape(name: &'static str, count: usize, low: u32, high: u32) -> Shape {
    let shuffled = low != high;
    Shape {
        name,
        count,
        sizes: if shuffled { Sizes::LogUniform(low, high) } else { Sizes::Uniform(low, low) },
        shuffled,
    }
}

/// Each is of some 300 MB.
pub(super) static SHAPES: [Shape; 5] = [
    shape("1000000", 300, 1_000_000, 1_000_000),
    shape("65536", 5_000, 65_536, 65_536),
    shape("16000", 20_000, 16_000, 16_000),
    shape("1000", 300_000, 1_000, 1_000),
    // The mean is 94,500 B.
    shape("mixed", 3_200, 16, 1 << 20),
];

impl Shape {
    fn count(&self, scale: usize) -> usize {
        self.count / scale
    }

    fn caption(&self, scale: usize) -> String {
        let blocks = HumanCount(self.count(scale) as u64);
        match self.sizes {
            Sizes::Uniform(size, _) => format!("{blocks} blocks of {} B", HumanCount(size.into())),
            _ => format!("{blocks} blocks of 16 B to 1 MiB, log-uniform, freed in random order"),
        }
    }
}

/// Prints a line after each burst, and one after the rest.
pub(super) fn child(job: &Job) -> Result<()> {
    let shape = SHAPES.iter().find(|shape| shape.name == job.case).context("a shape")?;
    let count = shape.count(job.scale);
    let mut blocks = Blocks::new(job.entry, count);
    let mut random = SEED;
    for _ in 0..BURSTS {
        (0..count).for_each(|_| blocks.add(shape.sizes.next(&mut random)));
        if shape.shuffled {
            blocks.shuffle(&mut random);
        }
        blocks.retain(0, |_, _| false);
        kernel::say(format_args!("{}\n", blocks.resident()));
    }
    std::thread::sleep(job.rest);
    blocks.add(AFTER_REST);
    blocks.remove(0);
    kernel::say(format_args!("{}\n", blocks.resident()));
    Ok(())
}

/// A process that has done its bursts and rests.
struct Resting {
    entry: &'static Entry,
    shape: &'static Shape,
    child: Child,
    answer: Lines<BufReader<ChildStdout>>,
    bursts: Vec<String>,
}

/// The bursts of all processes come one after another, and their rests side by side.
pub(super) fn tables(parent: &mut Parent<'_>) -> Result<String> {
    let mut resting = Vec::new();
    for shape in &SHAPES {
        for entry in &parent.allocators {
            resting.push(start(parent, entry, shape)?);
        }
    }
    let mut rows = Vec::new();
    for process in resting {
        rows.push(finish(parent, process)?);
    }
    let numbers: Vec<String> = (1..=BURSTS).map(|burst| burst.to_string()).collect();
    let header: Vec<&str> = numbers.iter().map(String::as_str).chain(["after a rest"]).collect();
    let mut text = String::new();
    for (shape, rows) in SHAPES.iter().zip(rows.chunks(parent.allocators.len())) {
        let caption = format!("Resident after each burst, MiB: {}", shape.caption(parent.scale()));
        text += &parent.table(&caption, &header, rows);
    }
    let (rest, size) = (parent.options.rest.as_secs_f64(), HumanCount(AFTER_REST as u64));
    text += &format!("After a rest: {rest} s later, and after one more block of {size} B. Nothing is live.\n\n");
    Ok(text)
}

/// Waits for the end of the last burst.
fn start(parent: &Parent<'_>, entry: &'static Entry, shape: &'static Shape) -> Result<Resting> {
    let mut child = parent.command(Part::Bursts, entry, shape.name).spawn()?;
    let mut answer = BufReader::new(child.stdout.take().context("no output")?).lines();
    let bursts = residents(answer.by_ref().take(BURSTS));
    Ok(Resting { entry, shape, child, answer, bursts })
}

/// What lines of bytes say, in MiB, until there are no more because the process died.
fn residents(lines: impl Iterator<Item = std::io::Result<String>>) -> Vec<String> {
    lines.map_while(|line| Some(mib(line.ok()?.parse().ok()?))).collect()
}

fn finish(parent: &mut Parent<'_>, mut process: Resting) -> Result<Option<Vec<String>>> {
    let mut rest = residents(process.answer);
    if let Err(reason) = ended_well(process.child.wait()?) {
        parent.remark(process.entry, process.shape.name, &reason.to_string());
    }
    rest.resize(1, "-".to_owned());
    Ok((process.bursts.len() == BURSTS).then(|| [process.bursts, rest].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_burst_is_of_some_300_mb() {
        for shape in &SHAPES {
            let mut random = SEED;
            let bytes: u64 = (0..shape.count).map(|_| shape.sizes.next(&mut random) as u64).sum();
            assert!((280_000_000..=340_000_000).contains(&bytes), "{}: {bytes}", shape.name);
        }
    }

    #[test]
    fn captions_say_what_is_done() {
        let captions: Vec<String> = SHAPES.iter().map(|shape| shape.caption(1)).collect();
        assert_eq!(captions[0], "300 blocks of 1,000,000 B");
        assert_eq!(captions[4], "3,200 blocks of 16 B to 1 MiB, log-uniform, freed in random order");
        assert_eq!(SHAPES[0].caption(16), "18 blocks of 1,000,000 B");
    }

    #[test]
    fn lines_come_until_the_process_is_gone() {
        assert_eq!(residents(b"1048576\n0\nhalf a li".lines()), ["1.00", "0.00"]);
    }
}
