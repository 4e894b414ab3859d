//! A slab as its owner sees it: which slots are live, and its place in its class.

use super::page::PAGE;
use super::record::{BITMAP_WORDS, Header, Kind, MAX_SLOTS, Owner, Pages, Place, Slab, Span, Standing};
use crate::ground::list::{Linked, Links};
use crate::ground::units::units_of_bytes;
use core::cell::Cell;

/// The constants of a size class that its slabs' headers hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bytes in a slot.
    pub(crate) slot_size: u16,
    /// How much larger than its request a slot may be for a layout to be accepted without a further check.
    pub(crate) slack_max: u16,
    /// `2^32 / slot_size`, rounded up.
    pub(crate) reciprocal: u32,
}

impl Span {
    /// The slab that this span is, if it is one.
    pub(crate) fn as_slab(self) -> Option<Slab> {
        self.is(Kind::Slab).then_some(Slab(self))
    }

    /// The slab that this span is. The caller tests its [reciprocal](Self::reciprocal) to know that it is one.
    #[inline(always)]
    pub(crate) fn as_slab_by_reciprocal(self) -> Slab {
        Slab(self)
    }

    /// Cuts a large span into slots that are all free and unopened. The slab inherits which pages at its end are known
    /// to read as zero.
    pub(crate) fn cut_into_slots(self, shape: Shape) -> Slab {
        debug_assert!(self.is(Kind::Large) && self.reciprocal() == 0);
        let (zero_end, bytes) = (self.zero_end() * PAGE, self.bytes());
        let zero_units = if zero_end == 0 { 0 } else { units_of_bytes(bytes - zero_end, bytes) };
        let owner = Owner {
            until_review: Cell::new(u16::MAX),
            standing: Cell::new(Standing(0).with_place(Place::Current)),
            zero_units: Cell::new(zero_units),
            live: [const { Cell::new(0) }; BITMAP_WORDS],
            links: Links::none(),
        };
        // SAFETY: I2: the record is there, and no reference into its body is kept; the fields that it had as another
        // kind of span are not used any more.
        unsafe { (&raw mut (*self.0.as_ptr()).body).cast::<Owner>().write(owner) };
        let Header { shared, central, .. } = self.record();
        central.capacity.set((bytes / shape.slot_size as usize).min(MAX_SLOTS) as u16);
        central.kind.set(Kind::Slab);
        shared.slot_size.set(shape.slot_size);
        shared.slack_max.set(shape.slack_max);
        // Last: from now on its addresses are accepted as slots.
        shared.reciprocal.set(shape.reciprocal);
        Slab(self)
    }
}

impl Slab {
    /// Turns a slab in which nothing is live, and which is neither current nor listed, into a large span again.
    pub(crate) fn retire(self) -> Span {
        debug_assert!(self.0.is(Kind::Slab) && self.live_slots() == 0);
        let Header { shared, central, .. } = self.0.record();
        shared.reciprocal.set(0);
        central.kind.set(Kind::Large);
        // SAFETY: as in `cut_into_slots`.
        unsafe { Pages::at(self.0.0.as_ptr()).write(Pages::new(0)) };
        self.0
    }

    pub(super) fn owner<'a>(self) -> &'a Owner {
        let record: &'a Header = self.0.record();
        // SAFETY: any bits are values of these fields, and all were written when the span was made or cut.
        unsafe { &record.body.slab }
    }

    /// The span that is the slab.
    #[inline(always)]
    pub(crate) fn span(self) -> Span {
        self.0
    }

    /// Address of the first slot.
    #[inline(always)]
    pub(crate) fn start(self) -> usize {
        self.0.start()
    }

    /// Bytes in a slot.
    #[inline(always)]
    pub(crate) fn slot_size(self) -> usize {
        self.0.record().shared.slot_size.get().into()
    }

    /// How much larger than its request a slot may be for a layout to be accepted without a further check.
    #[inline(always)]
    pub(crate) fn slack_max(self) -> usize {
        self.0.record().shared.slack_max.get().into()
    }

    /// How many slots there are.
    pub(crate) fn capacity(self) -> usize {
        self.0.record().central.capacity.get().into()
    }

    /// A word of the bitmap.
    ///
    /// # Safety
    ///
    /// `index` is below [`BITMAP_WORDS`].
    #[inline(always)]
    pub(crate) unsafe fn word<'a>(self, index: usize) -> &'a Cell<u64> {
        // SAFETY: the caller's promise.
        unsafe { self.owner().live.get_unchecked(index) }
    }

    /// The bitmap: 64 slots a word, set while a caller holds one.
    pub(crate) fn live<'a>(self) -> &'a [Cell<u64>; BITMAP_WORDS] {
        &self.owner().live
    }

    /// How many slots callers hold.
    pub(crate) fn live_slots(self) -> usize {
        let words = self.capacity().div_ceil(64);
        self.live()[..words].iter().map(|word| word.get().count_ones() as usize).sum()
    }

    /// How many slots have been opened.
    pub(crate) fn opened(self) -> usize {
        self.owner().standing.get().opened()
    }

    /// Opens slots, so that the first `slots` are open.
    pub(crate) fn open(self, slots: usize) {
        debug_assert!(self.opened() < slots && slots <= self.capacity());
        let standing = &self.owner().standing;
        standing.set(standing.get().with_opened(slots));
    }

    /// Where the slab stands in its class.
    pub(crate) fn place(self) -> Place {
        self.owner().standing.get().place()
    }

    /// Sets the slab's place, and after how many frees that is reviewed.
    pub(crate) fn set_place(self, place: Place, until_review: usize) {
        debug_assert!(place.may_follow(self.place()), "{:?} after {:?}", place, self.place());
        let standing = &self.owner().standing;
        standing.set(standing.get().with_place(place));
        self.set_until_review(until_review);
    }

    /// How many slots must be freed before the slab's place is reviewed.
    #[inline(always)]
    pub(crate) fn until_review(self) -> usize {
        self.owner().until_review.get().into()
    }

    /// Sets after how many frees the slab's place is reviewed.
    pub(crate) fn set_until_review(self, frees: usize) {
        debug_assert!(frees <= u16::MAX as usize);
        self.owner().until_review.set(frees as u16);
    }

    /// Counts a free. True if the slab's place must be reviewed.
    #[inline(always)]
    pub(crate) fn count_free(self) -> bool {
        let left = self.owner().until_review.get() - 1;
        self.owner().until_review.set(left);
        left == 0
    }

    /// Which units are known to read as zero (I14), one bit each.
    #[inline(always)]
    pub(crate) fn zero_units(self) -> u32 {
        self.owner().zero_units.get()
    }

    /// Notes that units read as zero.
    pub(crate) fn add_zero_units(self, units: u32) {
        self.owner().zero_units.set(self.zero_units() | units);
    }

    /// Notes that units which were known to read as zero may be written from now on.
    pub(crate) fn remove_zero_units(self, units: u32) {
        debug_assert!(units & !self.zero_units() == 0);
        self.owner().zero_units.set(self.zero_units() & !units);
    }
}

impl Linked for Slab {
    fn links<'a>(self) -> &'a Links<Self> {
        &self.owner().links
    }

    fn address(self) -> usize {
        self.0.address()
    }
}
