//! Lowering the break over what is free at the heap's end, and reacting when another user has lowered it.

use crate::central::known::Known;
use crate::central::raise::seal;
use crate::central::spans::Spans;
use crate::ground::corrupt::corrupt;
use crate::ground::header::{Kind, PAGE, Span};
use crate::kernel::brk::{Brk, Refused};
use crate::kernel::line::Line;
use crate::kernel::parts::{MAPPINGS, RETURNS};

/// More pages than this, and this fraction of the heap, are returned from its end [where nothing else is](Spans::lower_if_long).
pub(crate) const LONG: usize = (1 << 20) / PAGE;
const LONG_FRACTION: usize = 8;

/// Where the heap will end once its break is lowered.
struct NewEnd {
    last: Option<Span>,
    end: usize,
    /// The new break: above `end` if another user left it there.
    to: usize,
    /// Foreign pages that no longer lie between two parts of the heap.
    fenced: usize,
}

impl<B: Brk> Spans<B> {
    /// Handles a break found at `from`: if another user has lowered it below the heap's end, makes the heap agree again (I16).
    /// Returns where the break is then.
    ///
    /// Free pages at the top are dropped from the heap. The content of blocks is lost, and the policy decides: if the
    /// process is to go on, the break is raised over them again, so that at least their addresses belong to the heap.
    /// If headers were lost, the process ends.
    pub(crate) fn handle_lowered_break(&mut self, from: usize) -> Result<usize, Refused> {
        if self.map.base().is_none() || from >= self.map.end() {
            return Ok(from);
        }
        let (end, headers_left) = (from & !(PAGE - 1), from >= self.map.records_end());
        let top = self.top.filter(|_| headers_left);
        match top.filter(|top| top.start() <= end) {
            Some(top) => {
                self.end_at(top, end);
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
        line.address(top.map_or(self.map.end(), |top| top.start())).text("\n");
        self.policy.say(&line);
    }

    /// Ends the heap at `end`, which lies in the top or at its start. The break has been lowered already.
    fn end_at(&mut self, top: Span, end: usize) {
        let pages = (end - top.start()) / PAGE;
        if pages == 0 {
            self.top = None;
            self.unlink(top);
            self.map.set(end, None);
        } else {
            let left = Known::of(top).first(pages);
            top.set_page_count(pages);
            left.note(top);
        }
        self.map.shrink(end);
        // Everything left below was handed out once, so its count of dirty pages covers it.
        if RETURNS {
            self.handed_out_end = Some(self.handed_out_end).filter(|&used| used <= end).unwrap_or(0);
        }
    }

    /// Lowers the break so that at most `keep` bytes, rounded up to pages, are free at the top. Returns how many bytes
    /// were returned.
    pub(crate) fn lower(&mut self, keep: usize) -> usize {
        let keep = keep.checked_next_multiple_of(PAGE).unwrap_or(usize::MAX);
        // Only a break exactly at the heap's end may be lowered. No header is read before this is known.
        if self.map.base().is_none() || !self.is_break_at_end() {
            return 0;
        }
        let Some(end) = self.lowered_end(keep) else { return 0 };
        // Headers above the new end go with their pages, so everything is read before the break moves.
        let old_end = self.map.end();
        let after = self.last.and_then(|last| last.next());
        let NewEnd { last, end, to, fenced } = self.new_end(end);
        self.set_dropped(end, false);
        // SAFETY: all spans from `end` on are free or metadata that serves only them; of a foreign one only what lies
        // above `to`, where its owner left the break, is taken.
        if unsafe { self.lower_over_guards(old_end, to) }.is_err() {
            self.set_dropped(end, true);
            return 0;
        }
        self.become_last(last, after, end);
        self.counters.foreign_pages -= fenced;
        self.thrift.note_changed();
        old_end - to + self.return_rest_aside()
    }

    /// Lowers the break if much is free at the heap's end: what is done instead of more where
    /// [that](crate::kernel::parts::RETURNS) is left out.
    ///
    /// Metadata for nothing but free pages counts as free. There is some in every 16 MiB of a heap that has no memory beside its
    /// break, so the top alone is never longer than that.
    #[inline]
    pub(crate) fn lower_if_long(&mut self) {
        let most = LONG + self.heap_pages() / LONG_FRACTION;
        if self.top.is_some() && self.pages_free_at_end() > most {
            self.lower_long(most);
        }
    }

    /// Pages above the used part of the heap. Takes a step for each leaf among them.
    fn pages_free_at_end(&self) -> usize {
        self.end_of_used(0).map_or(0, |end| self.map.end().saturating_sub(end) / PAGE)
    }

    /// Lowers the break so far that half of `most` pages are free at the heap's end; or if metadata lies among these, fewer.
    /// Refused, that is not tried again before twice as much is free there.
    #[cold]
    #[inline(never)]
    fn lower_long(&mut self, most: usize) {
        let free = self.pages_free_at_end();
        if !self.thrift.lowering.may_try(free, None) {
            return;
        }
        let mut lowered = self.lower(most / 2 * PAGE);
        // What is kept has to lie between two leaves: half of the least fits between any.
        if self.pages_free_at_end() > most {
            lowered += self.lower(LONG / 2 * PAGE);
        }
        match lowered {
            0 => self.thrift.lowering.fail(free, None),
            _ => self.thrift.lowering.succeed(),
        }
    }

    /// What will be last in a heap that ends at `end`. If that is a fence, a foreign span, it is dropped too: the heap
    /// ends below it, and the break is lowered to where the fence's owner left it.
    fn new_end(&self, end: usize) -> NewEnd {
        let mut last = self.last;
        while let Some(span) = last.filter(|span| span.start() >= end) {
            last = span.prev();
        }
        match last.filter(|span| MAPPINGS && span.is(Kind::Foreign)) {
            Some(fence) => {
                NewEnd { last: fence.prev(), end: fence.start(), to: fence.foreign_end(), fenced: fence.page_count() }
            }
            None => NewEnd { last, end, to: end, fenced: 0 },
        }
    }

    /// Returns metadata aside that serves no page any more, but for a little, unless there are readers.
    fn return_rest_aside(&mut self) -> usize {
        if !MAPPINGS {
            return 0;
        }
        if self.has_readers {
            self.kept_for_readers = true;
            return 0;
        }
        self.map.return_aside(false, &mut self.brk)
    }

    /// Returns the metadata aside that serves no page any more, and says how many bytes that was.
    pub(crate) fn return_aside(&mut self) -> usize {
        self.map.return_aside(true, &mut self.brk)
    }

    /// Lowers the break over leaves and their guards. If that is refused, both stay as they were.
    ///
    /// # Safety
    ///
    /// As for [`Brk::move_break`].
    pub(crate) unsafe fn lower_over_guards(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        let kernel_page = self.brk.page_size();
        let sealed = MAPPINGS && self.map.guards_from(to, kernel_page).next().is_some();
        if sealed {
            // SAFETY: the heap ends at `from`, and nothing from `to` on is used.
            unsafe { self.brk.unseal(to, from - to) };
        }
        // SAFETY: the caller's promise.
        let lowered = unsafe { self.move_break(from, to) };
        if sealed && lowered.is_err() {
            let map = &self.map;
            // SAFETY: nothing uses a leaf's guards while it stands, and it still does.
            map.guards_from(to, kernel_page).for_each(|guard| unsafe { seal(&mut self.brk, guard) });
        }
        lowered
    }

    /// Whether the heap ends at this break, where the break has to be the heap's alone. A lower one has lost blocks (I16).
    pub(crate) fn is_end(&self, now: usize) -> bool {
        if now < self.map.end() {
            corrupt(16, now);
        }
        now == self.map.end()
    }

    /// Whether the break is at the heap's end. A break below it is handled first.
    pub(crate) fn is_break_at_end(&mut self) -> bool {
        let now = self.brk.query();
        if !MAPPINGS {
            return now.is_ok_and(|now| self.is_end(now));
        }
        now.and_then(|now| self.handle_lowered_break(now)) == Ok(self.map.end())
    }

    /// Where the heap would end if all but `keep` bytes of what is free at its end were returned; nothing, unless that
    /// is lower than now.
    fn lowered_end(&self, keep: usize) -> Option<usize> {
        self.end_of_used(keep).filter(|&end| end < self.map.end())
    }

    /// Where the used part of the heap ends, with `keep` bytes above it. Metadata serves only pages above itself, so it
    /// is unused if all of those are free; only the storage of leaf 0, at the heap's start, stays.
    pub(crate) fn end_of_used(&self, keep: usize) -> Option<usize> {
        let (mut end, mut span) = (self.map.end(), self.last?);
        loop {
            let free = if span.is(Kind::Free) { span.bytes() } else { 0 };
            if free < keep && Some(span) != self.last {
                return Some(end);
            }
            end = end.min((span.end() - free).saturating_add(keep));
            let below = if free > 0 { span.prev()? } else { span };
            if !below.is(Kind::Metadata) || self.has_readers {
                return Some(end);
            }
            if Some(below.start()) == self.map.base() {
                return Some(if keep == 0 { self.map.least_end(self.brk.page_size()) } else { end });
            }
            span = below.prev()?;
        }
    }

    /// Takes the spans that would be dropped if the heap ended at `end` out of the page map, and out of the index the free ones that
    /// would leave it; or puts them back.
    #[inline(never)]
    fn set_dropped(&mut self, end: usize, back: bool) {
        let mut span = self.last;
        while let Some(here) = span.filter(|here| here.end() >= end) {
            if here.start() >= end {
                self.map.set(here.start(), back.then_some(here));
            }
            if here.is(Kind::Free) && self.top != Some(here) {
                if back { self.fit.insert(here) } else { self.fit.remove(here) }
            }
            span = here.prev();
        }
    }

    /// Makes `last` the last span, ending at `end`, after the break has been lowered.
    fn become_last(&mut self, last: Option<Span>, after: Option<Span>, end: usize) {
        // The storage of leaf 0 always stays, so there is a last span.
        let Some(last) = last else { corrupt(11, end) };
        self.join(Some(last), after);
        self.last = Some(last);
        self.top = Some(last).filter(|last| last.is(Kind::Free));
        match self.top {
            Some(top) => self.end_at(top, end),
            None => {
                last.set_page_count((end - last.start()) / PAGE);
                self.map.shrink(end);
            }
        }
    }
}
