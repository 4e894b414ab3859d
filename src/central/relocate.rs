//! Moving large blocks: choosing the new span, and moving the memory.
//!
//! A block that grows step by step moves to the heap's end, where it can keep growing in place. The kernel moves its
//! memory by changing page tables, unless the new span has memory already: then copying causes fewer page faults.
//! Either way pages that were never written stay untouched.

use crate::central::raise::Where;
use crate::central::spans::Spans;
use crate::ground::header::{Kind, PAGE, Span, pages_of};
use crate::kernel::brk::{Brk, Refused};
use crate::kernel::parts::MAPPINGS;

/// From this size on, in bytes, memory is moved and not copied if the new span has none yet. Moving costs some
/// microseconds, a mapping or two, and a microsecond for each MiB; copying costs 50 to 100 for each MiB, faults
/// included.
const MOVE_MIN: usize = 1 << 20;
/// From this size on memory is always moved.
const MOVE_ALWAYS: usize = 32 << 20;
/// A block that grows by at most this fraction of itself is expected to keep growing, and gets as much to spare if it
/// has to move.
const GROWTH_FRACTION: usize = 8;
/// Blocks of fewer pages get no room to grow.
const ROOMY_MIN: usize = MOVE_MIN / PAGE;

/// Pages that a large block may have beyond the `pages` that it needs, so that one that grows by little at a time moves
/// once for each eighth that it gains. Until they are used they are addresses, not memory.
pub(crate) fn room_to_grow(pages: usize) -> usize {
    if pages >= ROOMY_MIN { pages / GROWTH_FRACTION } else { 0 }
}

/// Whether the content of a large block has moved.
pub(crate) enum Content {
    /// It has moved to the new span. If `left_zero`, the whole old span reads as zero.
    Moved { left_zero: bool },
    /// It must be copied. From this address on the new span reads as zero.
    ToCopy { zero_from: usize },
}

impl<B: Brk> Spans<B> {
    /// A used span for a block of `held` pages that grows to `pages` by little and cannot stay where it is: at the heap's end,
    /// or with free pages after it, because it is expected to keep growing. `None` if it grows by more, or is short: then it
    /// moves to any span that fits, because to leave freed spans aside for the top would make the heap longer with each
    /// block that doubles.
    pub(crate) fn take_to_grow(&mut self, held: usize, pages: usize) -> Option<Span> {
        let by_little = pages - held <= (held / GROWTH_FRACTION).max(1) && pages >= ROOMY_MIN;
        if !by_little {
            return None;
        }
        let roomy = pages + room_to_grow(pages);
        if let Some(span) = self.take_top(roomy) {
            return Some(span);
        }
        if self.fit.best(2 * pages).is_some() {
            return self.take_free(roomy, 1);
        }
        self.raise(roomy, Where::Anywhere).ok()?;
        self.take_top(roomy)
    }

    /// Makes a large block one that moves: no longer live, but with its memory until [`end_move`](Self::end_move).
    pub(crate) fn begin_move(&self, span: Span) {
        self.verify(span);
        span.change_kind(Kind::Large, Kind::Moving);
    }

    /// Frees a block that has moved. Returns the free span that contains its pages.
    pub(crate) fn end_move(&mut self, span: Span) -> Span {
        span.change_kind(Kind::Moving, Kind::Large);
        self.free_span(span)
    }

    /// [`end_move`](Self::end_move) of a block that holds no kernel memory any more, and reads as zero.
    pub(crate) fn end_move_untouched(&mut self, span: Span) -> Span {
        span.change_kind(Kind::Moving, Kind::Large);
        self.free_untouched(span)
    }

    /// Lengthens a used span that only the top follows, or nothing, to `pages` pages, by raising the break.
    pub(crate) fn raise_behind(&mut self, span: Span, pages: usize) -> bool {
        let at_the_end = self.last == Some(span) || (self.top.is_some() && span.next() == self.last);
        let more = pages - span.page_count();
        let raised = at_the_end && pages <= u32::MAX as usize && self.raise(more, Where::Adjacent).is_ok();
        raised && self.lengthen(span, pages)
    }

    /// Moves the first `bytes` bytes of one large block to another, if that is worth a system call and the kernel
    /// agrees.
    pub(crate) fn move_content(&mut self, from: Span, to: Span, bytes: usize) -> Content {
        let (source, target) = (from.start(), to.start());
        let zero_from = (to.end() - to.zero_end() * PAGE).max(target);
        let fresh = (target + bytes).saturating_sub(zero_from);
        let worth = MAPPINGS && (bytes >= MOVE_ALWAYS || (bytes >= MOVE_MIN && fresh >= bytes / 2));
        if !worth || self.brk.page_size() > PAGE || !self.clear(target, zero_from.min(to.end())) {
            return Content::ToCopy { zero_from };
        }
        let whole = pages_of(bytes) * PAGE;
        // SAFETY: two used spans of at least so many pages; the new one is not handed out yet.
        match unsafe { self.brk.relocate(source, target, whole) } {
            Ok(()) => Content::Moved { left_zero: whole == from.bytes() },
            // A part may have moved, and its old pages read as zero. Copying skips zeros, so it copies the rest only.
            Err(Refused) => Content::ToCopy { zero_from: target },
        }
    }

    /// Discards the used pages from `start` to `end`, so that they read as zero, if the kernel agrees.
    fn clear(&mut self, start: usize, end: usize) -> bool {
        // SAFETY: they belong to a block that is not handed out yet; our page boundaries are kernel page boundaries
        // here.
        start >= end || unsafe { self.brk.discard(start, end - start) }.is_ok()
    }

    /// A used span of `pages` pages from the top.
    fn take_top(&mut self, pages: usize) -> Option<Span> {
        let top = self.top.filter(|top| top.page_count() >= pages)?;
        self.thrift.tick();
        self.top = None;
        Some(self.carve(top, pages, 1))
    }
}
