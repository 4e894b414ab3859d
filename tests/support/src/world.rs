//! A heap together with its oracle: every operation is done, judged, and followed by a look at the whole heap.

use crate::ensure;
use crate::leaves::{least_metadata, metadata_beside, room_for_metadata};
use crate::oracle::{Expected, Live, Oracle, Snapshot, Verdict};
use crate::pattern;
use crate::setup::Setup;
use crate::subject::{EmulatedHeap, Subject};
use hmalloc::brk::Emulated;
use hmalloc::{BlockState, MisuseKind, OutOfMemory, PAGE, ResizeError};
use std::alloc::Layout;
use std::ops::Range;
use std::ptr::NonNull;

/// What a neighbour's memory holds, see [`Emulated`].
const STALE: u8 = 0xA5;

/// The production heap and its oracle.
pub type EmulatedWorld<'a> = World<'a, EmulatedHeap<'a>>;

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
    next_seed: usize,
    peak: usize,
    quirks: Setup,
    heap: std::marker::PhantomData<EmulatedHeap<'a>>,
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
            next_seed: 1,
            peak: 0,
            quirks,
            heap: std::marker::PhantomData,
        }
    }

    /// The break under the heap.
    pub fn brk(&mut self) -> &mut Emulated<'a> {
        self.subject.heap_mut().brk_mut()
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

    /// Allocates, and answers with the payload or `None` when the heap ran out.
    pub fn allocate(&mut self, layout: Layout) -> Verdict<Option<usize>> {
        let answer = self.subject.allocate(layout);
        self.allocated(layout, answer, false)
    }

    /// As [`allocate`](Self::allocate), and the bytes have to be zero.
    pub fn allocate_zeroed(&mut self, layout: Layout) -> Verdict<Option<usize>> {
        let answer = self.subject.allocate_zeroed(layout);
        self.allocated(layout, answer, true)
    }

    fn allocated(
        &mut self,
        layout: Layout,
        answer: Result<NonNull<u8>, OutOfMemory>,
        zeroed: bool,
    ) -> Verdict<Option<usize>> {
        let Ok(payload) = answer else {
            self.ran_out(layout)?;
            return Ok(None);
        };
        let usable = self.admit(payload, layout)?;
        if zeroed {
            // SAFETY: `admit` found the block in the arena and overlapping nothing, so these bytes are the model's.
            let bytes = unsafe { std::slice::from_raw_parts(payload.as_ptr(), layout.size()) };
            let other = pattern::first_other_than(bytes, 0);
            ensure!(other.is_none(), "zeroed {layout:?} is not zero at offset {other:?}");
        }
        self.adopt(payload, layout, usable);
        self.audit()?;
        Ok(Some(payload.addr().get()))
    }

    /// A new payload is aligned, large enough, in the arena, and nobody else's. Its usable size.
    fn admit(&mut self, payload: NonNull<u8>, layout: Layout) -> Verdict<usize> {
        let start = payload.addr().get();
        let usable = self.subject.usable_size(payload.as_ptr());
        let usable = usable.map_err(|misuse| format!("{layout:?} got {start:#x}, which is no payload: {misuse:x?}"))?;
        ensure!(start.is_multiple_of(layout.align()), "{start:#x} is not aligned for {layout:?}");
        ensure!(usable >= layout.size(), "{layout:?} got {usable} bytes at {start:#x}");
        let end = start.checked_add(usable).ok_or("a payload that wraps")?;
        let by_break = start >= self.start && end <= self.break_now();
        let mapped = start >= self.maps_start && end <= self.end;
        ensure!(by_break || mapped, "{start:#x}..{end:#x} is not memory of the heap");
        let other = self.oracle.overlapped(start, usable);
        ensure!(other.is_none(), "{start:#x} of {usable} bytes overlaps {other:x?}");
        ensure!(!self.oracle.touches_foreign(start, usable), "{start:#x} of {usable} bytes is foreign memory");
        Ok(usable)
    }

    /// From now on the payload is live, and holds a pattern of its own up to its usable size.
    fn adopt(&mut self, payload: NonNull<u8>, layout: Layout, usable: usize) {
        let seed = self.next_seed;
        self.next_seed += 1;
        let start = payload.addr().get();
        // SAFETY: `admit` found the block in the arena and overlapping nothing, so these bytes are the model's.
        let bytes = unsafe { std::slice::from_raw_parts_mut(payload.as_ptr(), usable) };
        pattern::fill(bytes, seed);
        self.oracle.freed.remove(&start);
        self.oracle.live.insert(start, Live { payload: payload.as_ptr(), usable, layout, seed });
    }

    /// The heap ran out: it may, and nothing has changed.
    fn ran_out(&mut self, layout: Layout) -> Verdict {
        let now = Snapshot::of(self.subject.heap());
        now.unchanged_since(&self.last).map_err(|what| format!("out of memory for {layout:?}, but {what}"))?;
        // Room for the block at its alignment, for the rest of the kernel's page and ours, and for the leaves that are
        // missing for all that the heap spans then, if they are not aside; the room for those may still be to come.
        let aside =
            if self.limit() < self.maps_start { 0 } else { room_for_metadata(self.end - self.start, self.quirks.page) };
        let room = (self.limit() - self.break_now()).saturating_sub(aside);
        let spanned = (self.break_now() - self.start).saturating_add(layout.size().min(room)) + layout.align();
        let missing = metadata_beside(spanned, self.quirks.page).saturating_sub(self.metadata_below_break());
        let slack = 4 * PAGE + 2 * self.quirks.page + layout.align() + missing;
        let fits = layout.size().checked_add(slack).is_some_and(|bytes| bytes <= room);
        ensure!(self.refused || !fits, "out of memory for {layout:?} with {room} bytes of room");
        self.audit()
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

    /// The first bytes of a live payload still hold its pattern.
    fn intact(live: &Live, bytes: usize) -> Verdict {
        // SAFETY: a live payload's usable bytes belong to the model.
        let held = unsafe { std::slice::from_raw_parts(live.payload, bytes) };
        let difference = pattern::first_difference(held, live.seed);
        ensure!(difference.is_none(), "contents changed at offset {difference:?} of {live:x?}");
        Ok(())
    }

    /// Frees a live payload.
    pub fn free(&mut self, payload: usize) -> Verdict {
        let live = self.oracle.live[&payload];
        Self::intact(&live, live.usable)?;
        let answer = self.subject.free(live.payload);
        self.freed(payload, answer.map_err(|misuse| format!("cannot free {live:x?}: {misuse:x?}")))
    }

    /// Frees a live payload with its layout, after tries with layouts that cannot be its.
    pub fn free_sized(&mut self, payload: usize) -> Verdict {
        let live = self.oracle.live[&payload];
        Self::intact(&live, live.usable)?;
        for wrong in Self::wrong_layouts(&live) {
            let answer = self.subject.free_sized(live.payload, wrong);
            let told = answer.is_err_and(|misuse| misuse.kind == MisuseKind::WrongLayout && misuse.address == payload);
            ensure!(told, "freeing {live:x?} as {wrong:?} was answered with {answer:x?}");
            self.unchanged()?;
        }
        let answer = self.subject.free_sized(live.payload, live.layout);
        self.freed(payload, answer.map_err(|misuse| format!("cannot free {live:x?} by its layout: {misuse:x?}")))
    }

    /// A layout larger than the block, and one with more alignment than its address has.
    fn wrong_layouts(live: &Live) -> [Layout; 2] {
        let layout = |size, align| Layout::from_size_align(size, align).expect("a layout within the arena");
        [layout(live.usable + 1, 1), layout(live.layout.size(), 2 << live.payload.addr().trailing_zeros())]
    }

    fn freed(&mut self, payload: usize, answer: Verdict) -> Verdict {
        answer?;
        self.oracle.live.remove(&payload);
        self.oracle.freed.insert(payload, self.oracle.step);
        self.audit()
    }

    /// Resizes a live payload, and answers with its new address or `None` when the heap ran out.
    pub fn resize(&mut self, payload: usize, new: Layout) -> Verdict<Option<usize>> {
        let old = self.oracle.live[&payload];
        Self::intact(&old, old.usable)?;
        let answer = self.subject.resize(old.payload, new);
        self.resized(old, new, answer)
    }

    /// As [`resize`](Self::resize) with the old layout, after tries with layouts that cannot be its.
    pub fn resize_sized(&mut self, payload: usize, new: Layout) -> Verdict<Option<usize>> {
        let old = self.oracle.live[&payload];
        Self::intact(&old, old.usable)?;
        for wrong in Self::wrong_layouts(&old) {
            let answer = self.subject.resize_sized(old.payload, wrong, new);
            let told = matches!(answer, Err(ResizeError::Misuse(misuse)) if misuse.kind == MisuseKind::WrongLayout);
            ensure!(told, "resizing {old:x?} as {wrong:?} was answered with {answer:x?}");
            self.unchanged()?;
        }
        let answer = self.subject.resize_sized(old.payload, old.layout, new);
        self.resized(old, new, answer)
    }

    fn resized(&mut self, old: Live, new: Layout, answer: Result<NonNull<u8>, ResizeError>) -> Verdict<Option<usize>> {
        match answer {
            Err(ResizeError::Misuse(misuse)) => Err(format!("cannot resize {old:x?}: {misuse:x?}")),
            Err(ResizeError::OutOfMemory) => {
                Self::intact(&old, old.usable)?;
                self.ran_out(new)?;
                Ok(None)
            }
            Ok(moved) => {
                let before = old.payload.addr();
                self.oracle.live.remove(&before);
                self.oracle.freed.insert(before, self.oracle.step);
                let usable = self.admit(moved, new)?;
                let kept = Live { payload: moved.as_ptr(), ..old };
                Self::intact(&kept, old.usable.min(new.size()))?;
                self.adopt(moved, new, usable);
                self.audit()?;
                Ok(Some(moved.addr().get()))
            }
        }
    }

    /// Trims, and answers with the bytes given back.
    pub fn trim(&mut self, keep: usize) -> Verdict<usize> {
        let top = self.break_now();
        let (mapped, aside) = (self.last.stats.mapped_bytes, self.last.stats.aside_bytes);
        let given = self.subject.trim(keep);
        let drop = top.checked_sub(self.break_now()).ok_or("trim raised the break")?;
        let unmapped = mapped.checked_sub(self.subject.heap().stats().mapped_bytes).ok_or("trim mapped memory")?;
        let aside = aside.checked_sub(self.subject.heap().stats().aside_bytes).ok_or("trim mapped metadata")?;
        let at_least = drop + unmapped + aside;
        let right = if self.quirks.discard { given >= at_least } else { given == at_least };
        ensure!(right, "trim gave {given} bytes back, the break fell by {drop}, mappings by {unmapped} and {aside}");
        self.audit()?;
        Ok(given)
    }

    /// Someone else raises the break.
    pub fn foreign_raise(&mut self, bytes: usize) -> Verdict {
        let before = self.break_now();
        self.brk().foreign_move(isize::try_from(bytes).expect("a small move"));
        let after = self.break_now();
        if before < after {
            match self.oracle.foreign.last_mut() {
                Some(last) if last.1 == before => last.1 = after,
                _ => self.oracle.foreign.push((before, after)),
            }
        }
        self.audit()
    }

    /// Someone else lowers the break again, as far as they raised it and while it is where they left it.
    pub fn foreign_lower(&mut self, bytes: usize) -> Verdict {
        self.foreign_intact()?;
        let now = self.break_now();
        let Some(&(from, to)) = self.oracle.foreign.last() else { return Ok(()) };
        let fenced = self.last.blocks.iter().any(|block| block.address < to && from < block.address + block.size);
        if to != now || fenced {
            return Ok(());
        }
        let bytes = bytes.min(to - from);
        self.brk().foreign_move(-isize::try_from(bytes).expect("a small move"));
        self.oracle.foreign.pop();
        if bytes < to - from {
            self.oracle.foreign.push((from, to - bytes));
        }
        self.audit()
    }

    /// Nobody wrote into memory that is not the heap's.
    pub fn foreign_intact(&self) -> Verdict {
        for &(from, to) in &self.oracle.foreign {
            // SAFETY: the range lies in the arena, below the break, and `foreign_move` wrote it.
            let bytes = unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance::<u8>(from), to - from) };
            let other = pattern::first_other_than(bytes, STALE);
            ensure!(other.is_none(), "someone wrote into foreign memory at {from:#x} + {other:?}");
        }
        Ok(())
    }

    /// Gives a pointer that is no payload to every entry of the heap; each says what it is and nothing changes.
    pub fn misuse(&mut self, address: usize) -> Verdict {
        let expected = self.last.expected(&self.oracle, address);
        if matches!(expected, Expected::Payload(_)) {
            return Ok(());
        }
        let pointer = std::ptr::without_provenance_mut::<u8>(address);
        let layout = Layout::new::<u64>();
        let judge = |snapshot: &Snapshot, answer| snapshot.judge(expected, address, answer);
        judge(&self.last, self.subject.usable_size(pointer)).map_err(|what| format!("usable_size: {what}"))?;
        let answer = self.subject.free(pointer).map(|()| 0);
        judge(&self.last, answer).map_err(|what| format!("free: {what}"))?;
        let answer = self.subject.free_sized(pointer, layout).map(|()| 0);
        judge(&self.last, answer).map_err(|what| format!("free_sized: {what}"))?;
        match self.subject.resize(pointer, layout) {
            Ok(moved) => return Err(format!("resize accepted {address:#x} and moved it to {moved:?}")),
            Err(ResizeError::OutOfMemory) => return Err(format!("resize of {address:#x} ran out of memory")),
            Err(ResizeError::Misuse(misuse)) => {
                judge(&self.last, Err(misuse)).map_err(|what| format!("resize: {what}"))?;
            }
        }
        self.unchanged()
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
        self.oracle.live.values().try_for_each(|live| Self::intact(live, live.usable))?;
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
