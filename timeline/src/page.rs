//! The page: one HTML file with the numbers of one or more timelines in it.

use crate::encode::{cells, column, map, runs, text};
use crate::timeline::{Frame, Timeline};
use std::fmt::Write;

/// A page is shorter than this.
pub const MOST_BYTES: usize = 400_000;
/// So many timelines are in a page at most.
pub const MOST_TIMELINES: usize = 8;
/// How finely heaps are drawn and how often, from the best to what fits in any case: cells of a frame, frames of a timeline.
const FITS: [(u64, usize); 7] = [(1536, 241), (1024, 241), (512, 241), (512, 120), (256, 120), (256, 60), (64, 30)];

const HTML: &str = include_str!("../page/page.html");
const CSS: &str = include_str!("../page/page.css");
const JS: &str = include_str!("../page/page.js");

/// The page of some timelines, shorter than [`MOST_BYTES`]: where they are long, heaps are drawn more coarsely and less often. Of
/// more than [`MOST_TIMELINES`] the first are in it.
///
/// ```
/// use hmalloc_timeline::{page, record::Record, replay::replay};
/// let html = page::page(&[replay("nothing", &Record::default())]);
/// assert!(html.starts_with("<!DOCTYPE html>") && html.len() < page::MOST_BYTES);
/// ```
#[must_use]
pub fn page(timelines: &[Timeline]) -> String {
    let timelines = &timelines[..timelines.len().min(MOST_TIMELINES)];
    let mut html = String::new();
    for (cells, frames) in FITS {
        let data: Vec<String> = timelines.iter().map(|timeline| json(timeline, cells, frames)).collect();
        html =
            HTML.replace("/*CSS*/", CSS).replace("/*JS*/", JS).replace("/*DATA*/", &format!("[{}]", data.join(",\n")));
        if html.len() < MOST_BYTES {
            break;
        }
    }
    html
}

/// A timeline as JSON, its heap drawn in up to `most` cells, `frames` times.
fn json(timeline: &Timeline, most: u64, frames: usize) -> String {
    let frames = thinned(&timeline.frames, frames);
    let totals = &timeline.totals;
    let mut out =
        format!("{{\"format\":1,\"title\":{},\"heap\":{},\n\"totals\":{{", text(&timeline.title), text(&timeline.heap));
    let numbers = [
        ("calls", totals.calls),
        ("blocks", totals.blocks),
        ("bytes", totals.bytes),
        ("peakBlocks", totals.peak_blocks),
        ("peakBytes", totals.peak_bytes),
        ("leftBlocks", totals.left_blocks),
        ("leftBytes", totals.left_bytes),
        ("threads", totals.threads),
        ("unseen", totals.unseen),
        ("refused", totals.refused),
        ("misuses", totals.misuses),
    ];
    let numbers: Vec<String> = numbers.iter().map(|(name, number)| format!("\"{name}\":{number}")).collect();
    let _ = write!(out, "{}}},\n\"columns\":{},", numbers.join(","), columns(&frames));
    let _ = write!(out, "\n\"classes\":{},\n\"map\":{},", classes(&frames), maps(&frames, most));
    let mut before = String::new();
    let runs: Vec<String> = frames.iter().map(|frame| unless_same(&mut before, runs(frame))).collect();
    let misuses: Vec<String> =
        timeline.misuses.iter().map(|one| format!("[{},{}]", one.call, text(&one.text))).collect();
    let _ = write!(out, "\n\"runs\":[{}],\n\"misuses\":[{}]}}", runs.join(","), misuses.join(","));
    out
}

/// A text as JSON, or 0 if it is the one before.
fn unless_same(before: &mut String, now: String) -> String {
    if *before == now {
        return "0".to_owned();
    }
    let quoted = text(&now);
    *before = now;
    quoted
}

/// At most `most` frames and one more: the last is among them, and the one with the most live. What happened between two is summed up.
fn thinned(frames: &[Frame], most: usize) -> Vec<Frame> {
    let step = frames.len().div_ceil(most).max(1);
    let peak = frames.iter().map(|frame| frame.requested).max().unwrap_or(0);
    let (mut thinned, mut sums, mut has_peak) = (Vec::new(), [0; 3], false);
    for (at, frame) in frames.iter().enumerate() {
        sums = [sums[0] + frame.raised, sums[1] + frame.lowered, sums[2] + frame.returned];
        // Counted from the end, so that the last one stays.
        let is_peak = frame.requested == peak && !has_peak;
        if !(frames.len() - 1 - at).is_multiple_of(step) && !is_peak {
            continue;
        }
        has_peak |= is_peak;
        let [raised, lowered, returned] = std::mem::take(&mut sums);
        thinned.push(Frame { raised, lowered, returned, ..frame.clone() });
    }
    thinned
}

fn columns(frames: &[Frame]) -> String {
    type Field = fn(&Frame) -> u64;
    let fields: [(&str, Field); 13] = [
        ("call", |frame| frame.call),
        ("blocks", |frame| frame.blocks),
        ("requested", |frame| frame.requested),
        ("liveSmall", |frame| frame.live_small),
        ("liveLarge", |frame| frame.live_large),
        ("freeSmall", |frame| frame.free_small),
        ("freeDirty", |frame| frame.free_dirty),
        ("freeClean", |frame| frame.free_clean),
        ("metadata", |frame| frame.metadata),
        ("trim", |frame| frame.trim),
        ("raised", |frame| frame.raised),
        ("lowered", |frame| frame.lowered),
        ("returned", |frame| frame.returned),
    ];
    let fields = fields.map(|(name, field)| format!("\"{name}\":\"{}\"", column(frames.iter().map(field))));
    format!("{{{}}}", fields.join(","))
}

/// For each size class that ever had slabs: its live blocks and the bytes of its slabs.
fn classes(frames: &[Frame]) -> String {
    let mut slots: Vec<u64> = frames.iter().flat_map(|frame| &frame.classes).map(|class| class.slot).collect();
    slots.sort_unstable();
    slots.dedup();
    let class = |slot: u64| {
        let find = |frame: &Frame| frame.classes.iter().find(|class| class.slot == slot).copied().unwrap_or_default();
        let (live, bytes) =
            (column(frames.iter().map(|frame| find(frame).live)), column(frames.iter().map(|frame| find(frame).bytes)));
        format!("{{\"slot\":{slot},\"live\":\"{live}\",\"bytes\":\"{bytes}\"}}")
    };
    let classes: Vec<String> = slots.into_iter().map(class).collect();
    format!("[{}]", classes.join(","))
}

fn maps(frames: &[Frame], most: u64) -> String {
    let length = |frame: &Frame| frame.stretches.iter().map(|&(_, bytes)| bytes).sum::<u64>();
    let longest = frames.iter().map(length).max().unwrap_or(0);
    // Whole pages where these are few enough.
    let unit = if longest > 64 << 10 { 16 << 10 } else { 16 };
    let cell = longest.div_ceil(most).div_ceil(unit).max(1) * unit;
    let (mut before, mut maps) = (Vec::new(), Vec::new());
    for frame in frames {
        let letters = cells(frame, cell);
        maps.push(format!("\"{}\"", map(&letters, &before)));
        before = letters;
    }
    format!("{{\"cell\":{cell},\"cells\":{},\"frames\":[{}]}}", longest.div_ceil(cell), maps.join(","))
}
