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
//! Where the page map needs another leaf in line, its metadata pages come right before the new free pages.
//!
//! The heap asks for more than it needs, by a step. At a limit that is refused, and halved until it is granted; what was
//! granted is where the next raise begins.

use crate::central::spans::Spans;
use crate::central::wish::Wish;
use crate::ground::header::{Kind, PAGE, Span};
use crate::ground::page_map::Growth;
use crate::kernel::brk::{Brk, Refused};

/// What one huge page covers, in bytes, on most architectures. Elsewhere it is a step like any other.
pub(crate) const HUGE: usize = 2 << 20;
/// From this size on, in pages, a heap of slabs grows by whole huge pages: one page fault instead of 512, and fewer misses
/// in address translation. In a smaller heap the unused part of one would weigh too much.
const HUGE_FROM: usize = (32 << 20) / PAGE;
/// How often in a row someone else may move the break between a look at it and a raise.
const OUTRUN_MAX: usize = 100;

/// What a raise is for.
struct Need {
    base: usize,
    /// Where the break is now; above the heap's end if it is not ours.
    from: usize,
    /// The first new page, and its number.
    start: usize,
    first: usize,
    /// How long the top is to be.
    pages: usize,
    /// How many pages the old top is short of that, if the new ones follow it.
    short: usize,
    /// Whether the new pages follow the heap's old ones.
    ours: bool,
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
    /// The first leaf of the page map that lies aside.
    aside_from: usize,
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
    pub(crate) unsafe fn move_break(&mut self, from: usize, to: usize) -> Result<(), Refused> {
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
        let need = self.need(from, pages).ok_or(Refused)?;
        let aside_from = self.map.first_aside(need.first.saturating_add(need.short), new == New::Behind, &mut self.brk);
        let first_step = self.wish.step(self.heap_pages());
        let (mut step, mut refused) = (first_step, None);
        loop {
            let raise = self.plan_raise(&need, step, aside_from);
            let raise = raise.filter(|raise| new == New::Anywhere || raise.borders_on_old);
            // A shorter step need not come to less.
            if let Some(raise) = raise.filter(|raise| refused != Some(raise.to)) {
                if self.try_raise(&raise, pages).is_ok() {
                    self.wish.note(step, refused.is_some());
                    return Ok(());
                }
                refused = Some(raise.to);
            }
            if step == 0 {
                break;
            }
            step = Wish::shorter(step, need.short);
        }
        // What was refused because it was large says nothing about steps.
        if refused.is_some() && need.short < first_step {
            self.wish.note(0, true);
        }
        Err(Refused)
    }

    /// How many free pages there are at the heap's end, or can be, before metadata has to come next.
    pub(crate) fn pages_before_metadata(&self) -> usize {
        self.top.map_or(0, Span::page_count) + self.map.served_in_line()
    }

    /// What a raise of the break from `from` is to bring, for a top of `pages` pages.
    fn need(&self, from: usize, pages: usize) -> Option<Need> {
        let start = from.checked_next_multiple_of(PAGE)?;
        let base = self.map.base().unwrap_or(start);
        let ours = self.map.base().is_some() && start == self.map.end();
        let held = self.top.filter(|_| ours).map_or(0, Span::page_count);
        Some(Need {
            base,
            from,
            start,
            first: (start - base) / PAGE,
            pages,
            short: pages.saturating_sub(held).max(1),
            ours,
        })
    }

    /// Raises the break, once the metadata that lies aside is there.
    fn try_raise(&mut self, raise: &Raise, pages: usize) -> Result<(), Refused> {
        let all = (raise.to - raise.base) / PAGE;
        let calls = &mut self.counters.brk_calls;
        let raised = self.map.grow_aside(all, raise.aside_from, &mut self.brk, |brk| {
            *calls += 1;
            // SAFETY: raising takes nothing away.
            unsafe { brk.move_break(raise.from, raise.to) }
        });
        // What was mapped aside may stay, if the kernel does not take it back.
        raised.inspect_err(|_| self.note_peak())?;
        if self.grows_by_huge_pages(pages) {
            self.expect_use(raise.start, raise.to);
        }
        self.apply_raise(raise);
        Ok(())
    }

    fn plan_raise(&self, need: &Need, step: usize, aside_from: usize) -> Option<Raise> {
        let &Need { base, from, start, first, pages, short, ours } = need;
        let room = self.map.served_beyond(first, aside_from);
        let (mut metadata, mut free) = (0, short.max(step).min(room));
        if short > room {
            // Metadata comes between the old top and the new one, which has to hold all pages by itself.
            free = pages.max(step);
            loop {
                let total = first.checked_add(free)?.checked_add(metadata)?;
                let missing = self.map.leaf_pages_missing(total, aside_from, self.brk.page_size())?;
                if missing == metadata {
                    break;
                }
                metadata = missing;
            }
        }
        let mut to = start.checked_add((metadata + free).checked_mul(PAGE)?)?;
        if metadata == 0 && step > 0 && self.grows_by_huge_pages(pages) {
            let more = (to.checked_next_multiple_of(HUGE)? - to) / PAGE;
            let more = more.min(room.saturating_sub(free));
            (free, to) = (free + more, to + more * PAGE);
        }
        Some(Raise { base, from, start, metadata, free, to, aside_from, borders_on_old: ours && metadata == 0 })
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
            self.has_huge_pages = true;
            self.brk.expect_use(start, end - start);
        }
    }

    /// The break has been raised: makes spans of what is new.
    fn apply_raise(&mut self, raise: &Raise) {
        let end = if self.map.base().is_some() { self.map.end() } else { raise.start };
        let (kernel_page, pages) = (self.brk.page_size(), (raise.to - raise.base) / PAGE);
        // SAFETY: a guard is part of the metadata pages, which are new, and the leaf around it leaves it alone.
        let seal_guard = |guard| unsafe { seal(&mut self.brk, guard) };
        // The kernel's page in which the break stood holds bytes of whoever used it.
        let zero_from = raise.from.next_multiple_of(kernel_page);
        let (base, storage, aside_from) = (raise.base, raise.start, raise.aside_from);
        let growth = Growth { base, pages, storage, zero_from, aside_from };
        // SAFETY: the break has just been raised over all of it; the metadata comes first, as it was planned, and what is
        // aside was mapped before.
        unsafe { self.map.grow(&growth, kernel_page, seal_guard) };
        if raise.start > end {
            self.append(Kind::Foreign, end, (raise.start - end) / PAGE, 0).set_foreign_end(raise.from);
            self.counters.foreign_pages += (raise.start - end) / PAGE;
        }
        if raise.metadata > 0 {
            self.append(Kind::Metadata, raise.start, raise.metadata, 0);
        }
        let start = raise.start + raise.metadata * PAGE;
        let zero = (raise.to - zero_from.clamp(start, raise.to)) / PAGE;
        match self.top {
            Some(top) => {
                let known = if zero == raise.free { top.zero_end() } else { 0 };
                top.set_zero_end(known + zero);
                top.set_page_count(top.page_count() + raise.free);
            }
            None => self.top = Some(self.append(Kind::Free, start, raise.free, zero)),
        }
        self.thrift.need();
        self.note_peak();
    }

    /// A new last span.
    fn append(&mut self, kind: Kind, start: usize, pages: usize, zero: usize) -> Span {
        if let Some(top) = self.top.take() {
            self.keep_free(top);
        }
        let span = self.map.record(start);
        span.init(kind, start, pages, zero);
        let prev = self.last.or_else(|| self.span_before(start));
        self.link_after(prev, span);
        self.last = Some(span);
        self.map.mark(span);
        span
    }

    pub(crate) fn note_peak(&mut self) {
        self.counters.peak_bytes = self.counters.peak_bytes.max(self.heap_bytes());
    }
}

/// Makes a guard of metadata inaccessible. Where that is refused it only lies between metadata and who writes past an
/// end.
///
/// # Safety
///
/// The range belongs to the heap, its ends are kernel page boundaries, and it is not used before its metadata is given up.
pub(crate) unsafe fn seal(brk: &mut impl Brk, guard: core::ops::Range<usize>) {
    if !guard.is_empty() {
        // SAFETY: the caller's promise.
        let _ = unsafe { brk.seal(guard.start, guard.len()) };
    }
}
