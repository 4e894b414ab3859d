//! The list of spans: every page of the heap belongs to one span, and the spans are linked in address order (I1).
//!
//! This is the central part of the heap. It hands out runs of pages, splits and coalesces free ones, and asks
//! [`raise`](crate::central::raise) and [`regions`](crate::central::regions) for more;
//! [`thrift`](crate::central::thrift) decides when free ones are returned to the kernel.
//!
//! ```text
//!  first                                                              last = top     (end)  break
//!  +----------+----------+---------+------+---------------------+----------------+
//!  | metadata | slab     | free    | slab | large               | free           |
//!  +----------+----------+---------+------+---------------------+----------------+
//!       <--------> <-------> <-------> <-------> prev and next <-------->
//! ```

use crate::central::fit::Fit;
use crate::central::huge::Pace;
use crate::central::known::Known;
use crate::central::plan::Cursor;
use crate::central::thrift::Thrift;
use crate::central::wish::Wish;
use crate::ground::header::{Kind, PAGE, Span};
use crate::ground::limit::Limit;
use crate::ground::page_map::PageMap;
use crate::ground::policy::Policy;
use crate::ground::profiling::Profiling;
use crate::ground::records::Watch;
use crate::kernel::parts::{RETURNS, SPEED};

/// The heap could not get the memory: the kernel refused both the break and a mapping, or the request exceeds what
/// addresses can express. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OutOfMemory;

impl core::fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("out of memory")
    }
}

impl core::error::Error for OutOfMemory {}

/// Counts that a walk over the heap could not recover, or not fast enough (I12).
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) brk_calls: usize,
    pub(crate) map_calls: usize,
    pub(crate) peak_bytes: usize,
    /// Pages in foreign spans.
    pub(crate) foreign_pages: usize,
    /// Pages in regions.
    pub(crate) region_pages: usize,
    /// Pages in slabs.
    pub(crate) slab_pages: usize,
    /// Bytes mapped for what threads share.
    pub(crate) thread_bytes: usize,
}

/// What wants to know of slabs.
#[derive(Clone, Copy)]
pub(crate) struct Watched(pub(crate) &'static dyn Watch);

impl core::fmt::Debug for Watched {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.records().fmt(f)
    }
}

/// All spans of a heap, and the kernel they come from.
#[derive(Debug)]
pub(crate) struct Spans<B> {
    pub(crate) brk: B,
    pub(crate) map: PageMap,
    pub(crate) fit: Fit,
    /// The span at the lowest address.
    pub(crate) first: Option<Span>,
    /// The last span below the heap's end (I11). Regions do not count: they may lie anywhere.
    pub(crate) last: Option<Span>,
    /// `last`, if it is free. It is not in [`Fit`], so that it is split only when no other span fits.
    pub(crate) top: Option<Span>,
    pub(crate) thrift: Thrift,
    pub(crate) cursor: Cursor,
    /// The most free pages to ask for in a new region: twice what was granted last, or half of what was refused.
    pub(crate) region_most: Limit,
    /// Memory is short while this is set: the kernel last refused what was asked for beyond the need, and granted so
    /// many pages.
    pub(crate) granted_after_refusal: Option<usize>,
    /// The fewest pages that the kernel has refused since the present request began.
    pub(crate) refused: Limit,
    pub(crate) wish: Wish,
    pub(crate) pace: Pace,
    /// The count of span operations when the tiers were last asked to retire idle slabs.
    pub(crate) asked_idle: u32,
    /// Whether huge pages were asked for.
    pub(crate) has_huge_pages: bool,
    /// The end of the highest memory that was handed out since huge pages were asked for, and not returned: the rest of the
    /// huge page in which it lies holds memory, too.
    pub(crate) handed_out_end: usize,
    /// Whether other threads may be reading the page map and headers now, without the lock: then no memory that holds any is
    /// returned.
    pub(crate) has_readers: bool,
    /// Whether memory was kept for their sake that is worth stopping them.
    pub(crate) kept_for_readers: bool,
    pub(crate) counters: Counters,
    /// In checked mode, what wants to know of slabs.
    pub(crate) watch: Option<Watched>,
    /// What sampling works with, if requests are sampled.
    pub(crate) profiling: Option<Profiling>,
    /// What is done about a break that was lowered below blocks in use.
    pub(crate) policy: Policy,
}

impl<B> Spans<B> {
    pub(crate) const fn new(brk: B, policy: Policy) -> Self {
        Self {
            brk,
            map: PageMap::new(),
            fit: Fit::new(),
            first: None,
            last: None,
            top: None,
            thrift: Thrift::new(),
            cursor: Cursor::new(),
            region_most: Limit::NONE,
            granted_after_refusal: None,
            refused: Limit::NONE,
            wish: Wish::new(),
            pace: Pace::new(),
            asked_idle: 0,
            has_huge_pages: false,
            handed_out_end: 0,
            profiling: None,
            policy,
            has_readers: false,
            kept_for_readers: false,
            watch: None,
            counters: Counters {
                brk_calls: 0,
                map_calls: 0,
                peak_bytes: 0,
                foreign_pages: 0,
                region_pages: 0,
                slab_pages: 0,
                thread_bytes: 0,
            },
        }
    }

    /// Pages the heap has below the break and in regions, foreign ones not counted.
    pub(crate) fn heap_pages(&self) -> usize {
        self.map.pages() - self.counters.foreign_pages + self.counters.region_pages
    }

    /// All bytes that the heap has from the kernel: [these pages](Self::heap_pages), metadata aside, and what threads share.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.heap_pages() * PAGE + self.map.aside_bytes() + self.counters.thread_bytes
    }

    /// All spans in address order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Span> {
        core::iter::successors(self.first, |span| span.next())
    }

    /// Pages of free spans, and how many of these may hold kernel memory.
    pub(crate) fn free_pages(&self) -> (usize, usize) {
        let (pages, dirty) = self.top.map_or((0, 0), |top| (top.page_count(), top.dirty_pages()));
        (self.fit.pages.wrapping_add(pages), self.fit.dirty().wrapping_add(dirty))
    }

    /// A used span of exactly `pages` pages at a multiple of `align` bytes, from the best free span or from the top.
    pub(crate) fn take_free(&mut self, pages: usize, align: usize) -> Option<Span> {
        let common = if SPEED && align <= PAGE { self.take_common(pages) } else { None };
        common.or_else(|| self.take_free_slow(pages, align))
    }

    /// The same in the general way.
    #[inline(never)]
    pub(crate) fn take_free_slow(&mut self, pages: usize, align: usize) -> Option<Span> {
        self.thrift.tick();
        if let Some(span) = self.fit.best(pages.checked_add(align_slack(align))?) {
            self.verify_linked(span);
            self.fit.remove(span);
            return Some(self.carve(span, pages, align));
        }
        let top = self.top?;
        let lead = pages_to_align(top, align)?;
        if top.page_count() < lead.checked_add(pages)? {
            return None;
        }
        self.top = None;
        Some(self.carve(top, pages, align))
    }

    /// The length of the longest free span of at most `pages` pages, not counting the top, if there is one.
    pub(crate) fn longest_free(&self, pages: usize) -> Option<usize> {
        if self.fit.best(pages).is_some() { Some(pages) } else { self.fit.longest(pages) }
    }

    /// Splits a free span that is not in the index into a free lead, the used span, and a free remainder.
    pub(crate) fn carve(&mut self, mut span: Span, pages: usize, align: usize) -> Span {
        let lead = pages_to_align(span, align).unwrap_or(0);
        if lead > 0 {
            let rest = self.split(span, lead);
            self.index_free(span);
            // Where the positions of dirty pages are not known, both parts may count one.
            self.thrift.note_changed();
            span = rest;
        }
        self.note_taken(span, pages);
        if span.page_count() > pages {
            let (remainder, known) = self.split_free(span, pages);
            self.insert_known(remainder, known);
        }
        span.change_kind(Kind::Free, Kind::Large);
        self.note_handed_out(span, span.start(), pages);
        span
    }

    /// Notes that a span of `pages` pages from `start` on is handed out.
    #[inline(always)]
    pub(crate) fn note_handed_out(&mut self, span: Span, start: usize, pages: usize) {
        self.map.mark_pages(span, pages);
        let end = start + pages * PAGE;
        if RETURNS && self.has_huge_pages && end > self.handed_out_end && end <= self.map.end() {
            self.handed_out_end = end;
            self.thrift.note_changed();
        }
    }

    /// Notes, while the heap is draining, that the first `pages` pages of a free span are taken: if that needs kernel memory
    /// again, draining ends.
    #[inline]
    pub(crate) fn note_taken(&mut self, free: Span, pages: usize) {
        if self.thrift.is_draining() && Known::of(free).needs_memory(pages) {
            self.thrift.note_needed();
        }
    }

    /// Splits a span after `pages` pages. The rest becomes a span of the same kind, which is not in the index.
    pub(crate) fn split(&mut self, span: Span, pages: usize) -> Span {
        if !RETURNS || span.is(Kind::Free) {
            return self.split_free(span, pages).0;
        }
        let (start, rest) = (span.start() + pages * PAGE, span.page_count() - pages);
        let (remainder, zero) = (self.map.record(start), span.zero_end());
        remainder.init(span.kind(), start, rest, zero.min(rest));
        span.set_page_count(pages);
        span.set_zero_end(zero.saturating_sub(rest));
        self.link_at(start, Some(span), remainder);
        remainder
    }

    /// [`split`](Self::split) for a free span. Also returns what is known about the rest, because to read that from its
    /// header would mean to wait for the header, which is rarely in the cache.
    #[cfg_attr(feature = "speed", inline)]
    #[cfg_attr(not(feature = "speed"), inline(never))]
    fn split_free(&mut self, span: Span, pages: usize) -> (Span, Known) {
        let start = span.start() + pages * PAGE;
        let remainder = self.map.record(start);
        let (first, second) = Known::of(span).split(pages);
        remainder.init(if RETURNS { Kind::Free } else { span.kind() }, start, second.pages, second.end);
        if RETURNS {
            second.note(remainder);
        }
        span.set_page_count(pages);
        if RETURNS {
            first.note(span);
        }
        self.link_at(start, Some(span), remainder);
        (remainder, second)
    }

    /// Inserts a free span: as the top if it is last, else into the index.
    pub(crate) fn insert_free(&mut self, span: Span) {
        self.insert_known(span, Known::of(span));
    }

    /// [`insert_free`](Self::insert_free) for a span about which `known` is known.
    #[cfg_attr(feature = "speed", inline)]
    #[cfg_attr(not(feature = "speed"), inline(never))]
    pub(crate) fn insert_known(&mut self, span: Span, known: Known) {
        if self.last == Some(span) {
            self.top = Some(span);
        } else {
            self.map.mark_pages(span, known.pages);
            self.fit.insert_known(span, known.pages, known.dirty);
        }
    }

    /// Inserts a free span that is not the top into the index.
    #[inline(never)]
    pub(crate) fn index_free(&mut self, span: Span) {
        self.map.mark(span);
        self.fit.insert(span);
    }

    /// Removes a free span about which `known` is known from the index, or as the top.
    #[cfg_attr(feature = "speed", inline(always))]
    #[cfg_attr(not(feature = "speed"), inline(never))]
    pub(crate) fn remove_known(&mut self, span: Span, known: Known) {
        if self.top == Some(span) {
            self.top = None;
        } else {
            self.fit.remove_known(span, known.pages, known.dirty);
        }
    }
}

/// Pages that a span must have to spare so that `align` can be met wherever it starts.
pub(crate) fn align_slack(align: usize) -> usize {
    (align / PAGE).saturating_sub(1)
}

/// Pages from a span's start to the next multiple of `align`.
#[inline]
fn pages_to_align(span: Span, align: usize) -> Option<usize> {
    if align <= PAGE {
        return Some(0);
    }
    let start = span.start();
    Some((start.checked_next_multiple_of(align)? - start) / PAGE)
}
