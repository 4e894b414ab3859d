//! Resizing a block: in place if its slot or span allows, else by moving it. A large block moves in two halves, with the
//! copy between them.
//!
//! ```text
//! begin_resize                Move::copy                   finish_resize
//! take the new block          copy the content, without    free the old block
//! end the old one's life      heap or lock
//! ```
//!
//! Other threads may use the heap between the halves. If one frees the old block, that is a misuse, as it is later: the
//! block is no longer live. Its memory is kept until it has been copied.

mod error;

use crate::central::relocate::{Content, room_to_grow};
use crate::central::spans::OutOfMemory;
use crate::door::validate::{Live, admit, admit_slot};
use crate::ground::contents::Move;
use crate::ground::header::{PAGE, Span, pages_of};
use crate::ground::size_class::{SMALL_MAX, SizeClass};
use crate::heap::{Heap, payload_of};
use crate::kernel::brk::Brk;
use core::alloc::Layout;
use core::ptr::NonNull;
pub use error::ResizeError;

/// The result of the first half of a resize.
pub(crate) enum Begun {
    /// The resize is complete, and this is the block.
    Done(NonNull<u8>),
    /// The large block that is this span moves: the new one exists, and the content has to be copied to it.
    Moving(Move, Span),
}

impl<B: Brk> Heap<B> {
    /// Resizes the block at `payload` to `new`, in place if possible, and returns its address then. The content is kept
    /// up to the smaller of the two sizes.
    ///
    /// # Errors
    ///
    /// [`ResizeError::Misuse`] if no live block starts at `payload`, [`ResizeError::OutOfMemory`] if there was no
    /// memory for the new size. The block is unchanged then.
    ///
    /// # Safety
    ///
    /// As for [`free`](Self::free), unless the result is the same address: then the block's bytes up to the new size
    /// may still be used.
    pub unsafe fn resize(&mut self, payload: *mut u8, new: Layout) -> Result<NonNull<u8>, ResizeError> {
        let begun = self.begin_resize(payload.addr(), new)?;
        // SAFETY: the caller's promise.
        Ok(unsafe { self.complete(begun) })
    }

    /// Like [`resize`](Self::resize) for a caller that knows the block's old layout, which is checked as by
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
        match self.begin_resize_fitting(payload.addr(), old, new) {
            // SAFETY: the caller's promise.
            Ok(begun) => Ok(unsafe { self.complete(begun?) }),
            Err(unfit) => Err(self.explain_unfit(payload.addr(), unfit).into()),
        }
    }

    /// The second half, with the copy before it.
    ///
    /// # Safety
    ///
    /// As for [`Move::copy`].
    unsafe fn complete(&mut self, begun: Begun) -> NonNull<u8> {
        match begun {
            Begun::Done(payload) => payload,
            Begun::Moving(moving, old) => {
                // SAFETY: the caller's promise.
                unsafe { moving.copy() };
                self.finish_resize(old);
                moving.to
            }
        }
    }

    /// The first half of a [`resize`](Self::resize): all of it, or if the block has to move, all before the copy.
    pub(crate) fn begin_resize(&mut self, address: usize, new: Layout) -> Result<Begun, ResizeError> {
        let live = admit(&self.spans.map, address);
        let live = live.ok_or_else(|| self.explain(address))?;
        Ok(self.resize_live(live, address, new)?)
    }

    /// The first half, if `old` can be the layout of the live block at `address`; else returns the live block there, if
    /// there is one.
    pub(crate) fn begin_resize_fitting(
        &mut self,
        address: usize,
        old: Layout,
        new: Layout,
    ) -> Result<Result<Begun, OutOfMemory>, Option<Live>> {
        let live = self.admit_fitting(address, old)?;
        Ok(self.resize_live(live, address, new))
    }

    /// The second half: frees the old block, once its content is in the new one.
    pub(crate) fn finish_resize(&mut self, old: Span) {
        let free = self.spans.end_move(old);
        self.return_due(free);
    }

    /// Whether `payload` is a live slot of which both layouts fill more than half, as when a vector grows by little.
    /// Then nothing has to be done.
    #[inline(always)]
    pub(crate) fn resize_common(&self, payload: *mut u8, old: Layout, new: Layout) -> bool {
        let slot = admit_slot(&self.spans.map, payload.addr());
        slot.is_some_and(|slot| slot.fits_closely(payload.addr(), old) && slot.fits_closely(payload.addr(), new))
    }

    fn resize_live(&mut self, live: Live, address: usize, new: Layout) -> Result<Begun, OutOfMemory> {
        let same = NonNull::new(core::ptr::with_exposed_provenance_mut::<u8>(address)).ok_or(OutOfMemory)?;
        let aligned = address.is_multiple_of(new.align());
        if aligned && self.resize_in_place(live, new) {
            return Ok(Begun::Done(same));
        }
        let old_bytes = live.bytes();
        let begun = match live {
            Live::Large(span) if becomes_large(new) => self.move_large(span, same, new),
            Live::Large(span) => self.move_to_slot(span, same, new),
            Live::Slot(_) => self.move_slot(live, same, new),
        };
        if begun.is_err() && aligned && new.size() <= old_bytes {
            self.slack_kept = true;
            return Ok(Begun::Done(same));
        }
        begun
    }

    /// Moves a slot, with its content of at most 56 KiB: it cannot be copied after the turn, since a slot that is no longer
    /// live may be handed out again.
    fn move_slot(&mut self, live: Live, from: NonNull<u8>, new: Layout) -> Result<Begun, OutOfMemory> {
        let old_bytes = live.bytes();
        // A block that grows from a small size may not grow again, so it gets a slot if there is one.
        let to = if SizeClass::of(new).is_none() || (becomes_large(new) && old_bytes >= PAGE / 2) {
            payload_of(self.take_to_move(old_bytes, new)?)
        } else {
            self.allocate(with_room_to_grow(old_bytes, new)).or_else(|_| self.allocate(new))?
        };
        // SAFETY: the old block is live and the new one is not it; each is at least as long as what is copied.
        unsafe { to.copy_from_nonoverlapping(from, old_bytes.min(new.size())) };
        self.free_live(live);
        Ok(Begun::Done(to))
    }

    /// Takes a span to which a block of `old` bytes moves.
    fn take_to_move(&mut self, old: usize, new: Layout) -> Result<Span, OutOfMemory> {
        let (held, pages) = (pages_of(old), pages_of(new.size()));
        let roomy = if pages > held && new.align() <= PAGE { self.spans.take_to_grow(held, pages) } else { None };
        roomy.map_or_else(|| self.take_large(new), Ok)
    }

    /// Takes the block to which a large block moves that stays large. If the kernel moves the content, frees the old
    /// one.
    fn move_large(&mut self, span: Span, from: NonNull<u8>, new: Layout) -> Result<Begun, OutOfMemory> {
        let moved = self.take_to_move(span.bytes(), new)?;
        let (to, bytes) = (payload_of(moved), span.bytes().min(new.size()));
        let free = match self.spans.move_content(span, moved, bytes) {
            Content::ToCopy { zero_from } => {
                self.spans.begin_move(span);
                return Ok(Begun::Moving(Move { from, to, bytes, zero_from }, span));
            }
            Content::Moved { left_zero: true } => self.spans.free_untouched(span),
            Content::Moved { left_zero: false } => self.spans.free_span(span),
        };
        self.return_due(free);
        Ok(Begun::Done(to))
    }

    /// Takes the slot to which a large block moves that becomes small.
    fn move_to_slot(&mut self, span: Span, from: NonNull<u8>, new: Layout) -> Result<Begun, OutOfMemory> {
        let (to, bytes) = (self.allocate(new)?, span.bytes().min(new.size()));
        self.spans.begin_move(span);
        Ok(Begun::Moving(Move { from, to, bytes, zero_from: usize::MAX }, span))
    }

    /// Resizes in place: a slot if the request fills more than half of it, a large block if the request stays large and
    /// the pages after it are available. Pages that are not needed are freed, except for room to grow.
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
            self.return_due(free);
        }
        pages <= held || self.spans.lengthen(span, pages) || self.spans.raise_behind(span, pages)
    }
}

/// Whether a block that is resized to `new` becomes, or stays, a large one. Beyond a page it does although there are
/// slots of this size: it is expected to be resized again, and a span can be resized in place. It fills more than half
/// of its pages, as it would of a slot.
fn becomes_large(new: Layout) -> bool {
    new.size() > PAGE || SizeClass::of(new).is_none()
}

/// What to allocate for a block of `old` bytes that has to move to become `new`. A block that grows by little is
/// expected to grow again: it gets the next power of two, of which `new` fills more than half, so that it is copied
/// once per doubling and not once per size class.
fn with_room_to_grow(old: usize, new: Layout) -> Layout {
    let by_little = new.size() > old && new.size() - old <= old / 8 && new.size() <= SMALL_MAX;
    let roomy = Layout::from_size_align(new.size().next_power_of_two(), new.align());
    roomy.ok().filter(|_| by_little).unwrap_or(new)
}
