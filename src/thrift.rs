//! Giving memory back: when it is done unasked, and how.

use crate::brk::Brk;
use crate::header::{Kind, PAGE, Span};
use crate::spans::Spans;

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

impl<B: Brk> Spans<B> {
    /// Whether `free`, a span just released, holds so much that some should go back to the kernel.
    pub(crate) fn wants_trim(&self, free: Span) -> bool {
        free.dirty_pages() >= self.hysteresis.threshold(self.heap_pages())
    }

    /// What a heap does on its own when [`wants_trim`](Self::wants_trim) says so of the free span around `address`:
    /// keeps a quarter of the top, gives back the pages of any other span.
    pub(crate) fn trim_some(&mut self, address: usize) {
        let free = self.find_around(address).filter(|span| span.is(Kind::Free));
        let given = match free {
            Some(top) if self.top == free => self.lower(top.bytes() / 4),
            Some(span) => self.discard(span),
            None => 0,
        };
        if given + self.give_back_regions() > 0 {
            self.hysteresis.note_trim();
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
