//! What is known to be zero in a slab: one bit for each unit of 4 KiB, the smallest kernel page.
//!
//! ```text
//! slots of 5 KiB      |    0    |    1    |    2    |    3    |    4    |    5   ...
//! units of the slab   |   0   |   1   |   2   |   3   |   4   |   5   |   6   |  ...
//! handed out                      x                             x
//! can be returned     |  yes  |       |       |  yes  |  yes  |       |       |
//! ```
//!
//! A bit is set when the unit comes fresh from the kernel or has been returned to it, and is cleared when a class
//! claims a slot that reaches into the unit (I14): at a refill, never when a slot is handed out or freed. So a trim
//! returns nothing twice, and a zeroed request is not written where nothing was ever written.

use crate::ground::header::{MAX_SLOTS, Slab};
use crate::ground::units::{UNIT, units_of_bytes};
use crate::kernel::parts::RETURNS;

impl Slab {
    /// All units of a slab.
    pub(crate) fn units(self) -> u32 {
        units_of_bytes(0, self.span().bytes())
    }

    /// The units in which slots number `from` to `to` lie. There must be at least one.
    pub(crate) fn units_of_slots(self, from: usize, to: usize) -> u32 {
        let slot = self.slot_size();
        units_of_bytes(from * slot, to * slot)
    }

    /// The units in which those slots lie that have a bit in `slots`, a value for word number `index` of the slab's
    /// bitmap.
    pub(crate) fn units_of_word(self, index: usize, mut slots: u64) -> u32 {
        let (mut units, mut first) = (0, index * 64);
        while slots != 0 {
            let skipped = slots.trailing_zeros();
            let run = (slots >> skipped).trailing_ones();
            first += skipped as usize;
            units |= self.units_of_slots(first, first + run as usize);
            first += run as usize;
            slots = slots.checked_shr(skipped + run).unwrap_or(0);
        }
        units
    }

    /// The units in which a live slot lies.
    pub(crate) fn live_units(self) -> u32 {
        let words = (self.opened()).div_ceil(64);
        (0..words).fold(0, |units, index| units | self.units_of_word(index, self.live()[index].get()))
    }

    /// Which of the free slots `free` of a word a class should claim, and whether all of these read as zero. Slots
    /// without kernel memory come last.
    pub(crate) fn prefer(self, index: usize, free: u64) -> (u64, bool) {
        let zero = self.zero_units();
        let (first, last) = (free.trailing_zeros() as usize, 63 - free.leading_zeros() as usize);
        if zero & self.units_of_slots(index * 64 + first, index * 64 + last + 1) == 0 {
            return (free, false);
        }
        let mut fresh = 0;
        for number in (first..=last).filter(|number| free >> number & 1 == 1) {
            let units = self.units_of_slots(index * 64 + number, index * 64 + number + 1);
            fresh |= u64::from(units & !zero == 0) << number;
        }
        if fresh == free { (free, true) } else { (free & !fresh, false) }
    }

    /// Whether none of the opened slots lies in a unit that is known to be zero. Most slabs with such units have them where nothing
    /// was ever opened.
    #[inline(always)]
    pub(crate) fn is_dirty_where_opened(self) -> bool {
        // Where there is no such unit, this is as long as a slab can be.
        let zero_from = self.zero_units().trailing_zeros() as usize * UNIT;
        !RETURNS || self.opened() * self.slot_size() <= zero_from
    }

    /// Notes that slots of a word may be written from now on. Returns the units that were known to be zero until now.
    #[inline(always)]
    pub(crate) fn use_units(self, index: usize, slots: u64) -> u32 {
        if self.zero_units() == 0 { 0 } else { self.use_some_units(index, slots) }
    }

    fn use_some_units(self, index: usize, slots: u64) -> u32 {
        let zero = self.zero_units();
        let used = zero & self.units_of_word(index, slots);
        self.remove_zero_units(used);
        used
    }

    /// Reverses [`use_units`](Self::use_units) for those of the units that begin at offset `from` or later, in which
    /// nothing was handed out.
    pub(crate) fn unuse_units(self, used: u32, from: usize) {
        self.add_zero_units(unused(used, from));
    }

    /// The units that read as zero from the first unopened slot on. It may share its first unit with earlier slots;
    /// `ahead` says whether its part of that reads as zero.
    pub(crate) fn zero_units_ahead(self, ahead: bool) -> u32 {
        let first = self.opened() * self.slot_size();
        let shared = if ahead && !first.is_multiple_of(UNIT) { units_of_bytes(first, first + 1) } else { 0 };
        self.zero_units() | shared
    }

    /// The first word from number `index` on with free slots among the opened ones, and these.
    #[cfg_attr(feature = "speed", inline(always))]
    #[cfg_attr(not(feature = "speed"), inline(never))]
    pub(crate) fn next_free(self, index: usize) -> Option<(usize, u64)> {
        let (opened, mut index) = (self.opened().min(MAX_SLOTS), index);
        while index * 64 < opened {
            // SAFETY: the word of a slot below `MAX_SLOTS`.
            let mut free = !unsafe { self.word(index) }.get();
            if (index + 1) * 64 > opened {
                // The bits of slots that are not open are clear, too (I7).
                free &= (1 << (opened % 64)) - 1;
            }
            if free != 0 {
                return Some((index, free));
            }
            index += 1;
        }
        None
    }
}

/// Those of some units that begin at offset `from` or later.
pub(crate) fn unused(units: u32, from: usize) -> u32 {
    units & !1_u32.unbounded_shl(from.div_ceil(UNIT) as u32).wrapping_sub(1)
}

/// The bits of a word that stand for slots, in the bitmap of a slab with `capacity` slots.
#[inline]
pub(crate) fn slots_of_word(capacity: usize, index: usize) -> u64 {
    match capacity.saturating_sub(index * 64) {
        0 => 0,
        slots => u64::MAX >> (64 - slots.min(64)),
    }
}
