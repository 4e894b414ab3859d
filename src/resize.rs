//! Resizing a block: in place if its slot or span allows, else by moving it.

use crate::central::raise::Where;
use crate::central::relocate::room_to_grow;
use crate::central::spans::OutOfMemory;
use crate::door::misuse::Misuse;
use crate::door::validate::{Live, admit, admit_slot};
use crate::ground::header::{PAGE, Span, pages_of};
use crate::ground::size_class::{SMALL_MAX, SizeClass};
use crate::heap::{Heap, payload_of};
use crate::kernel::brk::Brk;
use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;

/// Why a block could not be resized. The block is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResizeError {
    /// The pointer is not a live block's.
    Misuse(Misuse),
    /// There was no memory for the new size.
    OutOfMemory,
}

impl fmt::Display for ResizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misuse(misuse) => misuse.fmt(f),
            Self::OutOfMemory => OutOfMemory.fmt(f),
        }
    }
}

impl core::error::Error for ResizeError {}

impl From<OutOfMemory> for ResizeError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl From<Misuse> for ResizeError {
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse)
    }
}

impl<B: Brk> Heap<B> {
    /// Makes the block at `payload` one for `new`, in place if it can be, and returns where it is then. The content is
    /// kept up to the smaller of the two sizes.
    ///
    /// # Errors
    ///
    /// [`ResizeError::Misuse`] if no live block starts at `payload`, [`ResizeError::OutOfMemory`] if there was no memory
    /// for the new size. The block is as it was then.
    ///
    /// # Safety
    ///
    /// As for [`free`](Self::free), unless the result is the same address: then the block's bytes up to the new size
    /// may still be used.
    pub unsafe fn resize(&mut self, payload: *mut u8, new: Layout) -> Result<NonNull<u8>, ResizeError> {
        let live = admit(&self.spans.map, payload.addr());
        let live = live.ok_or_else(|| self.explain(payload.addr()))?;
        self.resize_live(live, payload.addr(), new).map_err(ResizeError::from)
    }

    /// Like [`resize`](Self::resize) for a caller who knows what was asked for before, which is checked as by
    /// [`free_sized`](Self::free_sized).
    ///
    /// # Errors
    ///
    /// As for [`resize`](Self::resize).
    ///
    /// # Safety
    ///
    /// As for [`resize`](Self::resize).
    pub unsafe fn resize_sized(
        &mut self,
        payload: *mut u8,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<u8>, ResizeError> {
        match self.resize_fitting(payload.addr(), old, new) {
            Ok(resized) => resized.map_err(ResizeError::from),
            Err(unfit) => Err(self.explain_unfit(payload.addr(), unfit).into()),
        }
    }

    /// Resizes the live block at `address` if it can be one of `old`; else says which block is live there, if one is.
    pub(crate) fn resize_fitting(
        &mut self,
        address: usize,
        old: Layout,
        new: Layout,
    ) -> Result<Result<NonNull<u8>, OutOfMemory>, Option<Live>> {
        let live = self.admit_fitting(address, old)?;
        Ok(self.resize_live(live, address, new))
    }

    /// Whether `payload` is a live slot of which both layouts fill more than half, as when a vector grows by little. Then
    /// the block is one for `new` as it stands.
    #[inline(always)]
    pub(crate) fn resize_common(&self, payload: *mut u8, old: Layout, new: Layout) -> bool {
        let slot = admit_slot(&self.spans.map, payload.addr());
        slot.is_some_and(|slot| slot.fits_closely(payload.addr(), old) && slot.fits_closely(payload.addr(), new))
    }

    fn resize_live(&mut self, live: Live, address: usize, new: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        let same = NonNull::new(core::ptr::with_exposed_provenance_mut::<u8>(address)).ok_or(OutOfMemory)?;
        let aligned = address.is_multiple_of(new.align());
        if aligned && self.resize_in_place(live, new) {
            return Ok(same);
        }
        let old_bytes = live.bytes();
        let moved = match live {
            Live::Large(span) if becomes_large(new) => self.move_large(span, new),
            _ => self.move_copied(live, same, new),
        };
        if moved.is_err() && aligned && new.size() <= old_bytes {
            self.slack_kept = true;
            return Ok(same);
        }
        moved
    }

    fn move_copied(&mut self, live: Live, from: NonNull<u8>, new: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        let old_bytes = live.bytes();
        // What grows from next to nothing may have had its last size now.
        let moved = if SizeClass::of(new).is_none() || (becomes_large(new) && old_bytes >= PAGE / 2) {
            payload_of(self.take_to_move(old_bytes, new)?)
        } else {
            self.allocate(with_room_to_grow(old_bytes, new)).or_else(|_| self.allocate(new))?
        };
        // SAFETY: the old block is live and the new one is not it; each is at least as long as what is copied.
        unsafe { moved.copy_from_nonoverlapping(from, old_bytes.min(new.size())) };
        self.free_live(live);
        Ok(moved)
    }

    /// A span to which a block of `old` bytes moves.
    fn take_to_move(&mut self, old: usize, new: Layout) -> Result<Span, OutOfMemory> {
        let (held, pages) = (pages_of(old), pages_of(new.size()));
        let roomy = if pages > held && new.align() <= PAGE { self.spans.take_to_grow(held, pages) } else { None };
        roomy.map_or_else(|| self.take_large(new), Ok)
    }

    /// Moves a large block that stays one.
    fn move_large(&mut self, span: Span, new: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        let moved = self.take_to_move(span.bytes(), new)?;
        let zeros_left = self.spans.move_content(span, moved, span.bytes().min(new.size()));
        let free = if zeros_left { self.spans.release_untouched(span) } else { self.spans.release(span) };
        self.settle(free);
        Ok(payload_of(moved))
    }

    /// A slot is kept while the request fills more than half of it; a large block while the request stays large and the
    /// pages behind it can be had. What it is too long for is freed, but for room to grow.
    fn resize_in_place(&mut self, live: Live, new: Layout) -> bool {
        let class = SizeClass::of(new);
        match live {
            Live::Slot(slot) => {
                let bytes = live.bytes();
                new.size() <= bytes && (new.size() > bytes / 2 || class == Some(slot.slab.size_class()))
            }
            Live::Large(span) => becomes_large(new) && self.resize_span(span, pages_of(new.size())),
        }
    }

    fn resize_span(&mut self, span: Span, pages: usize) -> bool {
        let held = span.page_count();
        if pages + room_to_grow(pages) < held {
            let free = self.spans.shorten(span, pages);
            self.settle(free);
        }
        pages <= held || self.spans.lengthen(span, pages) || self.raise_behind(span, pages)
    }

    /// Grows a span that is last, but for the top, by raising the break.
    fn raise_behind(&mut self, span: Span, pages: usize) -> bool {
        let last = self.spans.last;
        let at_the_end = last == Some(span) || (self.spans.top.is_some() && span.next() == last);
        let more = pages - span.page_count();
        let raised = at_the_end && pages <= u32::MAX as usize && self.spans.raise(more, Where::Behind).is_ok();
        raised && self.spans.lengthen(span, pages)
    }
}

/// Whether a block that is resized to `new` becomes, or stays, a large one. Beyond a page it does although there are slots:
/// it will be resized again, and a span can be in place. It fills more than half of its pages, as it would of a slot.
fn becomes_large(new: Layout) -> bool {
    new.size() > PAGE || SizeClass::of(new).is_none()
}

/// What to allocate for a block of `old` bytes that has to move for `new`. One that grows by little at a time will go on
/// to: it gets the next power of two, of which `new` fills more than half, so that it is copied once per doubling and not
/// once per size class.
fn with_room_to_grow(old: usize, new: Layout) -> Layout {
    let by_little = new.size() > old && new.size() - old <= old / 8 && new.size() <= SMALL_MAX;
    let roomy = Layout::from_size_align(new.size().next_power_of_two(), new.align());
    roomy.ok().filter(|_| by_little).unwrap_or(new)
}
