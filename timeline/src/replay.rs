//! Makes recorded calls on a heap, and looks at it some hundred times.

use crate::record::{Call, Record};
use crate::source::Counting;
use crate::timeline::{Cell, Class, Frame, Misused, Pin, PinKind, Run, Tally, Timeline, looks};
use hmalloc::{Heap, Report, SpanKind};
use std::alloc::Layout;
use std::ptr::NonNull;

/// How often a heap is looked at, at most; and once more where the most is live.
pub const FRAMES: usize = 240;
/// So many wrong pointers are described. The others are counted.
pub(crate) const MISUSES: usize = 100;
/// Calls in a millisecond of the heap's clock.
const CALLS_PER_MILLISECOND: u64 = 1000;

/// A block of the replay.
#[derive(Clone, Copy)]
struct Block {
    payload: NonNull<u8>,
    size: u64,
    is_live: bool,
}

struct Replay {
    heap: Heap<Counting>,
    /// By number. `None` for one for which there was no memory.
    blocks: Vec<Option<Block>>,
    tally: Tally,
    misuses: Vec<Misused>,
    /// What the source had counted at the frame before.
    counted: [usize; 3],
}

/// The heap of the library while it answers the calls of a record. Nothing is written to the blocks, but what is copied when one
/// moves.
///
/// ```
/// use hmalloc_timeline::record::{Call, Record};
///
/// let calls = vec![Call::Allocate { size: 100, align: 0 }, Call::Free { block: 0 }, Call::Wrong { block: 0, offset: 0 }];
/// let timeline = hmalloc_timeline::replay::replay("three calls", &Record { calls, ..Record::default() });
/// assert_eq!((timeline.totals.calls, timeline.totals.peak_bytes, timeline.totals.misuses), (3, 100, 1));
/// assert_eq!(timeline.frames.last().unwrap().blocks, 0);
/// ```
#[must_use]
pub fn replay(title: &str, record: &Record) -> Timeline {
    let mut replay = Replay {
        heap: Heap::new(Counting::new()),
        blocks: Vec::new(),
        tally: Tally::default(),
        misuses: Vec::new(),
        counted: [0; 3],
    };
    let totals = &mut replay.tally.totals;
    (totals.threads, totals.unseen, totals.refused) =
        (record.threads as u64, record.unseen as u64, record.refused as u64);
    let (mut frames, is_due) = (Vec::new(), looks(record, FRAMES));
    for (number, &call) in record.calls.iter().enumerate() {
        replay.heap.brk_mut().clock = number as u64 / CALLS_PER_MILLISECOND;
        replay.make(call);
        if is_due(number + 1) {
            frames.push(replay.frame());
        }
    }
    // SAFETY: no block is used any more.
    unsafe { replay.heap.release() };
    Timeline {
        title: title.to_owned(),
        heap: format!("hmalloc {}", env!("CARGO_PKG_VERSION")),
        totals: replay.tally.end(),
        frames,
        misuses: replay.misuses,
    }
}

/// The layout of a request; of one byte for a size that no layout has.
fn layout(size: u64, align: u8) -> Layout {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let align = 1_usize.checked_shl(u32::from(align)).unwrap_or(1);
    Layout::from_size_align(size, align).unwrap_or(Layout::new::<u8>())
}

impl Replay {
    fn make(&mut self, call: Call) {
        self.tally.totals.calls += 1;
        match call {
            Call::Allocate { size, align } => self.allocate(size, align),
            Call::Resize { block, size } => self.resize(block, size),
            Call::Free { block } => self.free(block),
            Call::Wrong { block, offset } => self.free_wrong(block, offset),
        }
    }

    fn allocate(&mut self, size: u64, align: u8) {
        let made = self.heap.allocate(layout(size, align));
        match made {
            Ok(_) => self.tally.add(size),
            Err(_) => self.tally.totals.refused += 1,
        }
        self.blocks.push(made.ok().map(|payload| Block { payload, size, is_live: true }));
    }

    fn resize(&mut self, number: u32, size: u64) {
        let Some(block) = self.blocks.get_mut(number as usize).and_then(Option::as_mut).filter(|block| block.is_live)
        else {
            return;
        };
        // SAFETY: a live block, which nothing else uses.
        match unsafe { self.heap.resize(block.payload.as_ptr(), layout(size, 0)) } {
            Ok(payload) => {
                self.tally.grow(block.size, size);
                (block.payload, block.size) = (payload, size);
            }
            Err(_) => self.tally.totals.refused += 1,
        }
    }

    fn free(&mut self, number: u32) {
        let Some(block) = self.blocks.get_mut(number as usize).and_then(Option::as_mut).filter(|block| block.is_live)
        else {
            return;
        };
        block.is_live = false;
        // SAFETY: a live block, which nothing uses any more.
        let freed = unsafe { self.heap.free(block.payload.as_ptr()) };
        debug_assert!(freed.is_ok(), "{freed:?}");
        self.tally.remove(block.size);
    }

    /// Hands in a wrong pointer. One that the recorded heap gave out again before it was freed twice may be live here: then it
    /// is not handed in, and the event says what the record says.
    fn free_wrong(&mut self, number: u32, offset: u64) {
        let Some(block) = self.blocks.get(number as usize).copied().flatten() else { return };
        let address = block.payload.as_ptr().wrapping_add(offset as usize);
        let is_live = self.heap.usable_size(address).is_ok();
        // SAFETY: no live block starts there, so the heap refuses it.
        let misuse = if is_live { None } else { unsafe { self.heap.free(address) }.err() };
        let text = match misuse {
            Some(misuse) => format!("{:?}", misuse.kind),
            None => "AlreadyFree".to_owned(),
        };
        self.tally.totals.misuses += 1;
        if self.misuses.len() < MISUSES {
            let call = self.tally.totals.calls;
            let place = if offset == 0 { "the start of".to_owned() } else { format!("{offset} bytes into") };
            let state = if block.is_live { "live" } else { "free" };
            let text = format!("{text}: {place} block {number} of {} bytes, which is {state}", block.size);
            self.misuses.push(Misused { call, text });
        }
    }

    fn frame(&mut self) -> Frame {
        let report = self.heap.report();
        let (blocks, requested) = self.tally.live();
        let source = self.heap.brk();
        let counted = [source.raised, source.lowered, source.returned];
        let [raised, lowered, returned] = std::array::from_fn(|at| (counted[at] - self.counted[at]) as u64);
        self.counted = counted;
        let start = self.heap.spans().next().map_or(0, |span| span.address);
        let live_small: usize = report.classes().map(|class| class.live_blocks * class.slot).sum();
        Frame {
            call: self.tally.totals.calls,
            blocks,
            requested,
            live_small: live_small as u64,
            live_large: (report.stats.live_bytes - live_small) as u64,
            free_small: report.in_slabs as u64,
            free_dirty: report.runs_dirty as u64,
            free_clean: (report.in_runs - report.runs_dirty) as u64,
            metadata: report.stats.metadata_bytes as u64,
            trim: report.trim.bytes() as u64,
            raised,
            lowered,
            returned,
            classes: report.classes().map(class).collect(),
            stretches: stretches(&self.heap),
            end: report.end_pin.map(|end| (report.end_bytes as u64, pin(&end, start))),
            runs: runs(&report, start),
        }
    }
}

fn class(class: &hmalloc::ClassShare) -> Class {
    Class { slot: class.slot as u64, live: class.live_blocks as u64, bytes: class.bytes as u64 }
}

fn runs(report: &Report, start: usize) -> Vec<Run> {
    let run = |run: &hmalloc::FreeRun| Run {
        offset: run.address.wrapping_sub(start) as u64,
        bytes: run.bytes as u64,
        below: run.below.map(|below| pin(&below, start)),
        above: run.above.map(|above| pin(&above, start)),
    };
    report.runs().take(3).map(run).collect()
}

fn pin(pin: &hmalloc::Pin, start: usize) -> Pin {
    let (kind, slots) = match pin.kind {
        SpanKind::Slab { slot, capacity, live } => (PinKind::Slab, [slot as u64, live as u64, capacity as u64]),
        SpanKind::Large => (PinKind::Block, [0; 3]),
        SpanKind::Foreign => (PinKind::Foreign, [0; 3]),
        _ => (PinKind::Metadata, [0; 3]),
    };
    Pin { kind, offset: pin.address.wrapping_sub(start) as u64, bytes: pin.bytes as u64, slots }
}

/// The heap's spans, neighbours that are the same as one.
fn stretches(heap: &Heap<Counting>) -> Vec<(Cell, u64)> {
    let mut stretches: Vec<(Cell, u64)> = Vec::new();
    for span in heap.spans() {
        let cell = match span.kind {
            SpanKind::Slab { capacity, live, .. } => Cell::Slab((live * 10 / capacity.max(1)) as u8),
            SpanKind::Large => Cell::Block,
            SpanKind::Free => Cell::Free,
            SpanKind::Foreign => Cell::Foreign,
            SpanKind::Metadata => Cell::Metadata,
        };
        match stretches.last_mut() {
            Some((last, bytes)) if *last == cell => *bytes += span.bytes as u64,
            _ => stretches.push((cell, span.bytes as u64)),
        }
    }
    stretches
}
