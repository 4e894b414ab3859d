//! From a request to its size class: pure arithmetic on constants.
//!
//! Slots step by 16 bytes up to 128, by an eighth of a doubling up to 1 KiB and by a quarter beyond, up to 56 KiB. Each class
//! in use holds at least one slab, so a program with blocks of many sizes, but few of each, pays for every class there is:
//! beyond 1 KiB half as many save such programs a tenth of their memory. Two classes more hold a block of 4 or 8 KiB with
//! a header of its owner's, which is a habit of databases.
//!
//! The last classes are there because a span is whole pages: 20,000 bytes would take two of them, and three fifths of what
//! a limit allows. What lies beyond 56 KiB fills its pages to four fifths at least.

use crate::ground::header::{MAX_SLOTS, PAGE, Shape, Slab};
use core::alloc::Layout;

/// Every payload is aligned to this many bytes: what C calls `max_align_t` on the 64-bit architectures.
pub(crate) const MIN_ALIGN: usize = 16;

/// The largest request that is served from a slab.
pub(crate) const SMALL_MAX: usize = 56 << 10;

/// How many size classes there are.
pub(crate) const CLASSES: usize = SLOTS.len();

/// Bytes in a slot of each class.
#[rustfmt::skip]
const SLOTS: [u16; 57] = [
    16, 32, 48, 64, 80, 96, 112, 128,
    144, 160, 176, 192, 208, 224, 240, 256,
    288, 320, 352, 384, 416, 448, 480, 512,
    576, 640, 704, 768, 832, 896, 960, 1024,
    1280, 1536, 1792, 2048,
    2560, 3072, 3584, 4096,
    4608, 5120, 6144, 7168, 8192,
    9216, 10240, 12288, 14336, 16384,
    20480, 24576, 28672, 32768,
    40960, 49152, 57344,
];

/// Bytes of a slab once the heap is large. Larger slabs mean fewer headers to visit per block.
const SLAB_BYTES: usize = 64 << 10;
/// The same for slots above [`BIG_SLOT`], of which [`SLAB_BYTES`] would hold too few.
const SLAB_BYTES_BIG: usize = 128 << 10;
/// A class with little memory takes small slabs: a slab of several pages is at most this fraction of the pages that the
/// class has in slabs already, unless its tail would be too long.
const SLAB_FRACTION: usize = 4;
/// Of slots above a page, of which a short slab has one or two, a class takes long ones once it has so many pages: else
/// nearly every call would come to another slab. Sooner would cost a program with 30 such blocks a tenth more memory.
const LONG_FROM: usize = 12;
/// In 64ths: even in a class with few slots, a slab is as long as it takes to make its tail no longer than this.
const TAIL_MAX: usize = 12;
const BIG_SLOT: usize = 4 << 10;

/// The last doubling has no power of two: this slot size is as good up to itself, and larger ones are nobody's guests.
const COARSE_LAST: usize = 48 << 10;

const _: () = assert!(COARSE_LAST.is_multiple_of(PAGE), "slots of every alignment");
const _: () = assert!(CLASSES <= u8::MAX as usize + 1, "a byte holds the index of a class");

/// A size class: the index of a slot size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SizeClass(u8);

/// The class of a request, by its size in units of [`MIN_ALIGN`], rounded up. Entry 0 gives a request of nothing a block.
const CLASS_OF_UNITS: [u8; SMALL_MAX / MIN_ALIGN + 1] = {
    let mut table = [0; SMALL_MAX / MIN_ALIGN + 1];
    let (mut units, mut class) = (1, 0);
    while units < table.len() {
        if units * MIN_ALIGN > SLOTS[class] as usize {
            class += 1;
        }
        table[units] = class as u8;
        units += 1;
    }
    table
};

const _: () = assert!(SLOTS[CLASSES - 1] as usize == SMALL_MAX, "the last class serves the largest small request");
const _: () = assert!(SMALL_MAX <= u16::MAX as usize, "a header has 16 bits for the size of a slot");

impl SizeClass {
    /// The class of the smallest slot that holds `size` bytes, if one does.
    #[inline(always)]
    pub(crate) fn of_size(size: usize) -> Option<Self> {
        if size > SMALL_MAX {
            return None;
        }
        Some(Self(CLASS_OF_UNITS[size.div_ceil(MIN_ALIGN)]))
    }

    /// The class whose every slot satisfies `layout`, size and alignment, if there is one.
    #[inline(always)]
    pub(crate) fn of(layout: Layout) -> Option<Self> {
        if layout.align() <= MIN_ALIGN { Self::of_size(layout.size()) } else { Self::of_aligned(layout) }
    }

    /// Slabs start at a page boundary, so a slot size that is a multiple of the alignment aligns every slot. A doubling
    /// holds eight classes at most, and its last is a power of two: the search is short. Past the last power of two, each
    /// multiple of an alignment that large is a slot size.
    #[cold]
    fn of_aligned(layout: Layout) -> Option<Self> {
        if layout.align() > PAGE {
            return None;
        }
        // Multiples of the alignment are slot sizes more often than not.
        let mut class = Self::of_size(layout.pad_to_align().size().max(layout.align()))?;
        while class.slot_size() & (layout.align() - 1) != 0 {
            class = Self::from_index(class.index() + 1);
        }
        Some(class)
    }

    /// The class that others of the same doubling are guests of: its slots have every alignment that theirs have, and
    /// every request of this class fills more than half of one.
    pub(crate) fn coarse(self) -> Self {
        let slot = self.slot_size();
        let coarse = match slot.next_power_of_two() {
            power if power <= SMALL_MAX => power,
            _ => slot.max(COARSE_LAST),
        };
        Self(CLASS_OF_UNITS[coarse / MIN_ALIGN])
    }

    /// The class whose slots have this size.
    fn of_slot(slot_size: usize) -> Self {
        Self(CLASS_OF_UNITS[slot_size / MIN_ALIGN % CLASS_OF_UNITS.len()])
    }

    /// The class with this index, for walks over all of them.
    #[inline(always)]
    pub(crate) const fn from_index(index: usize) -> Self {
        debug_assert!(index < CLASSES);
        Self((index % CLASSES) as u8)
    }

    /// Index below [`CLASSES`].
    #[inline(always)]
    pub(crate) const fn index(self) -> usize {
        // SAFETY: every class comes from the table, whose entries were indices into `SLOTS` when it was computed, or from
        // `from_index`, which reduces what it is given.
        unsafe { core::hint::assert_unchecked((self.0 as usize) < CLASSES) };
        self.0 as usize
    }

    /// Bytes in a slot.
    #[inline(always)]
    pub(crate) const fn slot_size(self) -> usize {
        SLOTS[self.index()] as usize
    }

    /// How much larger than its request a slot of this class may be for the request to be taken at its word: less than
    /// half of the slot, and in the smallest class anything.
    pub(crate) fn slack_max(self) -> usize {
        if self.0 == 0 { self.slot_size() } else { self.slot_size() / 2 - 1 }
    }

    /// Pages of a new slab when this class has `held` pages in slabs already. Long slabs mean fewer headers to visit, short
    /// ones less that is left over; a header's bitmap bounds the slots.
    pub(crate) fn slab_pages(self, held: usize) -> usize {
        let most = self.slab_pages_max();
        let least = (1..most).find(|&pages| self.fills(pages)).unwrap_or(most);
        let limit = if self.slot_size() <= PAGE { held / SLAB_FRACTION } else { held / LONG_FROM * most };
        let limit = limit.clamp(least, most);
        // Of those with the shortest tail the longest slab.
        (1..=limit).rev().min_by_key(|&pages| self.tail(pages)).unwrap_or(least)
    }

    /// The most pages that a new slab has.
    const fn slab_pages_max(self) -> usize {
        let slot = self.slot_size();
        let bytes = if slot > BIG_SLOT { SLAB_BYTES_BIG } else { SLAB_BYTES };
        let (by_bytes, by_slots) = (bytes / PAGE, MAX_SLOTS * slot / PAGE);
        if by_bytes < by_slots { by_bytes } else { by_slots }
    }

    /// The fewest pages that a slab can have: those of one slot.
    pub(crate) fn slab_pages_min(self) -> usize {
        self.slot_size().div_ceil(PAGE)
    }

    /// Whether slots fill a slab of `pages` pages with little left over.
    pub(crate) fn fills(self, pages: usize) -> bool {
        self.tail(pages) <= TAIL_MAX
    }

    /// What is left over in a slab of `pages` pages, in 64ths of it: a tail of a few bytes does not count.
    fn tail(self, pages: usize) -> usize {
        (pages * PAGE % self.slot_size()) * 64 / (pages * PAGE)
    }

    /// What a header says of slots of this class.
    pub(crate) fn shape(self) -> Shape {
        Shape { slot_size: SLOTS[self.index()], slack_max: self.slack_max() as u16, reciprocal: self.reciprocal() }
    }

    /// `2^32 / slot size`, rounded up. Multiplied with an offset, its high half is the slot number, and its low half is
    /// below the reciprocal exactly when the offset is a multiple of the slot size (Lemire, Kaser and Kurz, "Faster
    /// remainder by direct computation", 2019).
    ///
    /// What rounding adds grows with the slot number. As long as it stays below the reciprocal up to the last slot, the
    /// answer is right for every offset before the last slot's end, but for one: the last bytes of the last slot can be
    /// taken for the start of the slot after it, which there is not, so its bit is clear (I7).
    pub(crate) const fn reciprocal(self) -> u32 {
        (1u64 << 32).div_ceil(self.slot_size() as u64) as u32
    }
}

impl Slab {
    /// The class of a slab's slots.
    pub(crate) fn size_class(self) -> SizeClass {
        SizeClass::of_slot(self.slot_size())
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
    fn every_request_gets_the_smallest_slot_that_holds_it() {
        for size in (0..=SMALL_MAX).step_by(STEP) {
            let class = SizeClass::of_size(size).unwrap();
            assert!(class.slot_size() >= size);
            assert!(class.index() == 0 || SizeClass::from_index(class.index() - 1).slot_size() < size);
        }
        assert_eq!(SizeClass::of_size(SMALL_MAX + 1), None);
        assert_eq!(SizeClass::of_size(usize::MAX), None);
    }

    #[test]
    fn requests_of_every_class_fill_more_than_half_of_its_coarse_class() {
        for size in (1..=SMALL_MAX).step_by(STEP) {
            let class = SizeClass::of_size(size).unwrap();
            let coarse = class.coarse();
            assert!(coarse.slot_size() >= size && (coarse.slot_size() < 2 * size || coarse.index() == 0));
            let align = |class: SizeClass| class.slot_size().trailing_zeros();
            assert!(align(coarse) >= align(class), "{class:?} is a guest of slots that are aligned less");
        }
    }

    #[test]
    fn an_aligned_request_gets_slots_that_are_all_aligned() {
        for shift in 0..16 {
            for size in (0..=SMALL_MAX + 100).step_by(13 * STEP) {
                let layout = Layout::from_size_align(size, 1 << shift).unwrap();
                match SizeClass::of(layout) {
                    Some(class) => assert!(class.slot_size() >= size && class.slot_size() % (1 << shift) == 0),
                    None => assert!(layout.pad_to_align().size() > SMALL_MAX || (1 << shift) > PAGE),
                }
            }
        }
    }

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
        // 10 KiB in a page of 16 would waste six of them.
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
                // No length within reach has a shorter tail, and no longer one as short a tail.
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
        // Nothing is left over of the longest slabs of the largest slots.
        for class in (SizeClass::of_size(PAGE + 1).unwrap().index()..CLASSES).map(SizeClass::from_index) {
            assert_eq!(class.slab_pages(1000) * PAGE % class.slot_size(), 0, "{class:?}");
        }
        let class = SizeClass::of_size(512).unwrap();
        assert_eq!((class.slab_pages(2 * SLAB_FRACTION - 1), class.slab_pages(2 * SLAB_FRACTION)), (1, 2));
    }
}
