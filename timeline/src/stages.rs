//! The same for one of the five heaps of the journal, over an emulated break.

use crate::record::{Call, Record};
use crate::replay::{FRAMES, MISUSES};
use crate::timeline::{Cell, Class, Frame, Misused, Pin, PinKind, Run, Tally, Timeline, looks};
use hmalloc::brk::Emulated;
use hmalloc::stages::{Stage, StageBlock, s1_minimal, s2_aligned, s3_linked, s4_splitting, s5_coalescing};
use std::mem::MaybeUninit;

/// A stage's heap, number 1 to 5, while it answers the calls of a record in an arena of `bytes` bytes. `None` if there is no such
/// stage. Resizes are a request, a copy and a free, for most stages have none of their own.
///
/// ```
/// use hmalloc_timeline::record::{Call, Record};
///
/// let calls = vec![Call::Allocate { size: 100, align: 0 }, Call::Allocate { size: 10, align: 0 }, Call::Free { block: 0 }];
/// let record = Record { calls, ..Record::default() };
/// let timeline = hmalloc_timeline::stages::replay(5, "three calls", &record, 1 << 16).unwrap();
/// assert_eq!(timeline.frames.last().unwrap().runs[0].bytes, 112);
/// ```
#[must_use]
pub fn replay(stage: usize, title: &str, record: &Record, bytes: usize) -> Option<Timeline> {
    let mut arena = vec![MaybeUninit::uninit(); bytes];
    let brk = Emulated::new(&mut arena);
    Some(match stage {
        1 => of(s1_minimal::Minimal::new(brk), "stage 1, minimal", title, record),
        2 => of(s2_aligned::Aligned::new(brk), "stage 2, aligned", title, record),
        3 => of(s3_linked::Linked::new(brk), "stage 3, linked", title, record),
        4 => of(s4_splitting::Splitting::new(brk), "stage 4, splitting", title, record),
        5 => of(s5_coalescing::Coalescing::new(brk), "stage 5, coalescing", title, record),
        _ => return None,
    })
}

struct Replay<S> {
    heap: S,
    /// The arena's first byte.
    start: usize,
    /// By number: the payload and its size, and whether it is live.
    blocks: Vec<Option<(*mut u8, u64, bool)>>,
    tally: Tally,
    misuses: Vec<Misused>,
    /// Where the break was at the frame before, and how far it was moved since.
    last: usize,
    moved: [u64; 2],
}

fn of<'a, S: Stage<Source = Emulated<'a>>>(heap: S, name: &str, title: &str, record: &Record) -> Timeline {
    let start = heap.brk().current();
    let (tally, misuses, moved) = (Tally::default(), Vec::new(), [0; 2]);
    let mut replay = Replay { heap, start, blocks: Vec::new(), tally, misuses, last: start, moved };
    let (mut frames, is_due) = (Vec::new(), looks(record, FRAMES));
    for (number, &call) in record.calls.iter().enumerate() {
        replay.tally.totals.calls += 1;
        replay.make(call);
        replay.note_break();
        if is_due(number + 1) {
            frames.push(replay.frame());
        }
    }
    replay.tally.totals.threads = record.threads as u64;
    let (heap, totals) = (name.to_owned(), replay.tally.end());
    Timeline { title: title.to_owned(), heap, totals, frames, misuses: replay.misuses }
}

impl<'a, S: Stage<Source = Emulated<'a>>> Replay<S> {
    fn make(&mut self, call: Call) {
        match call {
            Call::Allocate { size, .. } => self.allocate(size),
            Call::Resize { block, size } => self.resize(block as usize, size),
            Call::Free { block } => self.free(block as usize),
            // What a stage makes of a wrong pointer is undefined in the first two: it is only counted.
            Call::Wrong { block, offset } => {
                self.tally.totals.misuses += 1;
                if self.misuses.len() < MISUSES {
                    let text = format!("a free {offset} bytes from the start of block {block}, which was not made");
                    self.misuses.push(Misused { call: self.tally.totals.calls, text });
                }
            }
        }
    }

    /// A payload, or null, which counts as a refusal.
    fn request(&mut self, size: u64) -> *mut u8 {
        // SAFETY: the break is this heap's alone.
        let payload = unsafe { self.heap.hmalloc(usize::try_from(size).unwrap_or(usize::MAX)) };
        self.tally.totals.refused += u64::from(payload.is_null());
        payload
    }

    fn allocate(&mut self, size: u64) {
        let payload = self.request(size);
        if !payload.is_null() {
            self.tally.add(size);
        }
        self.blocks.push((!payload.is_null()).then_some((payload, size, true)));
    }

    fn resize(&mut self, number: usize, size: u64) {
        let Some((old, old_size, true)) = self.blocks.get(number).copied().flatten() else { return };
        let new = self.request(size);
        if new.is_null() {
            return;
        }
        // SAFETY: two live blocks, of at least so many bytes each. Nothing uses the old one any more.
        unsafe {
            old.copy_to_nonoverlapping(new, old_size.min(size) as usize);
            self.heap.hfree(old);
        }
        self.tally.grow(old_size, size);
        self.blocks[number] = Some((new, size, true));
    }

    fn free(&mut self, number: usize) {
        let Some((payload, size, true)) = self.blocks.get(number).copied().flatten() else { return };
        // SAFETY: a live block, which nothing uses any more.
        unsafe { self.heap.hfree(payload) };
        self.tally.remove(size);
        self.blocks[number] = Some((payload, size, false));
    }

    fn note_break(&mut self) {
        let now = self.heap.brk().current();
        self.moved[0] += now.saturating_sub(self.last) as u64;
        self.moved[1] += self.last.saturating_sub(now) as u64;
        self.last = now;
    }

    fn frame(&mut self) -> Frame {
        let (blocks, requested) = self.tally.live();
        let [raised, lowered] = std::mem::take(&mut self.moved);
        let mut frame = Frame { call: self.tally.totals.calls, blocks, requested, raised, lowered, ..Frame::default() };
        let all: Vec<StageBlock> = self.heap.blocks().collect();
        let mut end = self.start;
        for block in &all {
            // Padding and headers are what the heap needs for itself.
            let (own, size) = ((block.payload - end) as u64, block.size as u64);
            frame.metadata += own;
            *(if block.free { &mut frame.free_dirty } else { &mut frame.live_large }) += size;
            let cell = if block.free { Cell::Free } else { Cell::Block };
            frame.stretches.extend([(Cell::Metadata, own), (cell, size)]);
            end = block.payload + block.size;
            if !block.free {
                count(&mut frame.classes, size);
            }
        }
        frame.classes.sort_by_key(|class| class.slot);
        frame.end = all.iter().rfind(|block| !block.free).map(|block| {
            let pin = self.pin(block);
            ((end - self.start) as u64 - pin.offset - pin.bytes, pin)
        });
        frame.runs = self.runs(&all);
        frame.trim = 0;
        frame
    }

    fn pin(&self, block: &StageBlock) -> Pin {
        let (offset, bytes) = ((block.payload - self.start) as u64, block.size as u64);
        Pin { kind: PinKind::Block, offset, bytes, slots: [0; 3] }
    }

    fn runs(&self, all: &[StageBlock]) -> Vec<Run> {
        let free = all.iter().enumerate().filter(|(_, block)| block.free);
        let mut runs: Vec<Run> = free
            .map(|(at, block)| Run {
                offset: (block.payload - self.start) as u64,
                bytes: block.size as u64,
                below: at.checked_sub(1).map(|below| self.pin(&all[below])),
                above: all.get(at + 1).map(|above| self.pin(above)),
            })
            .collect();
        runs.sort_by_key(|run| std::cmp::Reverse(run.bytes));
        runs.truncate(3);
        runs
    }
}

/// Stages have no classes: blocks are counted by size in doublings.
fn count(classes: &mut Vec<Class>, size: u64) {
    let slot = size.max(16).next_power_of_two();
    match classes.iter_mut().find(|class| class.slot == slot) {
        Some(class) => (class.live, class.bytes) = (class.live + 1, class.bytes + size),
        None => classes.push(Class { slot, live: 1, bytes: size }),
    }
}
