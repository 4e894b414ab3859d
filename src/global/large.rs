//! Large blocks in the common case: a short turn in the central part, for which no tier is used and after which nothing is
//! left to do.
//!
//! What a longer turn prepares, and asks for at its end, is a third of the instructions of a large block that comes and goes:
//! a [`Work`], whether there are readers, whether the tier has found a block freed twice, whether a block was sampled, whether
//! threads should rest. None of that arises where a span is only taken from a free one, or freed with nothing to return. Whether a
//! short turn becomes a longer one is decided in its middle, and the lock is not left in between.

use super::Hmalloc;
use super::turn::{ByHandle, Mine, SizeAlign};
use crate::central::spans::{OutOfMemory, Spans};
use crate::door::validate::is_large_at;
use crate::global::lock::{Lock, Turn};
use crate::ground::company::if_checked;
use crate::ground::header::{PAGE, Span, pages_of};
use crate::kernel::brk::Brk;
use crate::kernel::parts::{RETURNS, SPEED};
use crate::threads::World;
use crate::work::{Work, payload_of};
use core::alloc::Layout;
use core::ptr::NonNull;

/// A short turn.
struct Short<'a, B> {
    /// The caller's in its own tier, which ends with this one.
    mine: Mine<'a>,
    spans: &'a mut Spans<B>,
    world: Option<&'a World>,
}

impl<B: Brk> Short<'_, B> {
    /// Frees the large block at `address`, if one starts there that `layout` mostly fills, or that may be of any layout.
    /// Returns the free span that contains its pages.
    #[inline(always)]
    fn free(&mut self, address: usize, layout: Option<Layout>) -> Option<Span> {
        let page = self.spans.map.page_of(address)?;
        // SAFETY: `page_of` says that it is a page of the heap.
        let span = unsafe { self.spans.map.owner_at(page) }.filter(|&span| is_large_at(span, address))?;
        // A handler may have put off to free this very block: it is not live any more then.
        let is_common = if_checked(self.spans.watch).is_none() && !has_put_off(self.world);
        // Of more than half of the block, and of no more than all of it.
        let fills = |bytes: usize, size: usize| bytes.wrapping_sub(size) < bytes / 2;
        let fits = |layout: Layout| fills(span.bytes(), layout.size()) && address & (layout.align() - 1) == 0;
        if !is_common || !layout.is_none_or(fits) {
            return None;
        }
        Some(self.spans.free_common(span, page).unwrap_or_else(|| self.spans.free_span_slow(span)))
    }

    /// A used span for a request, from free ones. Not one that may have to be sampled.
    #[inline(always)]
    fn take(&mut self, layout: Layout) -> Option<Span> {
        if layout.align() > PAGE || self.spans.profiling.is_some() {
            return None;
        }
        let pages = pages_of(layout.size());
        self.spans.take_common(pages).or_else(|| self.spans.take_free_slow(pages, 1))
    }
}

/// Whether handlers have put anything off.
#[inline(always)]
fn has_put_off(world: Option<&World>) -> bool {
    world.is_some_and(|world| world.handlers.has_put_off())
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// Begins a short turn in the central part, for a caller that has one in its own tier. `None` if the lock is not free: then
    /// the caller's turn has ended.
    #[inline(always)]
    fn begin_short<'a>(&'a self, mine: Mine<'a>) -> Option<Short<'a, B>> {
        if !L::ALONE && !self.lock.try_lock() {
            mine.leave();
            return None;
        }
        // SAFETY: it is the caller's turn, and references into the cell never outlive a turn.
        let spans = unsafe { &mut (*self.heap.get()).spans };
        Some(Short { mine, spans, world: self.lock.world() })
    }

    /// Ends a short turn, and the caller's in its own tier. The spans may be another thread's by the end of this, so they are not
    /// passed.
    #[inline(always)]
    fn end_short(&self, mine: Mine<'_>, world: Option<&World>) {
        if L::ALONE {
            return;
        }
        mine.leave();
        super::end(&self.lock, Turn::Taken);
        if has_put_off(world) {
            self.free_put_off();
        }
    }

    /// Frees the block at `address`, if it is live and of that layout, where one is given, in the central part. Ends the
    /// caller's turn in its tier. False if that is not so, or cannot be done at once: the longer way finds out.
    #[inline(always)]
    pub(super) fn free_short(&self, mine: Mine<'_>, by: ByHandle<'_>, address: usize, layout: Option<Layout>) -> bool {
        if !SPEED {
            return self.in_center_from(mine, by, free_in_center(address, layout)) == Some(true);
        }
        let Some(mut short) = self.begin_short(mine) else { return false };
        match short.free(address, layout) {
            Some(_) if RETURNS && !short.spans.is_return_due() => {
                self.end_short(short.mine, short.world);
                true
            }
            Some(free) => self.return_from_short(short.mine, by, free),
            None => self.free_from_short(short.mine, by, address, layout),
        }
    }

    /// Returns what is due after a span was freed in a short turn, and ends it.
    #[cold]
    #[inline(never)]
    fn return_from_short(&self, mine: Mine<'_>, by: ByHandle<'_>, free: Span) -> bool {
        self.in_center_on(mine, by, |work| work.return_due_slow(free.start())).is_some()
    }

    #[inline(never)]
    fn free_from_short(&self, mine: Mine<'_>, by: ByHandle<'_>, address: usize, layout: Option<Layout>) -> bool {
        self.in_center_on(mine, by, free_in_center(address, layout)) == Some(true)
    }

    /// Allocates a block that no class serves. Ends the caller's turn in its tier.
    #[inline(never)]
    pub(super) fn allocate_large(
        shape: SizeAlign,
        mine: Mine<'_>,
        by: ByHandle<'_>,
        this: &Self,
    ) -> Result<NonNull<u8>, OutOfMemory> {
        let layout = shape.layout();
        if !SPEED {
            return this.allocated_large(by, layout, this.in_center_from(mine, by, |work| work.allocate_large(layout)));
        }
        let Some(mut short) = this.begin_short(mine) else { return this.allocate_centrally(by, layout, false) };
        let Some(span) = short.take(layout) else { return this.allocate_from_short(short.mine, by, layout) };
        this.end_short(short.mine, short.world);
        Ok(payload_of(span))
    }

    #[inline(never)]
    fn allocate_from_short(
        &self,
        mine: Mine<'_>,
        by: ByHandle<'_>,
        layout: Layout,
    ) -> Result<NonNull<u8>, OutOfMemory> {
        self.allocated_large(by, layout, self.in_center_on(mine, by, |work| work.allocate_large(layout)))
    }

    /// The payload of what was allocated in the central part; what cannot be had at once takes the longer way.
    #[inline(always)]
    fn allocated_large(
        &self,
        by: ByHandle<'_>,
        layout: Layout,
        allocated: Option<Result<Span, OutOfMemory>>,
    ) -> Result<NonNull<u8>, OutOfMemory> {
        match allocated {
            Some(Ok(span)) => Ok(payload_of(span)),
            refused => self.allocate_centrally(by, layout, refused.is_some()),
        }
    }
}

/// Frees the block at `address`, if it is live and of that layout, where one is given.
#[inline(always)]
fn free_in_center<B: Brk>(address: usize, layout: Option<Layout>) -> impl FnOnce(&mut Work<'_, B>) -> bool {
    move |work| match layout {
        Some(layout) => work.free_fitting(address, layout).is_ok(),
        None => work.free_live_at(address),
    }
}
