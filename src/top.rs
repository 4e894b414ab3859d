//! The top: the free span at the heap's end, where the break is raised and lowered.
//!
//! The kernel is asked first and the spans change only when it agreed, so a refusal leaves the heap as it was.
//!
//! ```text
//! raising when the break is ours                 raising when someone else has moved it
//!  ------+-----------+                            ------+-----------+
//!   used | top       |  break                      used | free      |  end      break
//!  ------+-----------+                            ------+-----------+- - - - - -+
//!  ------+-----------+-----------+                ------+-----------+-----------+----------+
//!   used | top                   |  break          used | free      | foreign   | top      |  break
//!  ------+-----------------------+                ------+-----------+-----------+----------+
//! ```
//!
//! Where the page map needs another leaf, its metadata pages come right before the new free pages.

use crate::brk::{Brk, Refused};
use crate::corrupt::corrupt;
use crate::header::{Kind, PAGE, Span};
use crate::line::Line;
use crate::spans::Spans;

/// The least by which the break is raised if the kernel lets it, in pages.
const STEP_MIN: usize = (256 << 10) / PAGE;
/// The most by which it is raised beyond a request.
const STEP_MAX: usize = (16 << 20) / PAGE;
/// A step is this fraction of the heap between the two.
const STEP_FRACTION: usize = 16;
/// What one huge page covers, in bytes, on most architectures. Elsewhere it is a step like any other.
const HUGE: usize = 2 << 20;
/// From this size on, in pages, a heap of slabs grows by whole huge pages: a fault less for every 4 KiB, and fewer
/// misses in the translation of addresses. Below, the unused part of one would weigh too much.
const HUGE_FROM: usize = (32 << 20) / PAGE;
/// The least that is worth giving back unasked, in pages.
const TRIM_MIN: usize = (1 << 20) / PAGE;
/// More than this fraction of the heap must be free in one span,
const TRIM_FRACTION: usize = 16;
/// or this much, in pages: the kernel takes its time, and one free should not wait for much more than it frees itself.
const TRIM_MAX: usize = (16 << 20) / PAGE;
/// Growth within so many span operations of a trim says that the trim was a mistake.
const REGROWTH: u32 = 4096;
/// log2 of the factor by which a mistake raises the threshold.
const BACKOFF: u32 = 2;
/// How often in a row someone else may move the break between a look at it and a raise.
const OUTRUN_MAX: usize = 100;
/// Beyond this shift the threshold exceeds any heap.
const BACKOFF_MAX: u32 = 20;

/// When to give memory back without being asked: not so often that a loop at the edge makes a system call each time.
#[derive(Debug)]
pub(crate) struct Hysteresis {
    /// Spans released and taken, modulo 2^32.
    operations: u32,
    /// The count at the last trim.
    trimmed_at: Option<u32>,
    /// How far the threshold has been raised, as a shift.
    shift: u32,
}

impl Hysteresis {
    pub(crate) const fn new() -> Self {
        Self { operations: 0, trimmed_at: None, shift: 0 }
    }

    /// Counts a span operation.
    pub(crate) fn tick(&mut self) {
        self.operations = self.operations.wrapping_add(1);
    }

    /// The count of span operations.
    pub(crate) fn now(&self) -> u32 {
        self.operations
    }

    /// Span operations since the count was `then`.
    pub(crate) fn since(&self, then: u32) -> u32 {
        self.operations.wrapping_sub(then)
    }

    fn note_trim(&mut self) {
        self.trimmed_at = Some(self.operations);
    }

    /// Memory that was given back is needed again.
    pub(crate) fn note_growth(&mut self) {
        if let Some(trimmed_at) = self.trimmed_at.take()
            && self.since(trimmed_at) < REGROWTH
        {
            self.shift = (self.shift + BACKOFF).min(BACKOFF_MAX);
        }
    }

    /// Dirty pages in one span from which on they are worth giving back. Who has crossed the threshold and not grown
    /// since is on the way down: no mistake is to be feared then, and little is to be left behind.
    fn threshold(&self, heap_pages: usize) -> usize {
        if self.trimmed_at.is_some() {
            return TRIM_MIN;
        }
        (heap_pages / TRIM_FRACTION).clamp(TRIM_MIN, TRIM_MAX).saturating_mul(1 << self.shift)
    }
}

/// What a raise would do.
struct Raise {
    base: usize,
    /// Where the break is now; above the heap's end if it is not ours.
    from: usize,
    /// The first new page.
    start: usize,
    metadata: usize,
    free: usize,
    to: usize,
    /// Whether the new free pages follow the heap's old ones without anything between.
    borders_on_old: bool,
}

/// Where the pages that a raise is for may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum New {
    /// Above the old end, wherever that puts them.
    Anywhere,
    /// Right behind the heap's old last page, or the break is not moved.
    Behind,
}

impl<B: Brk> Spans<B> {
    /// # Safety
    ///
    /// As for [`Brk::move_break`].
    unsafe fn move_break(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        self.counters.brk_calls += 1;
        // SAFETY: the caller's promise.
        unsafe { self.brk.move_break(from, to) }
    }

    /// Raises the break until the top has at least `pages` pages.
    pub(crate) fn raise(&mut self, pages: usize, new: New) -> Result<(), Refused> {
        for _ in 0..OUTRUN_MAX {
            let from = self.concede(self.brk.query()?)?;
            if self.raise_from(from, pages, new).is_ok() {
                return Ok(());
            }
            // Refused by the kernel, or outrun by someone else who moved the break meanwhile?
            if self.brk.query() == Ok(from) {
                break;
            }
        }
        Err(Refused)
    }

    fn raise_from(&mut self, from: usize, pages: usize, new: New) -> Result<(), Refused> {
        let step = (self.heap_pages() / STEP_FRACTION).clamp(STEP_MIN, STEP_MAX);
        for step in [step, 0] {
            let raise = self.plan_raise(from, pages, step).filter(|raise| new == New::Anywhere || raise.borders_on_old);
            let Some(raise) = raise else { continue };
            // SAFETY: raising takes nothing away.
            if unsafe { self.move_break(from, raise.to) }.is_ok() {
                if self.grows_by_huge_pages(pages) {
                    self.expect_use(raise.start, raise.to);
                }
                self.apply_raise(&raise);
                return Ok(());
            }
        }
        Err(Refused)
    }

    fn plan_raise(&self, from: usize, pages: usize, step: usize) -> Option<Raise> {
        let start = from.checked_next_multiple_of(PAGE)?;
        let base = self.map.base().unwrap_or(start);
        let first = (start - base) / PAGE;
        let ours = self.map.base().is_some() && start == self.map.end();
        let short = pages.saturating_sub(self.top.filter(|_| ours).map_or(0, Span::page_count)).max(1);
        let room = self.map.served_beyond(first);
        let (mut metadata, mut free) = (0, short.max(step).min(room));
        if short > room {
            // Metadata comes between the old top and the new one, which has to hold all pages by itself.
            free = pages.max(step);
            loop {
                let total = first.checked_add(free)?.checked_add(metadata)?;
                let missing = self.map.leaf_pages_missing(total, self.brk.page_size())?;
                if missing == metadata {
                    break;
                }
                metadata = missing;
            }
        }
        let mut to = start.checked_add((metadata + free).checked_mul(PAGE)?)?;
        if metadata == 0 && step > 0 && self.grows_by_huge_pages(pages) {
            let more = (to.checked_next_multiple_of(HUGE)? - to) / PAGE;
            let more = more.min(room - free);
            (free, to) = (free + more, to + more * PAGE);
        }
        Some(Raise { base, from, start, metadata, free, to, borders_on_old: ours && metadata == 0 })
    }

    /// Whether a raise for `pages` pages asks for huge ones. A large block may be used in a few places only, so a heap
    /// that does not consist of slabs does not.
    fn grows_by_huge_pages(&self, pages: usize) -> bool {
        let heap_pages = self.heap_pages();
        heap_pages >= HUGE_FROM && self.counters.slab_pages > heap_pages / 2 && pages < HUGE / PAGE
    }

    fn expect_use(&mut self, start: usize, end: usize) {
        let (start, end) = (start.next_multiple_of(HUGE), end & !(HUGE - 1));
        if start < end {
            self.brk.expect_use(start, end - start);
        }
    }

    /// The break has been raised: makes spans of what is new.
    fn apply_raise(&mut self, raise: &Raise) {
        let end = if self.map.base().is_some() { self.map.end() } else { raise.start };
        let (kernel_page, pages) = (self.brk.page_size(), (raise.to - raise.base) / PAGE);
        // SAFETY: a guard is part of the metadata pages, which are new, and the leaf around it leaves it alone.
        let seal_guard = |guard| unsafe { seal(&mut self.brk, guard) };
        // SAFETY: the break has just been raised over all of it; the metadata comes first, as it was planned.
        unsafe { self.map.grow(raise.base, pages, raise.start, kernel_page, seal_guard) };
        if raise.start > end {
            self.append(Kind::Foreign, end, (raise.start - end) / PAGE, 0).set_foreign_end(raise.from);
            self.counters.foreign_pages += (raise.start - end) / PAGE;
        }
        if raise.metadata > 0 {
            self.append(Kind::Metadata, raise.start, raise.metadata, 0);
        }
        // The kernel's page in which the break stood holds bytes of whoever used it.
        let start = raise.start + raise.metadata * PAGE;
        let zero_from = raise.from.next_multiple_of(self.brk.page_size()).clamp(start, raise.to);
        let zero = (raise.to - zero_from) / PAGE;
        match self.top {
            Some(top) => {
                let known = if zero == raise.free { top.zero_pages.get() as usize } else { 0 };
                top.zero_pages.set((known + zero) as u32);
                top.pages.set((top.page_count() + raise.free) as u32);
            }
            None => self.top = Some(self.append(Kind::Free, start, raise.free, zero)),
        }
        self.hysteresis.note_growth();
        self.note_peak();
    }

    /// A new last span.
    fn append(&mut self, kind: Kind, start: usize, pages: usize, zero: usize) -> Span {
        if let Some(top) = self.top.take() {
            self.fit.insert(top);
        }
        let span = self.map.record(start);
        span.init(kind, start, pages, zero);
        let prev = self.last.or_else(|| self.span_before(start));
        self.link_after(prev, span);
        self.last = Some(span);
        span
    }

    pub(crate) fn note_peak(&mut self) {
        self.counters.peak_pages = self.counters.peak_pages.max(self.heap_pages());
    }

    /// Deals with a break that someone else has lowered below the heap's end, and returns where it is then. Free pages
    /// at the top are conceded. Where blocks lay, their content is lost, and the policy says what that means: if the
    /// process is to go on, the break is raised over them again, so that at least their addresses are the heap's. Where
    /// headers lay, it cannot go on.
    fn concede(&mut self, from: usize) -> Result<usize, Refused> {
        if self.map.base().is_none() || from >= self.map.end() {
            return Ok(from);
        }
        let (end, headers_left) = (from & !(PAGE - 1), from >= self.map.records_end());
        let top = self.top.filter(|_| headers_left);
        match top.filter(|top| top.start.get() <= end) {
            Some(top) => {
                self.cut(top, end);
                Ok(from)
            }
            None => {
                self.report_loss(from, top);
                // SAFETY: raising takes nothing away.
                unsafe { self.move_break(from, self.map.end()) }?;
                if headers_left { Ok(self.map.end()) } else { corrupt(16, from) }
            }
        }
    }

    #[cold]
    fn report_loss(&self, from: usize, top: Option<Span>) {
        let mut line = Line::new();
        line.text("hmalloc: the break was lowered to ").address(from).text(", below blocks in use that end at ");
        line.address(top.map_or(self.map.end(), |top| top.start.get())).text("\n");
        self.policy.say(&line);
    }

    /// Makes `end`, which lies in the top or at its start, the heap's end. The break is there already.
    fn cut(&mut self, top: Span, end: usize) {
        let pages = (end - top.start.get()) / PAGE;
        if pages == 0 {
            self.top = None;
            self.unlink(top);
        } else {
            top.zero_pages.set(top.zero_pages.get().saturating_sub((top.page_count() - pages) as u32));
            top.pages.set(pages as u32);
            top.set_dirty_pages(top.dirty_pages());
        }
        self.map.shrink(end);
    }

    /// Whether `free`, a span just released, holds so much that some should go back to the kernel.
    pub(crate) fn wants_trim(&self, free: Span) -> bool {
        free.dirty_pages() >= self.hysteresis.threshold(self.heap_pages())
    }

    /// What a heap does on its own when [`wants_trim`](Self::wants_trim) says so of the free span around `address`:
    /// keeps a quarter of the top, gives back the pages of any other span.
    pub(crate) fn trim_some(&mut self, address: usize) {
        let free = self.map.find_around(address).filter(|span| span.is(Kind::Free));
        let given = match free {
            Some(top) if self.top == free => self.lower(top.bytes() / 4),
            Some(span) => self.discard(span),
            None => 0,
        };
        if given + self.give_back_regions() > 0 {
            self.hysteresis.note_trim();
        }
    }

    /// Lowers the break so that at most `keep` bytes, rounded up to pages, are free at the top. Returns by how much.
    pub(crate) fn lower(&mut self, keep: usize) -> usize {
        let keep = keep.checked_next_multiple_of(PAGE).unwrap_or(usize::MAX);
        // Only a break that stands exactly at our end is ours to lower. No header is read before that is known.
        if self.map.base().is_none() || !self.is_break_at_end() {
            return 0;
        }
        let Some(end) = self.lowered_end(keep) else { return 0 };
        // Headers above the new end may be gone with the pages they are in: everything is read before the break moves.
        let old_end = self.map.end();
        let after = self.last.and_then(|last| last.next.get());
        let mut last = self.last;
        while let Some(span) = last.filter(|span| span.start.get() >= end) {
            last = span.prev.get();
        }
        // A fence at the heap's end serves nothing: the heap then ends below it, and the break where its owner left it.
        let (mut to, mut end, mut fenced) = (end, end, 0);
        if let Some(fence) = last.filter(|span| span.is(Kind::Foreign)) {
            (to, end, fenced) = (fence.foreign_end(), fence.start.get(), fence.page_count());
            last = fence.prev.get();
        }
        self.for_dropped(end, |fit, span| fit.remove(span));
        self.map.prepare_to_shrink(end);
        // SAFETY: all spans from `end` on are free, foreign ones that border on `to` but for what their owner left.
        if unsafe { self.lower_over_guards(old_end, to) }.is_err() {
            self.map.stay();
            self.for_dropped(end, |fit, span| fit.insert(span));
            return 0;
        }
        self.become_last(last, after, end);
        self.counters.foreign_pages -= fenced;
        old_end - to
    }

    /// Lowers the break over leaves and their guards, or leaves both as they are.
    ///
    /// # Safety
    ///
    /// As for [`Brk::move_break`].
    unsafe fn lower_over_guards(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        let kernel_page = self.brk.page_size();
        let sealed = self.map.guards_from(to, kernel_page).next().is_some();
        if sealed {
            // SAFETY: the heap ends at `from`, and nothing from `to` on is used.
            unsafe { self.brk.unseal(to, from - to) };
        }
        // SAFETY: the caller's promise.
        let lowered = unsafe { self.move_break(from, to) };
        if sealed && lowered.is_err() {
            let map = &self.map;
            // SAFETY: a leaf's guards are used by nobody while it stands, which it still does.
            map.guards_from(to, kernel_page).for_each(|guard| unsafe { seal(&mut self.brk, guard) });
        }
        lowered
    }

    /// Whether the break stands at the heap's end. A break below is noticed here as when the heap grows.
    fn is_break_at_end(&mut self) -> bool {
        self.brk.query().and_then(|now| self.concede(now)) == Ok(self.map.end())
    }

    /// Where the heap would end if everything free at its end went, but for `keep` bytes, if that is lower than now.
    fn lowered_end(&self, keep: usize) -> Option<usize> {
        self.end_of_used(keep).filter(|&end| end < self.map.end())
    }

    /// Metadata at the end serves only pages above itself, so it can go together with all of them; of the metadata at
    /// the heap's start, leaf 0's storage serves what is left.
    fn end_of_used(&self, keep: usize) -> Option<usize> {
        let (mut end, mut span) = (self.map.end(), self.last?);
        loop {
            let free = if span.is(Kind::Free) { span.bytes() } else { 0 };
            if free < keep && Some(span) != self.last {
                return Some(end);
            }
            end = end.min((span.end() - free).saturating_add(keep));
            let below = if free > 0 { span.prev.get()? } else { span };
            if !below.is(Kind::Metadata) {
                return Some(end);
            }
            if Some(below.start.get()) == self.map.base() {
                return Some(if keep == 0 { self.map.least_end(self.brk.page_size()) } else { end });
            }
            span = below.prev.get()?;
        }
    }

    /// Visits the spans in the index of free ones that would not be in it if the heap ended at `end`.
    fn for_dropped(&mut self, end: usize, visit: impl Fn(&mut crate::fit::Fit, Span)) {
        let mut span = self.last;
        while let Some(here) = span.filter(|here| here.end() >= end) {
            if here.is(Kind::Free) && self.top != Some(here) {
                visit(&mut self.fit, here);
            }
            span = here.prev.get();
        }
    }

    /// Makes `last` the last span and cuts it at `end`, after the break has been lowered.
    fn become_last(&mut self, last: Option<Span>, after: Option<Span>, end: usize) {
        // The storage of leaf 0 is never given up.
        let Some(last) = last else { corrupt(11, end) };
        self.join(Some(last), after);
        self.last = Some(last);
        self.top = Some(last).filter(|last| last.is(Kind::Free));
        match self.top {
            Some(top) => self.cut(top, end),
            None => {
                last.pages.set(((end - last.start.get()) / PAGE) as u32);
                self.map.shrink(end);
            }
        }
    }

    /// Gives the memory of a free span back to the kernel, if it agrees, and keeps its addresses. Returns how much.
    pub(crate) fn discard(&mut self, free: Span) -> usize {
        let kernel_page = self.brk.page_size();
        let dirty_end = free.end() - free.zero_pages.get() as usize * PAGE;
        let start = free.start.get().next_multiple_of(kernel_page);
        let end = dirty_end.next_multiple_of(kernel_page).min(free.end()) & !(kernel_page - 1);
        if start >= end {
            return 0;
        }
        // SAFETY: a free span is the heap's and its content is nobody's; both ends are multiples of the kernel's page.
        if unsafe { self.brk.discard(start, end - start) }.is_err() {
            return 0;
        }
        free.set_dirty_pages(0);
        if end >= dirty_end {
            free.zero_pages.set(((free.end() - start) / PAGE) as u32);
        }
        end - start
    }

    /// [`discard`](Self::discard) for every free span but the top.
    pub(crate) fn discard_all(&mut self) -> usize {
        let (mut given, mut span) = (0, self.first);
        while let Some(here) = span {
            if here.is(Kind::Free) && self.top != Some(here) {
                given += self.discard(here);
            }
            span = here.next.get();
        }
        given
    }
}

/// Makes a guard of metadata inaccessible. Where that is refused it only lies between metadata and who writes past an
/// end.
///
/// # Safety
///
/// The range is the heap's, its ends are multiples of the kernel's page, and nobody uses it before its metadata is
/// given up.
pub(crate) unsafe fn seal(brk: &mut impl Brk, guard: core::ops::Range<usize>) {
    if !guard.is_empty() {
        // SAFETY: the caller's promise.
        let _ = unsafe { brk.seal(guard.start, guard.len()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worth_giving_back_is_a_fraction_of_the_heap_between_bounds() {
        let new = Hysteresis::new();
        assert_eq!(new.threshold(0), TRIM_MIN);
        assert_eq!(new.threshold(TRIM_FRACTION * TRIM_MIN), TRIM_MIN);
        assert_eq!(new.threshold(TRIM_FRACTION * TRIM_MIN * 3), TRIM_MIN * 3);
        assert_eq!(new.threshold(TRIM_FRACTION * TRIM_MAX * 3), TRIM_MAX);
        assert_eq!(new.threshold(usize::MAX), TRIM_MAX);
    }

    #[test]
    fn a_heap_on_its_way_down_leaves_little_and_one_that_grew_again_waits() {
        let (pages, mut loops) = (TRIM_FRACTION * TRIM_MIN * 3, Hysteresis::new());
        for shift in (0..=BACKOFF_MAX).step_by(BACKOFF as usize) {
            assert_eq!(loops.threshold(pages), (TRIM_MIN * 3) << shift);
            loops.note_trim();
            assert_eq!(loops.threshold(pages), TRIM_MIN);
            loops.tick();
            loops.note_growth();
        }
        assert_eq!(loops.threshold(pages), (TRIM_MIN * 3) << BACKOFF_MAX);

        let mut patient = Hysteresis::new();
        patient.note_trim();
        (0..REGROWTH).for_each(|_| patient.tick());
        patient.note_growth();
        assert_eq!(patient.threshold(pages), TRIM_MIN * 3, "growth long after a trim is no mistake");
        patient.note_growth();
        assert_eq!(patient.threshold(pages), TRIM_MIN * 3, "nor is growth without one");
    }
}
