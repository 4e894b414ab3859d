//! How long a new slab is.

use crate::ground::header::{MAX_SLOTS, PAGE};
use crate::ground::size_class::{CLASSES, SizeClass};
use crate::kernel::parts::SPEED;

/// Bytes of a slab once its class has many. Larger slabs mean fewer headers to visit per block.
const SLAB_BYTES: usize = 64 << 10;
/// The same for slots above [`BIG_SLOT`], of which [`SLAB_BYTES`] would hold too few.
const SLAB_BYTES_BIG: usize = 128 << 10;
/// A class with little memory takes short slabs: a slab of several pages is at most this fraction of the pages that the
/// class has in slabs already, unless a shorter one would have too long a tail.
const SLAB_FRACTION: usize = 4;
/// A class of slots above a page takes long slabs once it has so many pages: a short slab has one or two such slots, so
/// nearly every call would need another slab. To do so earlier would cost a program with 30 such blocks a tenth more
/// memory.
const LONG_FROM: usize = 12;
/// The longest tail, in 64ths of a slab: even a class's first slab is long enough that its tail is no longer.
const TAIL_MAX: usize = 12;
const BIG_SLOT: usize = 4 << 10;

impl SizeClass {
    /// Pages of a new slab when this class has `held` pages in slabs already. Long slabs mean fewer headers to visit,
    /// short ones less unused memory; a header's bitmap limits the number of slots.
    #[inline(never)]
    pub(crate) fn slab_pages(self, held: usize) -> usize {
        let most = self.slab_pages_max();
        let least = (1..most).find(|&pages| self.fills(pages)).unwrap_or(most);
        if !SPEED {
            return least;
        }
        let limit = if self.slot_size() <= PAGE { held / SLAB_FRACTION } else { held / LONG_FROM * most };
        let limit = limit.clamp(least, most);
        // The shortest tail, and of equal ones the longest slab.
        (1..=limit).rev().min_by_key(|&pages| self.tail(pages)).unwrap_or(least)
    }

    /// The most pages that a new slab can have.
    const fn slab_pages_max(self) -> usize {
        let slot = self.slot_size();
        let bytes = if slot > BIG_SLOT { SLAB_BYTES_BIG } else { SLAB_BYTES };
        let (by_bytes, by_slots) = (bytes / PAGE, MAX_SLOTS * slot / PAGE);
        if by_bytes < by_slots { by_bytes } else { by_slots }
    }

    /// The fewest pages that a slab can have: enough for one slot.
    pub(crate) fn slab_pages_min(self) -> usize {
        self.slot_size().div_ceil(PAGE)
    }

    /// Whether slots fill a slab of `pages` pages with little left over.
    pub(crate) fn fills(self, pages: usize) -> bool {
        self.tail(pages) <= TAIL_MAX
    }

    /// The tail of a slab of `pages` pages, in 64ths of the slab, rounded down: a few bytes do not count.
    fn tail(self, pages: usize) -> usize {
        (pages * PAGE % self.slot_size()) * 64 / (pages * PAGE)
    }
}

const _: () = {
    let mut index = 0;
    while index < CLASSES {
        let class = SizeClass::from_index(index);
        let (slot, reciprocal) = (class.slot_size() as u64, class.reciprocal() as u64);
        let last = (class.slab_pages_max() * PAGE) as u64 / slot - 1;
        assert!(last * (reciprocal * slot - (1 << 32)) < reciprocal, "the reciprocal is exact in every slab");
        index += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    /// An interpreter has time for few of the sizes.
    const STEP: usize = if cfg!(miri) { 509 } else { 1 };

    #[test]
    fn the_reciprocal_finds_exactly_the_multiples() {
        for index in 0..CLASSES {
            let class = SizeClass::from_index(index);
            let (slot, reciprocal) = (class.slot_size(), class.reciprocal());
            let bytes = class.slab_pages_max() * PAGE;
            for offset in (0..bytes).step_by(16 * STEP - 15) {
                let product = offset as u64 * reciprocal as u64;
                let found = ((product as u32) < reciprocal).then_some((product >> 32) as usize);
                let right = offset.is_multiple_of(slot).then_some(offset / slot);
                let there = |number: &usize| *number < bytes / slot;
                assert_eq!(found.filter(there), right.filter(there), "{offset} of {bytes} in slots of {slot}");
            }
        }
    }

    /// Offsets that the walk below takes for each class: all that an address in a slab can have, unless the environment asks for
    /// more. Those beyond are none of the heap's, and show by how much the reciprocals are exact.
    fn offsets() -> u64 {
        std::env::var("HMALLOC_TEST_OFFSETS").map_or(0, |text| text.parse().expect("a number"))
    }

    /// The first offset below `most` at which the multiplication and the division do not agree: whether a slot starts there, and
    /// which. Between two starts the low half of the product only has to stay above.
    fn first_difference(slot: u64, reciprocal: u64, most: u64) -> Option<u64> {
        let step = u32::try_from(reciprocal).unwrap();
        (0..most.div_ceil(slot)).find_map(|number| {
            let (start, product) = (number * slot, number * slot * reciprocal);
            let low = product as u32;
            if low >= step || product >> 32 != number {
                return Some(start);
            }
            let starts = |inside: u32| low.wrapping_add(inside.wrapping_mul(step)) < step;
            let inside = 1..u32::try_from(slot.min(most - start)).unwrap();
            // Without a branch in the loop, several offsets are taken in one instruction.
            let any = inside.clone().fold(false, |any, inside| any | starts(inside));
            if any {
                inside.clone().find(|&inside| starts(inside)).map(|inside| start + u64::from(inside))
            } else {
                None
            }
        })
    }

    /// `HMALLOC_TEST_OFFSETS=4294967296 cargo test --lib at_all_ -- --nocapture` takes all that have 32 bits, and
    /// prints how far each reciprocal is exact.
    #[test]
    fn the_reciprocals_agree_with_division_at_all_offsets() {
        for class in (0..CLASSES).map(SizeClass::from_index) {
            let (slot, reciprocal) = (class.slot_size() as u64, u64::from(class.reciprocal()));
            let bytes = (class.slab_pages_max() * PAGE) as u64;
            let last = bytes / slot * slot;
            let wanted = if cfg!(miri) { 400 } else { offsets().max(bytes) };
            let first = first_difference(slot, reciprocal, wanted);
            // Past the start of a slab's last slot, the multiplication may see the start of one more, whose bit is clear.
            assert!(first.is_none_or(|first| first > last - slot), "slots of {slot} bytes differ at {first:?}");
            if offsets() > 0 {
                std::println!("{slot}: {} offsets, slabs of {bytes}, exact below {first:?}", wanted);
            }
        }
    }

    /// The control: a reciprocal that is one too small, or one too large, differs within the first few slots.
    #[test]
    fn a_wrong_reciprocal_differs() {
        let class = SizeClass::of_size(48).unwrap();
        let (slot, reciprocal) = (class.slot_size() as u64, u64::from(class.reciprocal()));
        assert!(first_difference(slot, reciprocal - 1, PAGE as u64).is_some());
        assert!(first_difference(slot, reciprocal + 3_000_000, PAGE as u64).is_some());
    }

    #[test]
    fn a_class_with_few_pages_takes_short_slabs() {
        for class in (0..CLASSES).map(SizeClass::from_index) {
            let first = class.slab_pages(0);
            let tail = |pages: usize| (pages * PAGE % class.slot_size()) * 64 / (pages * PAGE);
            assert!(tail(first) <= TAIL_MAX, "{class:?} starts with {first} pages");
            assert!(
                (1..first).all(|pages| tail(pages) > TAIL_MAX),
                "{class:?} could start with less than {first} pages"
            );
        }
        assert_eq!(SizeClass::of_size(512).unwrap().slab_pages(0), 1);
        // One slot of 10 KiB in a page of 16 KiB would waste 6 KiB.
        assert!(SizeClass::of_size(10 << 10).unwrap().slab_pages(0) > 1);
    }

    #[test]
    fn a_class_with_many_pages_takes_long_slabs() {
        for class in (0..CLASSES).map(SizeClass::from_index) {
            let (slot, first, most) = (class.slot_size(), class.slab_pages(0), class.slab_pages_max());
            for held in (0..200).step_by(STEP.min(50)) {
                let pages = class.slab_pages(held);
                let limit = match (slot > PAGE, held >= LONG_FROM) {
                    (false, _) => (held / SLAB_FRACTION).clamp(first, most),
                    (true, true) => most,
                    (true, false) => first,
                };
                assert!((1..=limit).contains(&pages), "{class:?} with {held} pages takes {pages}");
                assert!(pages * PAGE / slot <= MAX_SLOTS);
                // No permitted length has a shorter tail, and no longer one an equally short tail.
                assert!((1..=limit).all(|other| class.tail(pages) <= class.tail(other)));
                assert!((pages + 1..=limit).all(|longer| class.tail(pages) < class.tail(longer)));
            }
        }
        let small = [(16, 1), (64, 4), (512, 4), (4096, 4), (8192, 8), (16 << 10, 8)];
        let odd =
            [(20_000, 5), (24 << 10, 6), (28 << 10, 7), (32 << 10, 8), (40 << 10, 5), (48 << 10, 6), (56 << 10, 7)];
        for (size, pages) in small.into_iter().chain(odd) {
            assert_eq!(SizeClass::of_size(size).unwrap().slab_pages(1000), pages, "slots of {size} bytes");
        }
        // The longest slabs of the largest slots have no tail.
        for class in (SizeClass::of_size(PAGE + 1).unwrap().index()..CLASSES).map(SizeClass::from_index) {
            assert_eq!(class.slab_pages(1000) * PAGE % class.slot_size(), 0, "{class:?}");
        }
        let class = SizeClass::of_size(512).unwrap();
        assert_eq!((class.slab_pages(2 * SLAB_FRACTION - 1), class.slab_pages(2 * SLAB_FRACTION)), (1, 2));
    }
}
