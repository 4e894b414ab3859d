//! The slowest single calls as the heap grows to more addresses than the machine has memory: blocks that nobody writes.
//!
//! One sequence of calls passes all points, 1 MiB to 256 GiB. At each one, blocks are first added until there are so
//! many, then random ones are replaced. Three processes make the same calls, and a call counts with its fastest time,
//! as in `growth/`.

use super::Part;
use super::blocks::SEED;
use super::child::Job;
use super::parent::Parent;
use crate::allocators::Entry;
use crate::base::kernel;
use crate::base::table::{self, number};
use crate::growth::worst::{decode, keep_fastest};
use crate::workloads::{Sizes, below, next};
use std::io::Write;
use std::ptr::null_mut;
use std::time::Instant;

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

/// Makes the calls of the sequence one after another, until `visit` says that it is enough.
fn walk(max: u64, mut visit: impl FnMut(Step) -> bool) {
    let (mut random, mut count) = (SEED, 0);
    for (point, bytes) in (1..).zip(points(max)) {
        while count < slots(bytes) {
            let size = SIZES.pick(next(&mut random)) as usize;
            let point = if count == 0 { 0 } else { point };
            if !visit(Step { point, kind: Kind::Fill, slot: count, size }) {
                return;
            }
            count += 1;
        }
        for _ in 0..count.clamp(100, 10_000) {
            let slot = below(next(&mut random), count);
            let size = SIZES.pick(next(&mut random)) as usize;
            if !visit(Step { point, kind: Kind::Free, slot, size: 0 })
                || !visit(Step { point, kind: Kind::Replace, slot, size })
            {
                return;
            }
        }
    }
}

fn calls(max: u64) -> usize {
    let mut calls = 0;
    walk(max, |_| {
        calls += 1;
        true
    });
    calls
}

/// Times every call and writes the durations in nanoseconds, four bytes each, up to the first that is refused.
pub(super) fn child(job: &Job) -> Option<()> {
    let max = space_max(job.scale);
    let (entry, blocks) = (job.entry, kernel::table(slots(max), |_| (null_mut::<u8>(), 0)));
    let durations = kernel::table(calls(max), |_| 0_u32);
    let mut count = 0;
    kernel::forbid_huge_pages();
    (entry.prepare)();
    walk(max, |step| {
        let (payload, size) = blocks[step.slot];
        let begin = Instant::now();
        // SAFETY: no size is 0, and what is freed is live and has this size: it is allocated anew at once.
        let fresh = unsafe {
            match step.kind {
                Kind::Free => (entry.free)(payload, size),
                Kind::Fill | Kind::Replace => blocks[step.slot] = ((entry.allocate)(step.size), step.size),
            }
            blocks[step.slot].0
        };
        durations[count] = u32::try_from(begin.elapsed().as_nanos()).unwrap_or(u32::MAX);
        count += usize::from(!fresh.is_null());
        !fresh.is_null()
    });
    let bytes = durations[..count].iter().flat_map(|duration| duration.to_le_bytes());
    std::io::stdout().write_all(&bytes.collect::<Vec<u8>>()).ok()
}

/// The slowest calls of each kind at each point, the first call's apart; nothing where not all calls were made.
type Slowest = Vec<Option<[u32; 3]>>;

/// The second answer is the bytes asked for when a request was refused.
fn slowest(durations: &[u32], max: u64) -> (Slowest, Option<u64>) {
    let mut found = vec![Some([0; 3]); points(max).count() + 1];
    let mut sizes = vec![0; slots(max)];
    let (mut position, mut refused) = (0, None);
    walk(max, |step| {
        let Some(&duration) = durations.get(position) else {
            refused = Some(sizes.iter().map(|&size| size as u64).sum());
            found[step.point..].fill(None);
            return false;
        };
        if let Some(slowest) = &mut found[step.point] {
            slowest[step.kind as usize] = duration.max(slowest[step.kind as usize]);
        }
        sizes[step.slot] = step.size;
        position += 1;
        true
    });
    (found, refused)
}

pub(super) fn tables(parent: &mut Parent<'_>) -> Result<String, String> {
    let (max, mut columns) = (space_max(parent.scale()), Vec::new());
    for entry in &parent.options.allocators {
        let Some(durations) = fastest(parent, entry)? else {
            columns.push(vec![None; points(max).count() + 1]);
            continue;
        };
        let (slowest, refused) = slowest(&durations, max);
        if let Some(bytes) = refused {
            parent.remark(entry, "untouched blocks", &format!("refused a request at {} GiB", number(gib(bytes))));
        }
        columns.push(slowest);
    }
    Ok(text(parent, max, &columns))
}

/// Each call's fastest duration, as far as all processes came.
fn fastest(parent: &mut Parent<'_>, entry: &Entry) -> Result<Option<Vec<u32>>, String> {
    let mut fastest: Option<Vec<u32>> = None;
    for _ in 0..REPETITIONS {
        let Some(answer) = parent.answer(Part::Space, entry, "untouched blocks")? else { return Ok(None) };
        let Some(known) = &mut fastest else {
            fastest = Some(decode(&answer)?);
            continue;
        };
        known.truncate(answer.len() / 4);
        let length = known.len() * 4;
        keep_fastest(known, &answer[..length])?;
    }
    Ok(fastest)
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

fn text(parent: &Parent<'_>, max: u64, columns: &[Slowest]) -> String {
    let header: Vec<String> =
        [""].into_iter().chain(parent.options.allocators.iter().map(|entry| entry.name)).map(str::to_owned).collect();
    let labels = ["first call".to_owned()].into_iter().chain(points(max).map(label));
    let labels: Vec<String> = labels.collect();
    let section = |caption: &str, cell: fn([u32; 3]) -> String| {
        let rows = labels.iter().enumerate().map(|(point, label)| {
            let cells = columns.iter().map(|column| column[point].map_or("-".to_owned(), cell));
            [label.clone()].into_iter().chain(cells).collect()
        });
        table::section(caption, header.clone(), rows.collect(), parent.options.markdown)
    };
    let allocations = section(
        "The slowest single allocation, µs, to fill / to replace: untouched blocks of 64 KiB to 4 MiB, by bytes live",
        |[fill, replace, _]| format!("{} / {}", microseconds(fill), microseconds(replace)),
    );
    let frees = section("The slowest single free there, µs", |[.., free]| microseconds(free));
    allocations + &frees
}

/// No call takes no time.
fn microseconds(nanoseconds: u32) -> String {
    if nanoseconds == 0 { "-".to_owned() } else { number(f64::from(nanoseconds) / 1e3) }
}

fn label(bytes: u64) -> String {
    if bytes >= 1 << 30 { format!("{} GiB", bytes >> 30) } else { format!("{} MiB", bytes >> 20) }
}

#[cfg(test)]
mod tests;
