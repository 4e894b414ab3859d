//! Moving large blocks: where to, and their content.
//!
//! A block that grows step by step moves to the heap's end, where it can go on growing in place. Its memory moves with
//! it, by the kernel's page tables, unless the new place has memory already: then copying leaves less to be faulted in.
//! Either way what was never written stays untouched.

use crate::central::raise::Where;
use crate::central::spans::Spans;
use crate::ground::header::{PAGE, Span, pages_of};
use crate::kernel::brk::Brk;

/// From this size on, in bytes, memory is moved and not copied if the new place has none yet. Moving costs some
/// microseconds, a mapping or two more and then a microsecond for a MiB; copying 50 to 100 for a MiB, with the faults.
const MOVE_MIN: usize = 1 << 20;
/// From this size on it is moved wherever it goes.
const MOVE_ALWAYS: usize = 32 << 20;
/// How many bytes are checked for zeros at a time when a block is copied: the smallest kernel page.
const UNIT: usize = 4096;
/// A block that grows by no more than this fraction of it will go on to, and gets as much again if it has to move.
const GROWTH_FRACTION: usize = 8;
/// Blocks of fewer pages are not worth room to grow.
const ROOMY_MIN: usize = MOVE_MIN / PAGE;

/// Pages that a large block for `pages` pages may keep beyond them, so that one that grows by little at a time moves
/// once for each eighth it gains. They are addresses, not memory, until they are used.
pub(crate) fn room_to_grow(pages: usize) -> usize {
    if pages >= ROOMY_MIN { pages / GROWTH_FRACTION } else { 0 }
}

impl<B: Brk> Spans<B> {
    /// A used span for a block of `held` pages that grows to `pages` and cannot stay where it is: the last of the heap,
    /// or one with free pages behind it. A block that has grown once will go on to. Nothing if the top is too short, unless
    /// the block grows by little and is worth a raise.
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

    /// Moves the first `bytes` bytes of one large block to another one. Returns whether nothing but zeros is left behind.
    pub(crate) fn move_content(&mut self, from: Span, to: Span, bytes: usize) -> bool {
        let (source, target) = (from.start(), to.start());
        let mut zero_from = (to.end() - to.zero_end() * PAGE).max(target);
        let fresh = (target + bytes).saturating_sub(zero_from);
        let worth = bytes >= MOVE_ALWAYS || (bytes >= MOVE_MIN && fresh >= bytes / 2);
        if worth && self.brk.page_size() <= PAGE && self.clear(target, zero_from.min(to.end())) {
            let whole = pages_of(bytes) * PAGE;
            // SAFETY: two used spans of at least so many pages; nobody has the content of the new one.
            if unsafe { self.brk.relocate(source, target, whole) }.is_ok() {
                return whole == from.bytes();
            }
            // If a part was moved, it reads as zero where it was: what is not is copied.
            zero_from = target;
        }
        copy(source, target, bytes, zero_from);
        false
    }

    /// Makes the used pages from `start` to `end` read as zero by returning them, if the kernel agrees.
    fn clear(&mut self, start: usize, end: usize) -> bool {
        // SAFETY: they belong to a block that is not handed out yet; our page boundaries are kernel page boundaries here.
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

/// Copies `bytes` bytes, but does not write zeros to where zeros are: from `zero_from` on.
fn copy(source: usize, target: usize, bytes: usize, zero_from: usize) {
    let skips = bytes >= MOVE_MIN && !cfg!(miri);
    let (dirty, mut at) = (if skips { zero_from.saturating_sub(target).min(bytes) } else { bytes }, 0);
    while at < bytes {
        let piece = if at < dirty { dirty - at } else { UNIT.min(bytes - at) };
        let from = core::ptr::with_exposed_provenance::<u8>(source + at);
        // SAFETY: both blocks are used and at least `bytes` long, and one is not the other.
        unsafe {
            if at < dirty || !is_zero(from, piece) {
                core::ptr::with_exposed_provenance_mut::<u8>(target + at).copy_from_nonoverlapping(from, piece);
            }
        }
        at += piece;
    }
}

/// Whether `bytes` bytes are all zero. Some may be padding of whoever wrote them, which no Rust program may look at: the
/// compiler is kept from knowing that these are, and an interpreter from coming here.
///
/// # Safety
///
/// They may be read, `start` is a multiple of 16, and nobody writes to them meanwhile.
unsafe fn is_zero(start: *const u8, bytes: usize) -> bool {
    let words = core::hint::black_box(start).cast::<u64>();
    // SAFETY: the caller's promise.
    let zero = (0..bytes / 8).all(|word| unsafe { words.add(word).read() } == 0);
    // SAFETY: as above.
    zero && (bytes / 8 * 8..bytes).all(|byte| unsafe { start.add(byte).read() } == 0)
}
