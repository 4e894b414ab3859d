//! A slab as its owner sees it: which slots are live, and its place in its class.

use super::page::PAGE;
use super::record::{BITMAP_WORDS, Header, Kind, Owner, Pages, Place, Slab, Span, Standing, State};
use crate::ground::list::{Linked, Links};
use crate::ground::shared::SharedBits;
use crate::ground::units::units_of_bytes;
use crate::kernel::parts::{RETURNS, SPEED};
use core::mem::offset_of;
use core::sync::atomic::Ordering::Relaxed;

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
    #[inline]
    pub(crate) fn as_slab(self) -> Option<Slab> {
        self.is(Kind::Slab).then_some(Slab(self))
    }

    /// The slab that this span is. The caller tests its [reciprocal](Self::reciprocal) to know that it is one: if not, what it has
    /// read before means nothing. Read before, the owner can be an old one, but never the caller's own tier: what that retired
    /// names no owner.
    #[inline(always)]
    pub(crate) fn as_slab_by_reciprocal(self) -> Slab {
        Slab(self)
    }

    /// Cuts a large span into slots that are all free and unopened. The slab inherits which pages at its end are known
    /// to read as zero.
    pub(crate) fn cut_into_slots(self, shape: Shape, owner: u16) -> Slab {
        debug_assert!(self.is(Kind::Large) && self.reciprocal() == 0);
        let (zero_end, bytes) = (self.zero_end() * PAGE, self.bytes());
        let zero_units = if zero_end == 0 { 0 } else { units_of_bytes(bytes - zero_end, bytes) };
        let slab = Slab(self);
        slab.owner().live.iter().for_each(|word| word.set(0));
        // SAFETY: I2: the record is there. What it held as another kind of span may be no links.
        unsafe { (&raw mut (*(&raw mut (*self.0.as_ptr()).body).cast::<Owner>()).links).write(Links::none()) };
        let Header { shared, state, central, .. } = self.record();
        state.until_review.set(u16::MAX);
        state.standing.set(Standing(0).with_place(Place::Current).0);
        state.owner.store(owner, Relaxed);
        state.kind.set(Kind::Slab as u8);
        central.zero_units.set(zero_units);
        shared.slot_size.set(shape.slot_size);
        shared.slack_max.set(shape.slack_max);
        // Last: from now on its addresses are accepted as slots. Partner: `reciprocal`.
        shared.reciprocal.publish(shape.reciprocal);
        slab
    }
}

impl Slab {
    /// Makes the slab current whatever its place was, for an owner that is to put it in another one.
    #[inline]
    pub(crate) fn reset_place(self) {
        self.state().standing.set(self.standing().with_place(Place::Current).0);
        self.owner().links.left.set(None);
        self.owner().links.right.set(None);
    }

    /// Turns a slab in which nothing is live, and which is neither current nor listed, into a large span again.
    pub(crate) fn retire(self) -> Span {
        debug_assert!(self.0.is(Kind::Slab) && self.live_slots() == 0);
        let Header { shared, state, .. } = self.0.record();
        shared.reciprocal.set(0);
        // No tier's: an owner reads this before it knows that there is a slab, and another thread may be cutting the next one.
        state.owner.store(0, Relaxed);
        state.kind.set(Kind::Large as u8);
        // SAFETY: I2: the record is there, and no reference into these fields of another kind of span is kept.
        unsafe { Pages::at(self.0.0.as_ptr()).write(Pages::new(0)) };
        self.0
    }

    #[inline]
    pub(super) fn owner<'a>(self) -> &'a Owner {
        let record: &'a Header = self.0.record();
        // SAFETY: any bits are values of these fields, and all were written when the span was made or cut.
        unsafe { &record.body.slab }
    }

    #[inline]
    pub(super) fn state<'a>(self) -> &'a State {
        &self.0.record().state
    }

    #[inline]
    fn standing(self) -> Standing {
        Standing(self.state().standing.get())
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
        self.0.half_word::<{ offset_of!(Header, shared.slot_size) }>()
    }

    /// How much larger than its request a slot may be for a layout to be accepted without a further check.
    #[inline(always)]
    pub(crate) fn slack_max(self) -> usize {
        self.0.half_word::<{ offset_of!(Header, shared.slack_max) }>()
    }

    /// How many slots there are: as many as fit.
    #[inline]
    pub(crate) fn capacity(self) -> usize {
        ((self.0.bytes() as u64 * u64::from(self.0.reciprocal())) >> 32) as usize
    }

    /// A word of the bitmap.
    ///
    /// # Safety
    ///
    /// `index` is below [`BITMAP_WORDS`].
    #[inline(always)]
    pub(crate) unsafe fn word<'a>(self, index: usize) -> &'a SharedBits {
        // SAFETY: the caller's promise.
        unsafe { self.owner().live.get_unchecked(index) }
    }

    /// Clears the bit of the slot of this number, and returns whether it was set: if not, nothing is written. For the owner.
    ///
    /// By hand on x86_64, where the instruction that clears a bit says what it was: compilers make another one that looks first.
    ///
    /// # Safety
    ///
    /// `number` is below [`MAX_SLOTS`].
    #[inline(always)]
    pub(crate) unsafe fn clear_live(self, number: usize) -> bool {
        #[cfg(all(target_arch = "x86_64", target_pointer_width = "64", not(miri)))]
        {
            const LIVE: usize = offset_of!(Header, body) + offset_of!(Owner, live);
            // SAFETY: I2, and the caller's promise: a word of the bitmap, which is read and written as by relaxed accesses.
            unsafe {
                core::arch::asm!(
                    "mov {word}, [{header} + 8 * {index} + {live}]",
                    "btr {word}, {number}",
                    "jnc {free}",
                    "mov [{header} + 8 * {index} + {live}], {word}",
                    word = out(reg) _,
                    header = in(reg) self.0.0.as_ptr(),
                    index = in(reg) number / 64,
                    number = in(reg) number,
                    live = const LIVE,
                    free = label { return false },
                    options(nostack),
                );
            }
            true
        }
        #[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64", not(miri))))]
        {
            // SAFETY: the caller's promise.
            let (word, bit) = (unsafe { self.word(number / 64) }, 1 << (number % 64));
            let bits = word.get();
            if bits & bit != 0 {
                word.set(bits & !bit);
            }
            bits & bit != 0
        }
    }

    /// The bitmap: 64 slots a word, set while a caller holds one.
    #[inline]
    pub(crate) fn live<'a>(self) -> &'a [SharedBits; BITMAP_WORDS] {
        &self.owner().live
    }

    /// How many slots callers hold.
    pub(crate) fn live_slots(self) -> usize {
        let words = self.capacity().div_ceil(64);
        self.live()[..words].iter().map(|word| ones(word.get())).sum()
    }

    /// How many slots have been opened.
    #[inline]
    pub(crate) fn opened(self) -> usize {
        self.standing().opened()
    }

    /// Opens slots, so that the first `slots` are open.
    #[inline]
    pub(crate) fn open(self, slots: usize) {
        debug_assert!(self.opened() < slots && slots <= self.capacity());
        self.state().standing.set(self.standing().with_opened(slots).0);
    }

    /// Where the slab stands in its class.
    #[inline]
    pub(crate) fn place(self) -> Place {
        self.standing().place()
    }

    /// Sets the slab's place, and after how many frees that is reviewed.
    #[inline]
    pub(crate) fn set_place(self, place: Place, until_review: usize) {
        debug_assert!(place.may_follow(self.place()), "{:?} after {:?}", place, self.place());
        self.state().standing.set(self.standing().with_place(place).0);
        self.set_until_review(until_review);
    }

    /// How many slots must be freed before the slab's place is reviewed.
    #[inline(always)]
    pub(crate) fn until_review(self) -> usize {
        self.state().until_review.get().into()
    }

    /// Sets after how many frees the slab's place is reviewed.
    #[inline]
    pub(crate) fn set_until_review(self, frees: usize) {
        debug_assert!(frees <= u16::MAX as usize);
        self.state().until_review.set(frees as u16);
    }

    /// Counts a free. True if the slab's place must be reviewed.
    #[inline(always)]
    pub(crate) fn count_free(self) -> bool {
        let left = self.state().until_review.get().wrapping_sub(1);
        self.state().until_review.set(left);
        left == 0
    }

    /// Counts frees that do not let the count run down, or that the caller reviews.
    #[inline]
    pub(crate) fn count_frees(self, frees: usize) {
        self.set_until_review(self.until_review() - frees);
    }

    /// Which units are known to read as zero (I14), one bit each.
    #[inline(always)]
    pub(crate) fn zero_units(self) -> u32 {
        if RETURNS { self.0.record().central.zero_units.get() } else { 0 }
    }

    /// Notes that units read as zero.
    #[inline]
    pub(crate) fn add_zero_units(self, units: u32) {
        self.0.record().central.zero_units.set(self.zero_units() | units);
    }

    /// Notes that units which were known to read as zero may be written from now on.
    #[inline]
    pub(crate) fn remove_zero_units(self, units: u32) {
        debug_assert!(units & !self.zero_units() == 0);
        self.0.record().central.zero_units.set(self.zero_units() & !units);
    }
}

impl Linked for Slab {
    #[inline]
    fn links<'a>(self) -> &'a Links<Self> {
        &self.owner().links
    }

    #[inline]
    fn address(self) -> usize {
        self.0.address()
    }
}

/// How many bits are set. A processor that is not known to count them takes fewer bytes one by one.
#[inline]
fn ones(mut word: u64) -> usize {
    if SPEED {
        return word.count_ones() as usize;
    }
    let mut ones = 0;
    while word != 0 {
        word &= word - 1;
        ones += 1;
    }
    ones
}
