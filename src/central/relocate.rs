//! Moving large blocks: where to, and their memory.
//!
//! A block that grows step by step moves to the heap's end, where it can go on growing in place. Its memory moves with
//! it, by the kernel's page tables, unless the new place has memory already: then copying leaves less to be faulted in.
//! Either way what was never written stays untouched.

use crate::central::raise::Where;
use crate::central::spans::Spans;
use crate::ground::header::{PAGE, Span, pages_of};
use crate::kernel::brk::{Brk, Refused};

/// From this size on, in bytes, memory is moved and not copied if the new place has none yet. Moving costs some
/// microseconds, a mapping or two more and then a microsecond for a MiB; copying 50 to 100 for a MiB, with the faults.
const MOVE_MIN: usize = 1 << 20;
/// From this size on it is moved wherever it goes.
const MOVE_ALWAYS: usize = 32 << 20;
/// A block that grows by no more than this fraction of it will go on to, and gets as much again if it has to move.
const GROWTH_FRACTION: usize = 8;
/// Blocks of fewer pages are not worth room to grow.
const ROOMY_MIN: usize = MOVE_MIN / PAGE;

/// Pages that a large block for `pages` pages may keep beyond them, so that one that grows by little at a time moves
/// once for each eighth it gains. They are addresses, not memory, until they are used.
pub(crate) fn room_to_grow(pages: usize) -> usize {
    if pages >= ROOMY_MIN { pages / GROWTH_FRACTION } else { 0 }
}

/// What has become of the content of a large block that moves.
pub(crate) enum Content {
    /// It has moved to the new span. If `left_zero`, all of the old one reads as zero.
    Moved { left_zero: bool },
    /// It is still to be copied. From this address on the new span reads as zero.
    ToCopy { zero_from: usize },
}

impl<B: Brk> Spans<B> {
    /// A used span for a block of `held` pages that grows to `pages` and cannot stay where it is: the last of the heap,
    /// or one with free pages behind it. A block that has grown once will go on to. Nothing if the top is too short,
    /// unless the block grows by little and is worth a raise.
    pub(crate) fn take_to_grow(&mut self, held: usize, pages: usize) -> Option<Span> {
        let by_little = pages - held <= (held / GROWTH_FRACTION).max(1) && pages >= ROOMY_MIN;
        let roomy = if by_little { pages + room_to_grow(pages) } else { pages };
        if let Some(span) = self.take_top(roomy) {
            return Some(span);
        }
        if !by_little {
            return None;
        }
        if self.fit.best(2 * pages).is_some() {
            return self.take_free(roomy, 1);
        }
        self.raise(roomy, Where::Anywhere).ok()?;
        self.take_top(roomy)
    }

    /// Moves the first `bytes` bytes of one large block to another one, if that is worth a system call, and the kernel
    /// makes it.
    pub(crate) fn move_content(&mut self, from: Span, to: Span, bytes: usize) -> Content {
        let (source, target) = (from.start(), to.start());
        let zero_from = (to.end() - to.zero_end() * PAGE).max(target);
        let fresh = (target + bytes).saturating_sub(zero_from);
        let worth = bytes >= MOVE_ALWAYS || (bytes >= MOVE_MIN && fresh >= bytes / 2);
        if !worth || self.brk.page_size() > PAGE || !self.clear(target, zero_from.min(to.end())) {
            return Content::ToCopy { zero_from };
        }
        let whole = pages_of(bytes) * PAGE;
        // SAFETY: two used spans of at least so many pages; the new one is not handed out yet.
        match unsafe { self.brk.relocate(source, target, whole) } {
            Ok(()) => Content::Moved { left_zero: whole == from.bytes() },
            // If a part was moved, it reads as zero where it was: what is not is copied.
            Err(Refused) => Content::ToCopy { zero_from: target },
        }
    }

    /// Makes the used pages from `start` to `end` read as zero by returning them, if the kernel agrees.
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
