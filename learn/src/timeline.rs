//! A script that was played, as a timeline: the heap after each call, for a page to move through in a browser.
//!
//! The page shows what was seen while the script was played, refusals and wrong frees among it, so it works for every heap
//! that plays: the stages, an exercise, the production heap.
//!
//! ```text
//! +0                                                          the break
//! +--------+-----------+--------+-----------+- - - - - - - -+
//! | header | block: a  | header | free      | another user  |      a row of the heap's walk: a header and what follows
//! +--------+-----------+--------+-----------+- - - - - - - -+
//!   metadata  live        metadata  free       not the heap's
//! ```

use crate::draw::Known;
use crate::played::{End, Played, Row, Seen};
use crate::script::{Call, Script};
use hmalloc_timeline::timeline::{Cell, Class, Frame, Misused, Pin, PinKind, Run, Timeline};
use std::cmp::Reverse;

/// So many of the largest free blocks are named in each frame.
const RUNS: usize = 3;
/// More signs of a script are no title.
const LONGEST_TITLE: usize = 160;

/// A part of the heap that is no header. Bytes.
#[derive(Clone, Copy)]
struct Part {
    cell: Cell,
    offset: u64,
    bytes: u64,
}

impl Part {
    fn end(&self) -> u64 {
        self.offset + self.bytes
    }

    fn pin(&self) -> Pin {
        let kind = if self.cell == Cell::Foreign { PinKind::Foreign } else { PinKind::Block };
        Pin { kind, offset: self.offset, bytes: self.bytes, slots: [0; 3] }
    }
}

/// A script on its way to a timeline.
struct Seeing<'s> {
    script: &'s Script,
    known: Known,
    timeline: Timeline,
    /// Where the break stood after the call before.
    brk: isize,
    /// What others have raised the break over: from where, up to where.
    others: Vec<[isize; 2]>,
}

/// The timeline of a script that was played on the heap called `heap`.
#[must_use]
pub fn timeline(heap: &str, script: &Script, played: &Played) -> Timeline {
    let timeline = Timeline { title: title(script), heap: heap.to_owned(), ..Timeline::default() };
    let mut seeing = Seeing { script, known: Known::default(), timeline, brk: 0, others: Vec::new() };
    seeing.timeline.totals.threads = 1;
    for (&call, seen) in script.calls.iter().zip(&played.steps) {
        seeing.take(call, seen);
    }
    if played.end != End::Whole {
        let call = script.calls.get(played.steps.len()).map_or(String::new(), |&call| script.say(call) + ": ");
        seeing.accuse(format!("{call}{}", played.end));
    }
    let totals = &mut seeing.timeline.totals;
    (totals.left_blocks, totals.left_bytes) = (seeing.known.count() as u64, seeing.known.requested() as u64);
    seeing.timeline
}

/// The script, or its beginning.
fn title(script: &Script) -> String {
    let whole = script.to_string();
    match whole.char_indices().nth(LONGEST_TITLE) {
        Some((cut, _)) => format!("{} ...", &whole[..whole[..cut].rfind(' ').unwrap_or(cut)]),
        None => whole,
    }
}

impl Seeing<'_> {
    fn take(&mut self, call: Call, seen: &Seen) {
        self.timeline.totals.calls += 1;
        if let Some(what) = self.wrong(call, seen) {
            self.timeline.totals.misuses += 1;
            self.accuse(format!("{}: {what}", self.script.say(call)));
        }
        self.count(call, seen);
        let moved = seen.brk - self.brk;
        let others = matches!(call, Call::Other(_));
        if others && moved > 0 {
            self.others.push([self.brk, seen.brk]);
        }
        self.brk = seen.brk;
        let frame = self.frame(seen, if others { 0 } else { moved });
        self.timeline.frames.push(frame);
    }

    fn accuse(&mut self, text: String) {
        let call = self.timeline.totals.calls;
        self.timeline.misuses.push(Misused { call, text });
    }

    /// What came of a free of what is no live block; `None` for any other call.
    fn wrong(&self, call: Call, seen: &Seen) -> Option<String> {
        let Call::Free(block, distance) = call else { return None };
        if distance == 0 && self.known.is_live(block) {
            return None;
        }
        let name = |&block: &usize| self.script.names.get(block).cloned().unwrap_or_default();
        let damaged = seen.damaged.iter().map(|block| format!("; bytes of {} were written", name(block)));
        let said = if seen.said.is_empty() { "the heap said nothing" } else { &seen.said };
        Some(damaged.fold(said.to_owned(), |all, more| all + &more))
    }

    fn count(&mut self, call: Call, seen: &Seen) {
        let before = (self.known.count(), self.known.requested());
        self.known.note(call, seen);
        let (blocks, bytes) = (self.known.count(), self.known.requested());
        let totals = &mut self.timeline.totals;
        totals.blocks += blocks.saturating_sub(before.0) as u64;
        totals.bytes += bytes.saturating_sub(before.1) as u64;
        totals.peak_blocks = totals.peak_blocks.max(blocks as u64);
        totals.peak_bytes = totals.peak_bytes.max(bytes as u64);
        let asks = matches!(call, Call::Malloc(..) | Call::Calloc(..) | Call::Realloc(_, 1..));
        totals.refused += u64::from(asks && seen.payload.is_none());
    }

    /// The heap as its own walk shows it; `moved` is by how much it has moved the break.
    fn frame(&self, seen: &Seen, moved: isize) -> Frame {
        let (raised, lowered) = (moved.max(0).unsigned_abs() as u64, moved.min(0).unsigned_abs() as u64);
        let (blocks, requested) = (self.known.count() as u64, self.known.requested() as u64);
        let call = self.timeline.totals.calls;
        let mut frame = Frame { call, blocks, requested, raised, lowered, ..Frame::default() };
        let parts = self.parts(&seen.rows, &mut frame);
        for part in &parts {
            match part.cell {
                Cell::Free => frame.free_dirty += part.bytes,
                Cell::Block => {
                    frame.live_large += part.bytes;
                    count_by_size(&mut frame.classes, part.bytes);
                }
                _ => {}
            }
        }
        frame.classes.sort_by_key(|class| class.slot);
        let end = parts.last().map_or(0, Part::end);
        frame.end = parts.iter().rfind(|part| part.cell != Cell::Free).map(|part| (end - part.end(), part.pin()));
        frame.runs = runs(&parts);
        frame
    }

    /// The heap in parts from its first byte on; stretches and metadata go to the frame.
    fn parts(&self, rows: &[Row], frame: &mut Frame) -> Vec<Part> {
        let (mut parts, mut end) = (Vec::new(), 0);
        for row in rows {
            // A header that something was written over may say anything.
            let header = row.header.clamp(end, self.brk.max(end));
            let payload = row.payload.clamp(header, self.brk.max(header));
            let stop = payload.saturating_add_unsigned(row.size).clamp(payload, self.brk.max(payload));
            let foreign = self.foreign(end, header);
            if foreign > 0 {
                let part = Part { cell: Cell::Foreign, offset: end.unsigned_abs() as u64, bytes: foreign };
                frame.stretches.push((part.cell, part.bytes));
                parts.push(part);
            }
            let own = (payload - end).unsigned_abs() as u64 - foreign;
            let bytes = (stop - payload).unsigned_abs() as u64;
            let cell = if row.free { Cell::Free } else { Cell::Block };
            frame.metadata += own;
            frame.stretches.extend([(Cell::Metadata, own), (cell, bytes)].into_iter().filter(|&(_, bytes)| bytes > 0));
            if bytes > 0 {
                parts.push(Part { cell, offset: payload.unsigned_abs() as u64, bytes });
            }
            end = stop;
        }
        parts
    }

    /// How many of these bytes others have raised the break over.
    fn foreign(&self, from: isize, to: isize) -> u64 {
        let inside = self.others.iter().map(|&[start, end]| (end.min(to) - start.max(from)).max(0));
        inside.sum::<isize>().unsigned_abs() as u64
    }
}

/// The largest free parts, and what is around them.
fn runs(parts: &[Part]) -> Vec<Run> {
    let free = parts.iter().enumerate().filter(|(_, part)| part.cell == Cell::Free);
    let mut runs: Vec<Run> = free
        .map(|(at, part)| Run {
            offset: part.offset,
            bytes: part.bytes,
            below: at.checked_sub(1).map(|below| parts[below].pin()),
            above: parts.get(at + 1).map(Part::pin),
        })
        .collect();
    runs.sort_by_key(|run| Reverse(run.bytes));
    runs.truncate(RUNS);
    runs
}

/// Blocks are counted by their size, in doublings.
fn count_by_size(classes: &mut Vec<Class>, bytes: u64) {
    let slot = bytes.max(16).next_power_of_two();
    match classes.iter_mut().find(|class| class.slot == slot) {
        Some(class) => (class.live, class.bytes) = (class.live + 1, class.bytes + bytes),
        None => classes.push(Class { slot, live: 1, bytes }),
    }
}
