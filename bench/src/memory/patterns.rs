//! What stays resident where blocks stay between others that go: patterns that break a heap into pieces.

use super::blocks::Blocks;
use super::job::Job;
use super::parent::Parent;
use super::robson::{self, SIZE_MAX, SIZE_MIN};
use crate::base::kernel;
use crate::base::random::{SEED, Sizes, below, next};
use crate::base::table::mib;
use crate::options::Part;
use anyhow::{Context, Result};

const MIB: usize = 1 << 20;

/// A pattern and what it needs of the table of blocks. It ends with its last free.
pub(super) struct Pattern {
    name: &'static str,
    caption: &'static str,
    /// Blocks that are live at most, by what bytes are divided by.
    capacity: fn(usize) -> usize,
    run: fn(&mut Blocks, usize),
}

pub(super) static PATTERNS: [Pattern; 4] = [
    Pattern {
        name: "ladder",
        caption: "Ladder: allocate 16 MiB in blocks of 16 B, free all but one in 16 KiB, repeat for 32 B up to 16 KiB",
        capacity: |scale| RUNG / scale / SIZE_MIN + (SIZE_MAX / SIZE_MIN).ilog2() as usize * (RUNG / SIZE_MAX),
        run: ladder,
    },
    Pattern {
        name: "robson",
        caption: "Robson's: fill 32 MiB with blocks of 16 B, keep those that leave no room for 32 B, up to 16 KiB",
        capacity: |scale| robson::LIVE_MAX / scale / SIZE_MIN,
        run: robson::run,
    },
    Pattern {
        name: "saw-tooth",
        caption: "Saw-tooth: allocate 16 B to 16 KiB until 32 MiB are live, free half at random, repeat up to 256 MiB",
        // The mean is 2,361 B.
        capacity: |scale| TEETH * TOOTH / scale / 1024,
        run: saw_tooth,
    },
    Pattern {
        name: "pinned",
        caption: "Pinned growth: resize a buffer to 64 MiB by eighths, allocate small blocks in between, free it",
        capacity: |_| 60_000,
        run: pinned_growth,
    },
];

/// Bytes of each size of the ladder.
const RUNG: usize = 16 * MIB;

/// For each size, blocks are allocated and freed again, but for the first one in each 16 KiB of them.
fn ladder(blocks: &mut Blocks, scale: usize) {
    let mut size = SIZE_MIN;
    while size <= SIZE_MAX {
        let start = blocks.all().len();
        for _ in 0..RUNG / scale / size {
            blocks.add(size);
        }
        blocks.retain(start, |index, _| (index * size).is_multiple_of(SIZE_MAX));
        size *= 2;
    }
}

const TEETH: usize = 8;
const TOOTH: usize = 32 * MIB;

/// Each time, blocks are allocated until a tooth more is live than the time before; then half is freed at random.
fn saw_tooth(blocks: &mut Blocks, scale: usize) {
    let sizes = Sizes::LogUniform(SIZE_MIN as u32, SIZE_MAX as u32);
    let mut random = SEED;
    for tooth in 1..=TEETH {
        while blocks.live() < tooth * TOOTH / scale {
            blocks.add(sizes.next(&mut random));
        }
        let half = blocks.live() / 2;
        while blocks.live() > half {
            blocks.remove(below(next(&mut random), blocks.all().len()));
        }
    }
}

const BUFFER_MIN: usize = 64 << 10;
const BUFFER_MAX: usize = 64 * MIB;
/// Bytes in small blocks after each step.
const PINS: usize = 16 << 10;

/// Resizes a buffer again and again, each time with fresh small blocks that may lie right behind it. At the end, frees
/// the buffer; they stay.
fn pinned_growth(blocks: &mut Blocks, scale: usize) {
    let sizes = Sizes::LogUniform(SIZE_MIN as u32, 512);
    let (mut random, mut size) = (SEED, BUFFER_MIN);
    blocks.add(size);
    while size < BUFFER_MAX / scale {
        let behind = blocks.live() - size;
        while blocks.live() - size < behind + PINS {
            blocks.add(sizes.next(&mut random));
        }
        size += size / 8;
        blocks.grow(0, size);
    }
    blocks.remove(0);
}

/// Prints peak live, peak resident, live, resident, whether it could be trimmed, and resident after that.
pub(super) fn child(job: &Job) -> Result<()> {
    let pattern = PATTERNS.iter().find(|pattern| pattern.name == job.case).context("a pattern")?;
    let mut blocks = Blocks::new(job.entry, (pattern.capacity)(job.scale));
    (pattern.run)(&mut blocks, job.scale);
    let (peak_live, live, freed, peak) = (blocks.peak_live(), blocks.live(), blocks.resident(), blocks.peak_resident());
    let trimmed = usize::from(blocks.trim());
    let last = blocks.resident();
    kernel::say(format_args!("{:?}", [peak_live, peak, live, freed, trimmed, last]));
    Ok(())
}

const HEADER: [&str; 5] = ["peak live", "peak resident", "live at the end", "resident then", "after a trim"];

pub(super) fn tables(parent: &mut Parent<'_>) -> String {
    let table = |pattern: &Pattern| {
        parent.measure(Part::Patterns, pattern.name, &format!("{}, MiB", pattern.caption), &HEADER, row)
    };
    PATTERNS.iter().map(table).collect()
}

fn row([peak_live, peak, live, freed, trimmed, last]: [u64; 6]) -> Vec<String> {
    let last = if trimmed == 0 { "no trim".to_owned() } else { mib(last) };
    [peak_live, peak, live, freed].map(mib).into_iter().chain([last]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocators;

    /// Runs a pattern on the C library's heap, small.
    fn run(name: &str) -> Blocks {
        let pattern = PATTERNS.iter().find(|pattern| pattern.name == name).unwrap();
        let mut blocks = Blocks::new(allocators::find("system").unwrap(), (pattern.capacity)(32));
        (pattern.run)(&mut blocks, 32);
        blocks
    }

    #[test]
    fn a_ladder_leaves_one_block_in_16_kib_of_each_size() {
        let (blocks, each) = (run("ladder"), RUNG / 32 / SIZE_MAX);
        assert_eq!(blocks.all().len(), 11 * each);
        assert_eq!(blocks.live(), each * (2 * SIZE_MAX - SIZE_MIN));
    }

    #[test]
    fn half_of_the_last_tooth_stays() {
        let (blocks, top) = (run("saw-tooth"), TEETH * TOOTH / 32);
        assert!((top..top + SIZE_MAX).contains(&blocks.peak_live()));
        assert!((top / 2 - SIZE_MAX..=top / 2 + SIZE_MAX).contains(&blocks.live()));
    }

    #[test]
    fn what_was_behind_the_buffer_stays() {
        let blocks = run("pinned");
        assert!(blocks.all().iter().all(|block| block.size <= 512));
        assert!(blocks.peak_live() >= BUFFER_MAX / 32 && blocks.live() < BUFFER_MAX / 32);
    }

    #[test]
    fn a_row_says_who_cannot_trim() {
        assert_eq!(row([1 << 20, 3 << 20, 0, 2 << 20, 1, 1 << 19]), ["1.00", "3.00", "0.00", "2.00", "0.50"]);
        assert_eq!(row([0, 0, 0, 0, 0, 1 << 20])[4], "no trim");
    }
}
