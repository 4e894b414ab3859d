//! From any address to the span around it, in time that hardly grows with the span: by marks in its unused records.

use super::PageMap;
use crate::ground::header::{PAGE, PAGE_SHIFT, Span};
use crate::kernel::parts::SPEED;

/// Within so many pages a span's first one is looked for, page by page; a longer span is marked.
pub(crate) const NEAR: usize = 256;

impl PageMap {
    /// The span in which `address` lies, wherever in it: for explaining a misuse, not for deciding one. Its cost grows
    /// with the logarithm of the span's length, if the span is [marked](Self::mark).
    pub(crate) fn find_around(&self, address: usize) -> Option<Span> {
        if !self.contains(address) {
            return None;
        }
        let page = address & !(PAGE - 1);
        // The heap and each region start with a span, so this ends there at the latest.
        let mut down = (0..).map_while(|pages: usize| page.checked_sub(pages * PAGE));
        if !SPEED {
            return down.find_map(|page| self.find(page));
        }
        let near = down.by_ref().take(NEAR).find_map(|page| self.find(page));
        near.or_else(|| self.find_marked(page)).or_else(|| down.find_map(|page| self.find(page)))
    }

    /// Marks a long span, so that it can be found from each of its pages.
    ///
    /// Its start is written into the record of the first page after it whose number is a multiple of 256, of that whose
    /// number is a multiple of 512, and so on, as far as they are in the span. Take any page of it, and the greatest power
    /// of two that has a multiple between the start and that page. It has one there only, as of two neighbours one is a
    /// multiple of the next power. So that one is the page's own number, rounded down, and it is also the first after the
    /// start: it bears a mark.
    ///
    /// Pages that are no span's first need no record of their own. A mark is not removed when the span ends: a reader that
    /// finds one checks that it is still true.
    #[inline]
    pub(crate) fn mark(&self, span: Span) {
        self.mark_pages(span, span.page_count());
    }

    /// [`mark`](Self::mark) for a span of `pages` pages.
    #[inline]
    pub(crate) fn mark_pages(&self, span: Span, pages: usize) {
        if SPEED && pages >= NEAR {
            self.mark_long(span);
        }
    }

    #[cold]
    #[inline(never)]
    fn mark_long(&self, span: Span) {
        let start = span.start();
        for shift in NEAR.ilog2() + PAGE_SHIFT..usize::BITS {
            match ((start >> shift) + 1).checked_mul(1 << shift) {
                Some(page) if page < span.end() => self.record(page).set_mark(start),
                _ => break,
            }
        }
    }

    /// The marked span in which a page lies that is further than [`NEAR`] from its start.
    fn find_marked(&self, page: usize) -> Option<Span> {
        let rounded = (NEAR.ilog2() + PAGE_SHIFT..usize::BITS).map(|shift| page >> shift << shift);
        rounded.take_while(|&rounded| self.contains(rounded)).find_map(|rounded| {
            let start = self.record(rounded).mark();
            let span = self.find(start).filter(|&span| start.is_multiple_of(PAGE) && span == self.record(start))?;
            (span.start() == start && start <= page && page < span.end()).then_some(span)
        })
    }
}

#[cfg(test)]
mod tests;
