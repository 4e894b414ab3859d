//! The slowest single calls as the heap grows to more addresses than the machine has memory: blocks that are never written.
//!
//! One sequence of calls passes all points, 1 MiB to 256 GiB. At each one, blocks are first added until there are so
//! many, then random ones are replaced. Three processes make the same calls, and a call counts with its fastest time.

use super::job::Job;
use super::parent::Parent;
use crate::allocators::block::Block;
use crate::base::durations::{Durations, fastest};
use crate::base::random::{SEED, Sizes, below, next};
use crate::base::table::{Table, microseconds, number, size};
use crate::base::{child, kernel};
use crate::options::Part;
use anyhow::Result;

pub(super) const REPETITIONS: usize = 3;

const SIZES: Sizes = Sizes::LogUniform(64 << 10, 4 << 20);
/// Their mean: the difference over the logarithm of the ratio.
const MEAN: u64 = 992_755;

const SPACE_MAX: u64 = 256 << 30;
/// What the quick run ends at is not divided by as much as the rest: the calls are few.
const SPACE_MAX_QUICK: u64 = 1 << 30;

fn space_max(scale: usize) -> u64 {
    if scale == 1 { SPACE_MAX } else { SPACE_MAX_QUICK }
}

/// 1 MiB, then four times as much each time.
fn points(max: u64) -> impl Iterator<Item = u64> {
    (0..).map(|power| (1_u64 << 20) << (2 * power)).take_while(move |&bytes| bytes <= max)
}

fn slots(bytes: u64) -> usize {
    bytes.div_ceil(MEAN) as usize
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Fill,
    Replace,
    Free,
}

/// One call of the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    /// 0 is the first call of all, the others are counted from 1.
    point: usize,
    kind: Kind,
    slot: usize,
    size: usize,
}

/// The calls of the sequence, one after another.
fn walk(max: u64) -> impl Iterator<Item = Step> {
    let (mut random, mut count) = (SEED, 0);
    let mut points = (1..).zip(points(max));
    let (mut point, mut bytes) = points.next().unwrap_or_default();
    // The blocks that are still to be replaced at this point, and the slot of one that was freed.
    let (mut left, mut freed) = (100, None);
    std::iter::from_fn(move || {
        if let Some(slot) = freed.take() {
            return Some(Step { point, kind: Kind::Replace, slot, size: SIZES.next(&mut random) });
        }
        if left == 0 {
            (point, bytes) = points.next()?;
            left = slots(bytes).clamp(100, 10_000);
        }
        if count < slots(bytes) {
            let point = if count == 0 { 0 } else { point };
            count += 1;
            return Some(Step { point, kind: Kind::Fill, slot: count - 1, size: SIZES.next(&mut random) });
        }
        left -= 1;
        let slot = below(next(&mut random), count);
        freed = Some(slot);
        Some(Step { point, kind: Kind::Free, slot, size: 0 })
    })
}

/// Times every call and writes the durations, up to the first call that is refused.
pub(super) fn child(job: &Job) -> Result<()> {
    let max = space_max(job.scale);
    let (entry, blocks) = (job.entry, kernel::table(slots(max), |_| Block::NONE));
    let mut durations = Durations::new(walk(max).count());
    kernel::forbid_huge_pages();
    (entry.prepare)();
    for step in walk(max) {
        let block = &mut blocks[step.slot];
        if step.kind == Kind::Free {
            durations.time(|| entry.free_block(*block));
            continue;
        }
        // SAFETY: no size is 0.
        let payload = durations.time(|| unsafe { (entry.allocate)(step.size) });
        *block = Block { payload, size: step.size };
        if block.is_none() {
            durations.forget_last();
            break;
        }
    }
    durations.write()
}

/// The slowest calls of each kind at each point, the first call's apart; nothing where not all calls were made.
type Slowest = Vec<Option<[u32; 3]>>;

/// The second answer is the bytes asked for when a request was refused.
fn slowest(durations: &[u32], max: u64) -> (Slowest, Option<u64>) {
    let mut found = vec![Some([0; 3]); points(max).count() + 1];
    let mut sizes = vec![0; slots(max)];
    for (position, step) in walk(max).enumerate() {
        let Some(&duration) = durations.get(position) else {
            found[step.point..].fill(None);
            return (found, Some(sizes.iter().map(|&size| size as u64).sum()));
        };
        if let Some(slowest) = &mut found[step.point] {
            slowest[step.kind as usize] = duration.max(slowest[step.kind as usize]);
        }
        sizes[step.slot] = step.size;
    }
    (found, None)
}

pub(super) fn tables(parent: &mut Parent<'_>) -> String {
    const CASE: &str = "untouched blocks";
    let (max, mut columns) = (space_max(parent.scale()), Vec::new());
    for entry in parent.allocators.clone() {
        let answers = (0..REPETITIONS).map(|_| child::output(&mut parent.command(Part::Space, entry, CASE)));
        columns.push(match fastest(answers) {
            Ok(durations) => {
                let (slowest, refused) = slowest(&durations, max);
                if let Some(bytes) = refused {
                    let gib = number(bytes as f64 / f64::from(1 << 30));
                    parent.remark(entry, CASE, &format!("refused a request at {gib} GiB"));
                }
                slowest
            }
            Err(reason) => {
                parent.remark(entry, CASE, &format!("{reason:#}"));
                vec![None; points(max).count() + 1]
            }
        });
    }
    text(parent, max, &columns)
}

fn text(parent: &Parent<'_>, max: u64, columns: &[Slowest]) -> String {
    let section = |caption: &str, cell: fn([u32; 3]) -> String| {
        let mut table = Table::new(caption, parent.allocators.iter().map(|entry| entry.name), parent.options.markdown);
        let labels = ["first call".to_owned()].into_iter().chain(points(max).map(size));
        for (point, label) in labels.enumerate() {
            table.row(&label, columns.iter().map(|column| column[point].map_or("-".to_owned(), cell)));
        }
        table.to_string()
    };
    let allocations = section(
        "The slowest single allocation, µs, to fill / to replace: untouched blocks of 64 KiB to 4 MiB, by bytes live",
        |[fill, replace, _]| format!("{} / {}", time(fill), time(replace)),
    );
    allocations + &section("The slowest single free there, µs", |[.., free]| time(free))
}

/// No call takes no time.
fn time(nanoseconds: u32) -> String {
    if nanoseconds == 0 { "-".to_owned() } else { microseconds(nanoseconds) }
}

#[cfg(test)]
mod tests;
