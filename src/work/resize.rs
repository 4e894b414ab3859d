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

use super::{Work, payload_of};
use crate::central::relocate::{Content, room_to_grow};
use crate::central::spans::OutOfMemory;
use crate::door::validate::Live;
use crate::ground::company::{SAMPLES, if_checked};
use crate::ground::contents::Move;
use crate::ground::header::{PAGE, Span, pages_of};
use crate::ground::size_class::SizeClass;
use crate::kernel::brk::Brk;
use crate::kernel::parts::SPEED;
use crate::resize::ResizeError;
use crate::tier::resize::{becomes_large, stays, with_room_to_grow};
use core::alloc::Layout;
use core::ptr::NonNull;

/// The result of the first half of a resize.
pub(crate) enum Begun {
    /// The resize is complete, and this is the block.
    Done(NonNull<u8>),
    /// The large block that is this span moves: the new one exists, and the content has to be copied to it.
    Moving(Move, Span),
}

impl<B: Brk> Work<'_, B> {
    /// The first half of a [`resize`](crate::Heap::resize): all of it, or if the block has to move, all before the copy.
    pub(crate) fn begin_resize(&mut self, address: usize, new: Layout) -> Result<Begun, ResizeError> {
        let live = self.admit(address);
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
        if let Some(watch) = if_checked(self.spans.watch) {
            self.free_guard(watch.0.records(), old);
        }
        let free = self.spans.end_move(old);
        self.return_due(free);
    }

    fn resize_live(&mut self, live: Live, address: usize, new: Layout) -> Result<Begun, OutOfMemory> {
        let live = match live {
            Live::Sampled(span) if !SAMPLES || span.is_sampled_whole() => {
                // A large one: it is freed and allocated anew, for the profile.
                if SAMPLES {
                    self.spans.unmake_sampled(span);
                }
                Live::Large(span)
            }
            Live::Sampled(span) => return self.resize_sampled(span, new).map(Begun::Done),
            live => live,
        };
        let same = NonNull::new(core::ptr::with_exposed_provenance_mut::<u8>(address)).ok_or(OutOfMemory)?;
        let aligned = address.is_multiple_of(new.align());
        if aligned && self.resize_in_place(live, new) {
            return Ok(Begun::Done(same));
        }
        let old_bytes = live.bytes();
        let begun = match live {
            _ if !SPEED => self.move_slot(live, same, new),
            Live::Large(span) if becomes_large(new) => self.move_large(span, same, new),
            Live::Large(span) | Live::Sampled(span) => self.move_to_slot(span, same, new),
            Live::Slot(_) => self.move_slot(live, same, new),
        };
        if begun.is_err() && aligned && new.size() <= old_bytes {
            *self.slack_kept = true;
            return Ok(Begun::Done(same));
        }
        begun
    }

    /// Moves a slot, with its content of at most 56 KiB: it cannot be copied after the turn, since a slot that is no longer
    /// live may be handed out again.
    fn move_slot(&mut self, live: Live, from: NonNull<u8>, new: Layout) -> Result<Begun, OutOfMemory> {
        let old_bytes = live.bytes();
        // A block that grows from a small size may not grow again, so it gets a slot if there is one.
        let to = if !SPEED {
            self.allocate(new)?
        } else if SizeClass::of(new).is_none() || (becomes_large(new) && old_bytes >= PAGE / 2) {
            let moved = self.take_to_move(old_bytes, new)?;
            self.count_large(moved, new.size());
            payload_of(moved)
        } else {
            self.allocate(with_room_to_grow(old_bytes, new)).or_else(|_| self.allocate(new))?
        };
        // SAFETY: the old block is live and the new one is not it; each is at least as long as what is copied.
        unsafe { to.copy_from_nonoverlapping(from, old_bytes.min(new.size())) };
        if !self.free_live(live) {
            // Another thread has freed it meanwhile: one of the two is wrong, and this one is told of it.
            self.tier.company().iter().for_each(|others| others.twice.note_block(from.addr().get()));
        }
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
        let content = self.spans.move_content(span, moved, bytes);
        self.count_large(moved, new.size());
        let free = match content {
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
        match live {
            Live::Slot(slot) => stays(slot, new),
            Live::Large(span) | Live::Sampled(span) if SPEED => {
                becomes_large(new) && self.resize_span(span, new.size())
            }
            // Whoever frees it may name such a size.
            Live::Large(_) | Live::Sampled(_) => {
                let bytes = live.bytes();
                becomes_large(new) && new.size() <= bytes && new.size() > bytes / 2
            }
        }
    }

    fn resize_span(&mut self, span: Span, size: usize) -> bool {
        let (held, pages) = (span.page_count(), pages_of(size));
        if pages + room_to_grow(pages) < held {
            let free = self.spans.shorten(span, pages);
            self.return_due(free);
        }
        let stays = pages <= held || self.spans.lengthen(span, pages) || self.spans.raise_behind(span, pages);
        if stays {
            self.count_large(span, size);
        }
        stays
    }
}
