//! A heap together with its oracle: every operation is done, judged, and followed by a look at the whole heap.

mod others;
mod requests;

use crate::ensure;
use crate::hooked::{HookedHeap, Veil};
use crate::leaves::least_metadata;
use crate::oracle::{Live, Oracle, Snapshot, Verdict};
use crate::pattern;
use crate::setup::Setup;
use crate::subject::Subject;
use hmalloc::brk::Emulated;
use hmalloc::{BlockState, PAGE};
use std::ops::Range;

/// What a neighbour's memory holds, see [`Emulated`].
const STALE: u8 = 0xA5;

/// The production heap and its oracle.
pub type EmulatedWorld<'a> = World<'a, HookedHeap<'a>>;

/// A subject, its oracle, and how the heap looked after the last step.
pub struct World<'a, S> {
    pub subject: S,
    pub oracle: Oracle,
    pub last: Snapshot,
    /// The arena.
    pub start: usize,
    pub end: usize,
    /// Where mappings begin; the break stays below.
    pub maps_start: usize,
    /// Whether a refusal may be in force, so that running out proves nothing.
    pub refused: bool,
    veil: Veil,
    next_seed: usize,
    peak: usize,
    quirks: Setup,
    heap: std::marker::PhantomData<HookedHeap<'a>>,
}

impl<'a, S: Subject<'a>> World<'a, S> {
    /// The world of an untouched heap in the arena `arena`, whose mappings begin at `maps_start`.
    pub fn new(subject: S, quirks: Setup, arena: Range<usize>, maps_start: usize) -> Self {
        let last = Snapshot::of(subject.heap());
        Self {
            subject,
            oracle: Oracle::default(),
            last,
            start: arena.start,
            end: arena.end,
            maps_start,
            refused: false,
            veil: Veil::NONE,
            next_seed: 1,
            peak: 0,
            quirks,
            heap: std::marker::PhantomData,
        }
    }

    /// Hides payloads and foreign memory from the heap from now on. Nothing has been allocated yet.
    pub fn hide_by(&mut self, veil: Veil) {
        (self.veil, self.subject.heap_mut().brk_mut().veil) = (veil, veil);
    }

    /// The break under the heap.
    pub fn brk(&mut self) -> &mut Emulated<'a> {
        &mut self.subject.heap_mut().brk_mut().brk
    }

    /// Where the break stands.
    pub fn break_now(&self) -> usize {
        self.subject.heap().brk().current()
    }

    /// The address of a live payload, chosen by a number.
    pub fn nth_live(&self, which: usize) -> Option<usize> {
        let count = self.oracle.live.len().max(1);
        self.oracle.live.keys().nth(which % count).copied()
    }

    /// The highest address that the break can reach.
    fn limit(&self) -> usize {
        self.subject.heap().brk().limit()
    }

    /// Bytes of metadata below the break.
    fn metadata_below_break(&self) -> usize {
        let blocks = self.last.blocks.iter().filter(|block| block.address < self.maps_start);
        blocks.filter(|block| block.state == BlockState::Metadata).map(|block| block.size).sum()
    }

    /// A live payload still holds its pattern.
    fn intact(&self, live: &Live) -> Verdict {
        self.veil.lift(live.payload.addr(), live.usable, || Self::starts_with_pattern(live, live.usable))
    }

    /// As [`intact`](Self::intact), where nothing is hidden.
    fn starts_with_pattern(live: &Live, bytes: usize) -> Verdict {
        // SAFETY: a live payload's usable bytes belong to the model.
        let held = unsafe { std::slice::from_raw_parts(live.payload, bytes) };
        let difference = pattern::first_difference(held, live.seed);
        ensure!(difference.is_none(), "contents changed at offset {difference:?} of {live:x?}");
        Ok(())
    }

    /// The heap is as it was after the last step.
    pub fn unchanged(&mut self) -> Verdict {
        let now = Snapshot::of(self.subject.heap());
        ensure!(now == self.last, "a refused call changed something: {:x?} became {now:x?}", self.last);
        self.audit()
    }

    /// Looks at the whole heap.
    pub fn audit(&mut self) -> Verdict {
        let heap = self.subject.heap();
        heap.check().map_err(|corruption| format!("check: {corruption} ({corruption:x?})"))?;
        let now = Snapshot::of(heap);
        now.audit_tiles(self.maps_start)?;
        now.audit_owners(&self.oracle, PAGE.max(self.quirks.page))?;
        now.audit_stats()?;
        now.audit_spans()?;
        self.audit_kernel(&now)?;
        self.oracle.note_slabs(&now.spans);
        self.last = now;
        Ok(())
    }

    /// The heap's figures are the kernel's.
    fn audit_kernel(&mut self, now: &Snapshot) -> Verdict {
        let brk = self.subject.heap().brk();
        let stats = now.stats;
        ensure!(stats.brk_calls == brk.calls(), "brk_calls is not {}: {stats:?}", brk.calls());
        // The ends of a mapping are not used where they are not multiples of PAGE.
        let unused = brk.mapped().checked_sub(stats.mapped_bytes).ok_or("mapped_bytes is more than is mapped")?;
        let mappings = now.blocks.iter().filter(|block| block.address >= self.maps_start).count();
        let ends = PAGE + PAGE.max(self.quirks.page);
        ensure!(unused <= mappings * ends, "mapped_bytes is not {}: {stats:?}", brk.mapped());
        self.peak = self.peak.max(stats.heap_bytes);
        ensure!(stats.peak_heap_bytes >= self.peak, "peak_heap_bytes is below {}: {stats:?}", self.peak);
        ensure!(stats.peak_heap_bytes >= self.last.stats.peak_heap_bytes, "peak_heap_bytes fell: {stats:?}");
        ensure!(stats.peak_heap_bytes <= self.end - self.start, "peak_heap_bytes is beyond the arena: {stats:?}");
        let below = now.blocks.iter().rfind(|block| block.address < self.maps_start);
        let Some(top) = below else { return Ok(()) };
        let heap_end = top.address + top.size;
        let theirs = self.oracle.foreign.last().is_some_and(|&(_, to)| to == brk.current() && heap_end < to);
        ensure!(
            theirs || heap_end == brk.current(),
            "the heap ends at {heap_end:#x}, the break is {:#x}",
            brk.current()
        );
        Ok(())
    }

    /// Verifies every payload, frees them all, and looks at what is left.
    pub fn finish(&mut self) -> Verdict {
        self.foreign_intact()?;
        self.oracle.live.values().try_for_each(|live| self.intact(live))?;
        while let Some(payload) = self.nth_live(self.next_seed * 7) {
            self.next_seed += 1;
            self.free(payload)?;
        }
        ensure!(self.last.stats.live_blocks == 0, "blocks live on: {:?}", self.last.stats);
        self.brk().fail_after(usize::MAX);
        self.brk().fail_once(usize::MAX);
        self.brk().refuse_lowering(false);
        self.trim(0)?;
        if self.oracle.foreign.is_empty() {
            let (left, stats) = (self.break_now() - self.start, self.last.stats);
            ensure!(left <= PAGE + stats.metadata_bytes, "{left} bytes are left of an empty heap: {stats:?}");
            ensure!(stats.aside_bytes == 0, "metadata is left aside of an empty heap: {stats:?}");
            let bound = 2 * PAGE + least_metadata(self.quirks.page) + stats.peak_heap_bytes / 31;
            ensure!(left <= bound, "{left} bytes of metadata are left of an empty heap: {stats:?}");
        }
        self.foreign_intact()
    }
}
