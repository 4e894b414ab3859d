//! Returning memory to the kernel: as [`thrift`](crate::central::thrift) has planned, and as a trim requests.
//!
//! A plan is carried out where it costs least: first in the span just freed, which is mostly long after coalescing;
//! then in the top; then in other spans, which a cursor finds, a few at each step.

use crate::central::huge::HUGE;
use crate::central::known::Known;
use crate::central::plan::{Plan, Sums};
use crate::central::spans::Spans;
use crate::central::thrift::{BASE, EXTRA, Marks};
use crate::ground::header::{Kind, PAGE, Span};
use crate::kernel::brk::{Brk, Refused};
use core::ops::Range;

impl<B: Brk> Spans<B> {
    /// What decides about returning memory.
    #[inline(never)]
    pub(crate) fn sums(&self) -> Sums {
        let (free, dirty) = self.free_pages();
        let dirty = dirty + self.huge_tail().len() / PAGE;
        Sums { heap: self.heap_pages(), free, dirty, peak: self.counters.peak_bytes / PAGE }
    }

    /// The marks of the sum of dirty pages.
    pub(crate) fn marks(&self) -> Marks {
        self.thrift.marks(self.sums())
    }

    /// The part of the top that was never used but holds memory, because it lies in a huge page of which a part was
    /// used.
    pub(crate) fn huge_tail(&self) -> Range<usize> {
        let Some(top) = self.top.filter(|_| self.handed_out_end > 0) else { return 0..0 };
        let from = self.handed_out_end.max(top.end() - top.zero_end() * PAGE);
        let to = self.handed_out_end.next_multiple_of(HUGE).min(top.end());
        from..to.max(from)
    }

    /// Whether memory may have to be returned, after a span was freed.
    #[inline]
    pub(crate) fn is_return_due(&mut self) -> bool {
        !self.thrift.is_quiet() && self.is_return_due_slow()
    }

    #[inline(never)]
    fn is_return_due_slow(&mut self) -> bool {
        let sums = self.sums();
        self.thrift.is_due(sums)
    }

    /// What must be returned now, if anything.
    pub(crate) fn plan_return(&mut self) -> Option<Plan> {
        let sums = self.sums();
        let (brk, thrift) = (&self.brk, &mut self.thrift);
        thrift.plan(sums, || brk.now())
    }

    /// Carries out a plan: first in the free span around `address`, then in others.
    pub(crate) fn return_some(&mut self, address: usize, plan: Plan) {
        let before = self.sums().dirty;
        let free = self.find_around(address).filter(|span| span.is(Kind::Free));
        if let Some(free) = free
            && !self.return_region_of(free)
        {
            self.return_and_stay(free, plan, plan.most);
        }
        let returned = before.saturating_sub(self.sums().dirty);
        if let Some(top) = self.top.filter(|&top| returned < plan.most && Some(top) != free) {
            self.return_from(top, plan, plan.most - returned);
        }
        let mut steps = plan.steps;
        while steps > 0 {
            let returned = before.saturating_sub(self.sums().dirty);
            if returned >= plan.most || !self.discards(plan) {
                break;
            }
            let Some(span) = self.next_to_look_at(&mut steps, before, plan) else { break };
            self.return_and_stay(span, plan, plan.most - returned);
        }
        let returned = before.saturating_sub(self.sums().dirty);
        self.thrift.note_returned(returned);
        if returned == 0 && !self.discards(plan) {
            self.thrift.note_refused(before);
        }
    }

    /// Whether discarding may be tried.
    fn discards(&self, plan: Plan) -> bool {
        self.thrift.discarding.may_try(self.free_pages().1, plan.now)
    }

    /// The next free span in address order that holds enough dirty pages, from where the last search ended. A whole
    /// round without one stops the search until more is dirty.
    fn next_to_look_at(&mut self, steps: &mut usize, dirty: usize, plan: Plan) -> Option<Span> {
        let mut next = self.find_around(self.cursor.address).or(self.first);
        self.cursor.piece = self.cursor.piece.max(plan.piece);
        while let Some(span) = next.filter(|_| *steps > 0) {
            *steps -= 1;
            next = span.next();
            self.cursor.address = next.or(self.first).map_or(0, |next| next.start());
            if span.is(Kind::Free) && span.dirty_pages() >= plan.piece && self.top != Some(span) {
                self.cursor.found = true;
                return Some(span);
            }
            if next.is_none() {
                // Spans freed below the cursor during the round were not visited, so the count at its start is noted.
                if !core::mem::replace(&mut self.cursor.found, false) {
                    self.thrift.note_scattered(self.cursor.dirty.min(dirty), self.cursor.piece);
                }
                (self.cursor.dirty, self.cursor.piece) = (dirty, 0);
                return None;
            }
        }
        None
    }

    /// [`return_from`](Self::return_from); and if much of the span is left, the search goes on there. To come back to it only
    /// after all other spans were visited left 110 MB of a burst of 400 behind.
    fn return_and_stay(&mut self, free: Span, plan: Plan, most: usize) {
        let (start, before) = (free.start(), self.free_pages().1);
        self.return_from(free, plan, most);
        let here = self.find_around(start).filter(|here| here.is(Kind::Free) && self.top != Some(*here));
        if self.free_pages().1 < before && here.is_some_and(|here| here.dirty_pages() >= plan.piece.max(EXTRA)) {
            (self.cursor.address, self.cursor.found) = (start, true);
        }
    }

    /// Returns up to `most` dirty pages of a free span, if they are worth a system call.
    fn return_from(&mut self, free: Span, plan: Plan, most: usize) {
        let top = self.top == Some(free);
        let unused = if top { self.huge_tail().len() / PAGE } else { 0 };
        let pages = most.min(free.dirty_pages() + unused);
        if pages < if top { plan.lower_piece } else { plan.piece } {
            return;
        }
        if top && self.lower_some(free, most, plan) {
            return;
        }
        // Another user may just have lowered the break to the top's start: then there is no top.
        if top && self.top != Some(free) {
            return;
        }
        let next = free.next();
        self.try_discarding(free, most, plan);
        // If only metadata separates the span from the top, that serves nothing any more: all of it can go.
        let after_metadata = next.filter(|next| next.is(Kind::Metadata)).and_then(|next| next.next());
        if let Some(top) = self.top.filter(|&top| after_metadata == Some(top) && top.dirty_pages() <= most) {
            self.lower_some(top, most, plan);
        }
    }

    /// Discards up to `most` dirty pages of a free span, unless that failed recently.
    fn try_discarding(&mut self, free: Span, most: usize, plan: Plan) {
        let dirty = self.free_pages().1;
        if !self.thrift.discarding.may_try(dirty, plan.now) {
            return;
        }
        let (kernel_page, test) = (self.brk.page_size(), self.thrift.must_test_discarding());
        let last = free.to_discard(most, kernel_page).end.saturating_sub(kernel_page);
        match self.discard_some(free, most) {
            Ok(0) => {}
            Ok(_) if test && self.brk.is_locked(last) => self.thrift.discarding.fail(dirty, plan.now),
            Ok(_) => self.thrift.discarding.succeed(),
            Err(Refused) => self.thrift.discarding.fail(dirty, plan.now),
        }
    }

    /// Lowers the break so far that up to `most` dirty pages of the top are returned. If it has no more dirty pages,
    /// its clean ones go, too.
    fn lower_some(&mut self, top: Span, most: usize, plan: Plan) -> bool {
        let (known, dirty) = (Known::of(top), self.free_pages().1);
        if !self.thrift.lowering.may_try(dirty, plan.now) {
            return false;
        }
        // Wherever the dirty pages are, this is short enough to keep no more of them than must stay.
        let keep = if known.dirty > most { known.front + known.dirty - most } else { known.front.min(BASE) };
        let end = top.end() - known.end * PAGE;
        self.look_at(known, end - known.dirty.min(most) * PAGE..end);
        let lowered = self.lower(keep * PAGE) > 0;
        if lowered {
            self.thrift.lowering.succeed()
        } else {
            self.thrift.lowering.fail(dirty, plan.now)
        }
        lowered
    }

    /// While draining, lowers the break over metadata that serves nothing any more: where most of the free end is
    /// clean, its metadata is what holds memory.
    pub(crate) fn lower_over_metadata(&mut self) {
        let sums = self.sums();
        let Some(low) = self.thrift.low_if_draining(sums) else { return };
        if !self.top.and_then(|top| top.prev()).is_some_and(|prev| prev.is(Kind::Metadata)) {
            return;
        }
        let end = self.end_of_used(low * PAGE).unwrap_or(self.map.end());
        let pages = self.map.end().saturating_sub(end) / PAGE;
        if pages >= BASE.max(4 * sums.dirty) && self.thrift.lowering.may_try(sums.dirty, None) {
            match self.lower(low * PAGE) {
                0 => self.thrift.lowering.fail(sums.dirty, None),
                _ => self.thrift.note_returned(sums.dirty - self.sums().dirty),
            }
        }
    }
}
