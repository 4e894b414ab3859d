//! One slot: from an address to the slot's number, and from there to its bit.

use crate::ground::header::{MAX_SLOTS, PAGE, Slab, Span};
use crate::ground::shared::SharedBits;
use crate::ground::size_class::MIN_ALIGN;
use core::alloc::Layout;

/// A slot of a slab, whether it is free or not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) slab: Slab,
    number: usize,
}

impl Slot {
    pub(crate) fn new(slab: Slab, number: usize) -> Self {
        debug_assert!(number < slab.capacity());
        Self { slab, number }
    }

    /// The live slot that starts at exactly `address`, if `span` is a slab and one does. `address` is in the span.
    ///
    /// If the span is not a slab its reciprocal is 0, and nothing is below 0. An address in a slab's tail gives a
    /// number past the last slot, whose bit is clear (I7).
    #[inline(always)]
    pub(crate) fn live_at(span: Span, address: usize) -> Option<Self> {
        let (offset, reciprocal) = (address.wrapping_sub(span.start()) as u64, span.reciprocal());
        let product = offset.wrapping_mul(reciprocal.into());
        let slot = Self { slab: span.as_slab_by_reciprocal(), number: (product >> 32) as usize };
        ((product as u32) < reciprocal && slot.is_live()).then_some(slot)
    }

    /// Its number in the slab.
    pub(crate) fn number(self) -> usize {
        self.number
    }

    /// The slot that starts at exactly `address`, live or not.
    pub(crate) fn starting_at(slab: Slab, address: usize) -> Option<Self> {
        let (offset, size) = (address - slab.start(), slab.size_class().slot_size());
        (offset.is_multiple_of(size) && offset / size < slab.capacity()).then(|| Self::new(slab, offset / size))
    }

    /// The word of the bitmap that contains the slot's bit.
    #[inline(always)]
    fn word<'a>(self) -> &'a SharedBits {
        debug_assert!(self.number < MAX_SLOTS);
        // SAFETY: I6: the bitmap has room for as many slots as the slab has bytes for, and the slot starts in the slab.
        unsafe { self.slab.word(self.number / 64) }
    }

    #[inline(always)]
    fn bit(self) -> u64 {
        1 << (self.number % 64)
    }

    /// Whether a caller holds the slot.
    #[inline(always)]
    pub(crate) fn is_live(self) -> bool {
        // Flipping the bit makes the word smaller if it was set. A free makes the same flip, so it costs nothing more
        // there.
        {
            let word = self.word().get();
            word ^ self.bit() < word
        }
    }

    /// Whether `layout` fits the slot at `address` and fills more than half of it, or the slot is of the smallest
    /// class.
    #[inline(always)]
    pub(crate) fn fits_closely(self, address: usize, layout: Layout) -> bool {
        let slack = (self.slab.slot_size()).wrapping_sub(layout.size());
        slack <= self.slab.slack_max() && (layout.align() <= MIN_ALIGN || address & (layout.align() - 1) == 0)
    }

    /// Whether the slot has been opened: before that no caller can have held it.
    pub(crate) fn is_opened(self) -> bool {
        self.number < self.slab.opened()
    }

    /// Address of the slot's first byte.
    pub(crate) fn address(self) -> usize {
        self.slab.start() + self.number * self.slab.size_class().slot_size()
    }

    /// Frees a live slot by flipping its bit. True if the slab's place in its class must be
    /// [reviewed](crate::tier::Tier::review).
    #[inline(always)]
    pub(crate) fn free(self) -> bool {
        debug_assert!(self.is_live());
        self.word().set(self.word().get() ^ self.bit());
        self.slab.count_free()
    }
}

const _: () = assert!(PAGE / 16 <= MAX_SLOTS, "a slab of one page fits its bitmap in every class");
