//! Taking a span: from free ones, from idle slabs, from the kernel.

use crate::central::raise::Where;
use crate::central::spans::{OutOfMemory, Spans, align_slack};
use crate::ground::header::Span;
use crate::ground::limit::Limit;
use crate::kernel::brk::{Brk, Refused};
use crate::kernel::parts::{LIMITS, MAPPINGS, SPEED};

/// The most pages of a request: a region for it is somewhat longer, and counts its pages in 32 bits.
const PAGES_MAX: usize = u32::MAX as usize / 2;
/// Span operations for which idle slabs are kept after the tiers were asked to retire them.
const REUSE: u32 = 256;

impl<B> Spans<B> {
    /// Forgets what the kernel refused: that counts only within one request, because it may grant it at the next.
    pub(crate) fn begin_request(&mut self) {
        self.refused = Limit::NONE;
    }

    /// Stops asking the kernel in this request.
    pub(crate) fn end_asking(&mut self) {
        self.refused = Limit::new(0);
    }
}

impl<B: Brk> Spans<B> {
    /// A used span of `pages` pages at a multiple of `align` bytes. Before the heap grows for it, `retire_idle` makes
    /// the tiers retire their slabs in which nothing is live: else each class would end up with a slab that no other
    /// can use.
    pub(crate) fn take(
        &mut self,
        pages: usize,
        align: usize,
        retire_idle: &mut dyn FnMut(&mut Self),
    ) -> Result<Span, OutOfMemory> {
        if let Some(span) = self.take_free(pages, align) {
            if self.thrift.has_to_decide() {
                self.decide_growth();
            }
            return Ok(span);
        }
        // Not every time: a class that soon needs its slab again would only take one from another class.
        if SPEED && self.thrift.since(self.asked_idle) > REUSE {
            self.asked_idle = self.thrift.now();
            retire_idle(self);
        }
        self.take_or_grow(pages, align).or_else(|refused| {
            retire_idle(self);
            self.take_free(pages, align).ok_or(refused)
        })
    }

    fn take_or_grow(&mut self, pages: usize, align: usize) -> Result<Span, OutOfMemory> {
        if let Some(span) = self.take_free(pages, align) {
            return Ok(span);
        }
        let enough = pages.checked_add(align_slack(align)).filter(|&pages| pages <= PAGES_MAX);
        self.grow(enough.ok_or(OutOfMemory)?)?;
        self.take_free(pages, align).ok_or(OutOfMemory)
    }

    /// A used span of `pages` pages, after more were refused: a free one; or for a single page, one from the kernel.
    pub(crate) fn take_least(&mut self, pages: usize) -> Result<Span, OutOfMemory> {
        if pages == 1 { self.take_or_grow(1, 1) } else { self.take_free(pages, 1).ok_or(OutOfMemory) }
    }

    /// Gets at least `pages` contiguous free pages from the kernel.
    fn grow(&mut self, pages: usize) -> Result<(), OutOfMemory> {
        // The kernel is not asked again for what it has refused in this request.
        if LIMITS && pages >= self.refused.get() {
            return Err(OutOfMemory);
        }
        if self.raise(pages, Where::Anywhere).is_ok() {
            if LIMITS {
                self.granted_after_refusal = self.wish.shortened(self.heap_pages());
            }
            return Ok(());
        }
        let grown = if MAPPINGS { self.map_region(pages) } else { Err(Refused) };
        let grown = grown.or_else(|_| {
            if MAPPINGS && self.make_room_for_region(pages) { self.map_region(pages) } else { Err(Refused) }
        });
        if LIMITS && grown.is_err() {
            (self.refused, self.granted_after_refusal) =
                (Limit::new(pages), Some(self.granted_after_refusal.unwrap_or(1)));
        }
        grown.map_err(|_| OutOfMemory)
    }
}
