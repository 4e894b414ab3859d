//! Discarding: the memory of free pages goes back to the kernel, and their addresses stay. Before that some pages are looked at, and
//! metadata goes with its pages.

use crate::central::huge::HUGE;
use crate::central::known::Known;
use crate::central::spans::Spans;
use crate::ground::header::{Kind, PAGE, Span};
use crate::ground::leaf::GROUPED;
use crate::kernel::brk::{Brk, Refused};
use core::ops::Range;

/// One page of so many bytes is looked at before they are returned,
const LOOK: usize = 1 << 20;
/// and no more of them at once.
const LOOKS_MAX: usize = 8;

/// The part of a free span to discard, with what is known to be zero beside it as far as that makes huge pages whole: only those
/// come back in one piece. After 64 MiB had been discarded half a MiB at a time, each of their 16,384 pages took a fault of its own;
/// once whole huge pages were discarded as well, although they held no memory by then, it was 32 faults.
fn whole_huge_pages(free: Span, known: Known, range: Range<usize>, kernel_page: usize) -> Range<usize> {
    let (first, last) = (free.start().next_multiple_of(kernel_page), free.end() & !(kernel_page - 1));
    let (low, high) = (range.start & !(HUGE - 1), range.end.next_multiple_of(HUGE));
    let is_whole = range.start <= free.start() + known.front * PAGE;
    let start = if is_whole && low >= first && low + HUGE <= range.end { low } else { range.start };
    let end = if high <= last && high - HUGE >= start { high } else { range.end };
    start..end
}

impl<B: Brk> Spans<B> {
    /// Discards up to about `most` dirty pages of a free span, if the kernel agrees, and keeps their addresses. Returns
    /// how many bytes of dirty pages that were.
    pub(crate) fn discard_some(&mut self, free: Span, most: usize) -> Result<usize, Refused> {
        let kernel_page = self.brk.page_size();
        let mut range = free.to_discard(most, kernel_page);
        let huge_tail = if self.top == Some(free) { self.huge_tail() } else { 0..0 };
        if !huge_tail.is_empty() {
            let start = if range.is_empty() { huge_tail.start.next_multiple_of(kernel_page) } else { range.start };
            range = start..huge_tail.end & !(kernel_page - 1);
        }
        if range.is_empty() {
            return Ok(0);
        }
        let before = Known::of(free);
        self.look_at(before, range.clone());
        if self.has_huge_pages {
            range = whole_huge_pages(free, before, range, kernel_page);
        }
        // SAFETY: a free span belongs to the heap and nothing in it is in use; both ends are kernel page boundaries.
        unsafe { self.brk.discard(range.start, range.len()) }?;
        let start = free.start();
        let after = before.without((range.start - start).div_ceil(PAGE), (range.end - start) / PAGE);
        after.note(free);
        let pages = before.dirty - after.dirty;
        if (range.start..=range.end).contains(&self.handed_out_end) {
            self.handed_out_end = 0;
        }
        if self.top != Some(free) {
            self.fit.clean = self.fit.clean.wrapping_add(pages);
        }
        self.discard_metadata(free, range);
        Ok(pages * PAGE)
    }

    /// Returns the metadata of the [groups](crate::ground::leaf::GROUPED) of pages in which a part of a free span was just discarded,
    /// if they are known to be zero to the span's end. Only of these: were it of all that is zero, the last free of a burst would
    /// return the metadata of the whole heap, which takes 7 ms with 16 GiB.
    fn discard_metadata(&mut self, free: Span, range: Range<usize>) {
        let Some(first) = self.map.page_of(free.start()).filter(|_| !self.has_readers) else { return };
        let (known, page) = (Known::of(free), |address: usize| first + (address - free.start()) / PAGE);
        let (from, to) = (page(range.start) & !(GROUPED - 1), page(range.end + PAGE - 1).next_multiple_of(GROUPED));
        // The span's first page has a record.
        let (zero, end) = (first + (known.pages - known.end).max(1), first + known.pages);
        let groups = from.max(zero).next_multiple_of(GROUPED)..to.min(end) & !(GROUPED - 1);
        if groups.start < groups.end {
            for groups in self.thrift.note_groups(groups).into_iter().filter(|groups| !groups.is_empty()) {
                // SAFETY: pages inside of a free span, and no other thread reads.
                unsafe { self.map.discard_aside(groups, &mut self.brk) };
            }
            self.map.mark(free);
        }
    }

    /// Looks whether memory of a free span that is about to be returned was in use: at one page for each [`LOOK`], which takes a
    /// hundredth of the time that returning it takes. Where it is not known which pages are dirty, some were returned before.
    pub(crate) fn look_at(&mut self, known: Known, range: Range<usize>) {
        if range.is_empty() || known.dirty < known.middle() {
            return;
        }
        let page = self.brk.page_size();
        let pieces = (range.len() / LOOK).clamp(1, LOOKS_MAX);
        for middle in (0..pieces).map(|piece| range.start + range.len() / pieces * piece + range.len() / pieces / 2) {
            let held = self.brk.is_resident(middle & !(page - 1));
            self.thrift.note_resident(held);
        }
    }

    /// Discards all dirty pages of all free spans but the top. Returns how many bytes they were.
    pub(crate) fn return_free_spans(&mut self) -> usize {
        self.thrift.forget_groups();
        let (mut returned, mut span) = (0, self.first);
        while let Some(here) = span {
            if here.is(Kind::Free) && self.top != Some(here) && Known::of(here).middle() > 0 {
                returned += self.discard_some(here, usize::MAX).unwrap_or(0);
            }
            span = here.next();
        }
        returned
    }
}
