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
    #[inline]
    pub(crate) fn new(slab: Slab, number: usize) -> Self {
        debug_assert!(number < slab.capacity());
        Self { slab, number }
    }

    /// The slot that starts at exactly `address`, live or not, if `span` is a slab and one does. `address` is in the span.
    ///
    /// If the span is not a slab its reciprocal is 0, and nothing is below 0. An address in a slab's tail gives a
    /// number past the last slot, whose bit is clear (I7).
    #[inline(always)]
    pub(crate) fn at(span: Span, address: usize) -> Option<Self> {
        let (offset, reciprocal) = (span.offset_to(address) as u64, span.reciprocal());
        let product = offset.wrapping_mul(reciprocal.into());
        let slot = Self { slab: span.as_slab_by_reciprocal(), number: (product >> 32) as usize };
        ((product as u32) < reciprocal).then_some(slot)
    }

    /// [`at`](Self::at), if the slot is live.
    #[cfg_attr(feature = "speed", inline(always))]
    #[cfg_attr(not(feature = "speed"), inline(never))]
    pub(crate) fn live_at(span: Span, address: usize) -> Option<Self> {
        Self::at(span, address).filter(|slot| slot.is_live())
    }

    /// Its number in the slab.
    #[inline]
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
        self.word().get() & self.bit() != 0
    }

    /// [`Slab::fits_closely`].
    #[inline(always)]
    pub(crate) fn fits_closely(self, address: usize, layout: Layout) -> bool {
        self.slab.fits_closely(address, layout)
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
        // Written so that it is one instruction on x86, and not the flip of a bit that was made for a look at it.
        self.word().set(self.word().get() & (!1_u64).rotate_left(self.number as u32 % 64));
        self.slab.count_free()
    }

    /// [`free`](Self::free) if the slot is live, else nothing. For the owner.
    #[inline(always)]
    pub(crate) fn free_if_live(self) -> Option<bool> {
        debug_assert!(self.number < MAX_SLOTS);
        // SAFETY: as for `word`.
        unsafe { self.slab.clear_live(self.number) }.then(|| self.slab.count_free())
    }
}

impl Slab {
    /// Whether `layout` fits a slot at `address` and fills more than half of it, or slots are of the smallest class.
    #[inline(always)]
    pub(crate) fn fits_closely(self, address: usize, layout: Layout) -> bool {
        self.holds_closely(layout.size()) && is_aligned(address, layout.align())
    }

    /// Whether a request of `size` bytes fits a slot and fills more than half of it, or slots are of the smallest class.
    #[inline(always)]
    pub(crate) fn holds_closely(self, size: usize) -> bool {
        // In all bits: a size of 4 GiB and more is no slot's.
        self.slot_size().wrapping_sub(size) <= self.slack_max()
    }
}

/// Whether a slot at `address` has this alignment, a power of two.
#[inline(always)]
pub(crate) fn is_aligned(address: usize, align: usize) -> bool {
    align <= MIN_ALIGN || address & (align - 1) == 0
}

/// A slot of another thread's slab, live or not, as it was found. The slab may be retired and cut anew at any time: that is looked
/// up [again](Self::is_live).
#[derive(Clone, Copy)]
pub(crate) struct OthersSlot {
    slab: Slab,
    pub(crate) start: usize,
    reciprocal: u32,
    pub(crate) number: usize,
}

impl OthersSlot {
    /// The slot that starts at exactly `address`, if one does.
    #[inline(always)]
    pub(crate) fn at(slab: Slab, address: usize) -> Option<Self> {
        let (start, reciprocal) = (slab.start(), slab.span().reciprocal());
        let product = (address.wrapping_sub(start) as u64).wrapping_mul(reciprocal.into());
        let number = (product >> 32) as usize;
        // What was read while the slab was cut anew may give any number.
        (number < MAX_SLOTS && (product as u32) < reciprocal).then_some(Self { slab, start, reciprocal, number })
    }

    /// Whether a caller holds it, and it still is what starts at the address for which it was found.
    #[inline(always)]
    pub(crate) fn is_live(self) -> bool {
        let span = self.slab.span();
        let is_same = span.start() == self.start && span.reciprocal() == self.reciprocal;
        is_same && Slot { slab: self.slab, number: self.number }.is_live()
    }
}

const _: () = assert!(PAGE / 16 <= MAX_SLOTS, "a slab of one page fits its bitmap in every class");
