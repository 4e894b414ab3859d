//! The caller's requests: allocate, free, resize, trim.

use super::World;
use crate::ensure;
use crate::leaves::{metadata_beside, room_for_metadata};
use crate::oracle::{Live, Snapshot, Verdict};
use crate::pattern;
use crate::subject::Subject;
use hmalloc::{MisuseKind, OutOfMemory, PAGE, ResizeError};
use std::alloc::Layout;
use std::ptr::NonNull;

impl<'a, S: Subject<'a>> World<'a, S> {
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

    /// A new payload is aligned, large enough, in the arena, and overlaps no other. Its usable size.
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
        (self.veil.hide)(start, usable);
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

    /// Frees a live payload.
    pub fn free(&mut self, payload: usize) -> Verdict {
        let live = self.oracle.live[&payload];
        self.intact(&live)?;
        let answer = self.subject.free(live.payload);
        self.freed(payload, answer.map_err(|misuse| format!("cannot free {live:x?}: {misuse:x?}")))
    }

    /// Frees a live payload with its layout, after tries with layouts that cannot be its.
    pub fn free_sized(&mut self, payload: usize) -> Verdict {
        let live = self.oracle.live[&payload];
        self.intact(&live)?;
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
        if let Some(live) = self.oracle.live.remove(&payload) {
            (self.veil.show)(payload, live.usable);
        }
        self.oracle.freed.insert(payload, self.oracle.step);
        self.audit()
    }

    /// Resizes a live payload, and answers with its new address or `None` when the heap ran out.
    pub fn resize(&mut self, payload: usize, new: Layout) -> Verdict<Option<usize>> {
        let old = self.oracle.live[&payload];
        self.intact(&old)?;
        (self.veil.show)(payload, old.usable);
        let answer = self.subject.resize(old.payload, new);
        self.resized(old, new, answer)
    }

    /// As [`resize`](Self::resize) with the old layout, after tries with layouts that cannot be its.
    pub fn resize_sized(&mut self, payload: usize, new: Layout) -> Verdict<Option<usize>> {
        let old = self.oracle.live[&payload];
        self.intact(&old)?;
        for wrong in Self::wrong_layouts(&old) {
            let answer = self.subject.resize_sized(old.payload, wrong, new);
            let told = matches!(answer, Err(ResizeError::Misuse(misuse)) if misuse.kind == MisuseKind::WrongLayout);
            ensure!(told, "resizing {old:x?} as {wrong:?} was answered with {answer:x?}");
            self.unchanged()?;
        }
        (self.veil.show)(payload, old.usable);
        let answer = self.subject.resize_sized(old.payload, old.layout, new);
        self.resized(old, new, answer)
    }

    fn resized(&mut self, old: Live, new: Layout, answer: Result<NonNull<u8>, ResizeError>) -> Verdict<Option<usize>> {
        match answer {
            Err(ResizeError::Misuse(misuse)) => Err(format!("cannot resize {old:x?}: {misuse:x?}")),
            Err(ResizeError::OutOfMemory) => {
                (self.veil.hide)(old.payload.addr(), old.usable);
                self.intact(&old)?;
                self.ran_out(new)?;
                Ok(None)
            }
            Ok(moved) => {
                let before = old.payload.addr();
                self.oracle.live.remove(&before);
                self.oracle.freed.insert(before, self.oracle.step);
                let usable = self.admit(moved, new)?;
                let kept = Live { payload: moved.as_ptr(), ..old };
                Self::starts_with_pattern(&kept, old.usable.min(new.size()))?;
                self.adopt(moved, new, usable);
                self.audit()?;
                Ok(Some(moved.addr().get()))
            }
        }
    }

    /// Trims, and answers with the bytes returned.
    pub fn trim(&mut self, keep: usize) -> Verdict<usize> {
        let top = self.break_now();
        let (mapped, aside) = (self.last.stats.mapped_bytes, self.last.stats.aside_bytes);
        let given = self.subject.trim(keep);
        let drop = top.checked_sub(self.break_now()).ok_or("trim raised the break")?;
        let unmapped = mapped.checked_sub(self.subject.heap().stats().mapped_bytes).ok_or("trim mapped memory")?;
        let aside = aside.checked_sub(self.subject.heap().stats().aside_bytes).ok_or("trim mapped metadata")?;
        let at_least = drop + unmapped + aside;
        let right = if self.quirks.discard { given >= at_least } else { given == at_least };
        ensure!(right, "trim returned {given} bytes, the break fell by {drop}, mappings by {unmapped} and {aside}");
        self.audit()?;
        Ok(given)
    }
}
