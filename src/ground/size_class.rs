//! From a request to its size class: pure arithmetic on constants.
//!
//! Slots step by 16 bytes up to 128, by an eighth of a doubling up to 1 KiB and by a quarter beyond, up to 56 KiB. Each
//! class in use holds at least one slab, so a program with a few blocks of each of many sizes pays for each class:
//! beyond 1 KiB, half as many classes save such programs a tenth of their memory. Two more classes fit a block of 4 or 8 KiB
//! with a header that the program adds, as databases do.
//!
//! The last classes exist because a span is whole pages: blocks of 20,000 bytes would take two each, and use only three
//! fifths of a limited heap. Requests beyond 56 KiB fill their pages to at least four fifths.

use crate::ground::header::{PAGE, Shape, Slab};
use crate::kernel::parts::SPEED;
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

/// The last doubling does not reach its power of two: up to this slot size, this one stands in for it, and larger
/// classes have no [coarse](SizeClass::coarse) class but themselves.
const COARSE_LAST: usize = 48 << 10;

const _: () = assert!(COARSE_LAST.is_multiple_of(PAGE), "slots of every alignment");
const _: () = assert!(CLASSES <= u8::MAX as usize + 1, "a byte holds the index of a class");

/// A size class: the index of a slot size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SizeClass(u8);

/// The class of a request, by its size in units of `unit` bytes, rounded up. Entry 0 gives a request of 0 bytes a
/// block.
const fn classes_of_units<const UNITS: usize>(unit: usize) -> [u8; UNITS] {
    let mut table = [0; UNITS];
    let (mut units, mut class) = (1, 0);
    while units < UNITS {
        while units * unit > SLOTS[class] as usize {
            class += 1;
        }
        table[units] = class as u8;
        units += 1;
    }
    table
}

/// The classes of all sizes: one look tells.
static CLASS_OF_UNITS: [u8; SMALL_MAX / MIN_ALIGN + 1] = classes_of_units(MIN_ALIGN);

/// The class of a size of at most [`SMALL_MAX`] bytes, where [speed](SPEED) is left out: six steps instead of 3,585 bytes.
#[cfg_attr(feature = "speed", allow(dead_code, reason = "the table is used, and a test compares"))]
#[inline(never)]
fn class_by_search(size: usize) -> u8 {
    let (mut below, mut from) = (CLASSES, 0);
    while from < below {
        let middle = (from + below) / 2;
        if usize::from(SLOTS[middle]) < size {
            from = middle + 1;
        } else {
            below = middle;
        }
    }
    from as u8
}

/// The class of a size of at most [`SMALL_MAX`] bytes.
#[inline(always)]
fn class_of(size: usize) -> SizeClass {
    SizeClass(if SPEED { CLASS_OF_UNITS[size.div_ceil(MIN_ALIGN)] } else { class_by_search(size) })
}

/// Bytes that every block for `layout` has at least: those of its class's slots or of whole pages. A guest has more, and so
/// has a block that was resized. For larger alignments than usual no more is promised than was asked for, because a block that
/// is so aligned by chance may keep its place when it is resized.
#[inline]
pub(crate) fn block_bytes(layout: Layout) -> usize {
    if layout.align() > MIN_ALIGN {
        return layout.size();
    }
    SizeClass::of_size(layout.size()).map_or(layout.size().next_multiple_of(PAGE), SizeClass::slot_size)
}

/// For each alignment from [`MIN_ALIGN`] to a page's, a bit for each class whose slots are a multiple of it. So the class of an
/// aligned request is found without a search: with one, and a longer way to a slot, a pair of calls took 56 instructions more.
static ALIGNED: [u64; (PAGE / MIN_ALIGN).ilog2() as usize + 1] = {
    let mut table = [0; (PAGE / MIN_ALIGN).ilog2() as usize + 1];
    let (mut shift, mut class) = (0, 0);
    while shift < table.len() {
        while class < CLASSES {
            table[shift] |= ((SLOTS[class] as usize).is_multiple_of(MIN_ALIGN << shift) as u64) << class;
            class += 1;
        }
        (shift, class) = (shift + 1, 0);
    }
    table
};

const _: () = assert!(CLASSES <= u64::BITS as usize, "a word has a bit for each class");
const _: () = assert!(SLOTS[CLASSES - 1] as usize == SMALL_MAX, "the last class serves the largest small request");
const _: () = assert!(SMALL_MAX <= u16::MAX as usize, "a header has 16 bits for the size of a slot");

impl SizeClass {
    /// The class with the smallest slots that hold `size` bytes, if there is one.
    #[inline(always)]
    pub(crate) fn of_size(size: usize) -> Option<Self> {
        if size > SMALL_MAX {
            return None;
        }
        Some(class_of(size))
    }

    /// The class whose slots all satisfy `layout`, in size and alignment, if there is one.
    #[cfg_attr(feature = "speed", inline(always))]
    #[cfg_attr(not(feature = "speed"), inline(never))]
    pub(crate) fn of(layout: Layout) -> Option<Self> {
        if layout.align() <= MIN_ALIGN { Self::of_size(layout.size()) } else { Self::of_aligned(layout) }
    }

    /// The smallest class whose slots hold `layout` and are a multiple of its alignment: slabs start at a page boundary, so that
    /// aligns every slot.
    #[inline(never)]
    fn of_aligned(layout: Layout) -> Option<Self> {
        let suited = *ALIGNED.get((layout.align().trailing_zeros() - MIN_ALIGN.trailing_zeros()) as usize)?;
        let class = Self::of_size(layout.size())?;
        let suited = suited >> class.index();
        (suited != 0).then(|| Self::from_index(class.index() + suited.trailing_zeros() as usize))
    }

    /// The class that serves the first few requests of the other classes of the same doubling, their guests: its slots
    /// have every alignment that theirs have, and every request of this class fills more than half of such a slot.
    pub(crate) fn coarse(self) -> Self {
        let slot = self.slot_size();
        let coarse = match slot.next_power_of_two() {
            power if power <= SMALL_MAX => power,
            _ => slot.max(COARSE_LAST),
        };
        class_of(coarse)
    }

    /// The class whose slots have this size.
    #[cfg_attr(not(feature = "speed"), inline(never))]
    fn of_slot(slot_size: usize) -> Self {
        if SPEED {
            return Self(CLASS_OF_UNITS[(slot_size / MIN_ALIGN).min(CLASS_OF_UNITS.len() - 1)]);
        }
        class_of(slot_size.min(SMALL_MAX))
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
        // SAFETY: every class comes from the table, all of whose entries are indices into `SLOTS`, or from
        // `from_index`, which reduces its argument.
        unsafe { core::hint::assert_unchecked((self.0 as usize) < CLASSES) };
        self.0 as usize
    }

    /// Bytes in a slot.
    #[inline(always)]
    pub(crate) const fn slot_size(self) -> usize {
        SLOTS[self.index()] as usize
    }

    /// How much larger than its request a slot of this class may be for a layout to be accepted without a further
    /// check: less than half of the slot; in the smallest class, any size.
    pub(crate) fn slack_max(self) -> usize {
        if self.0 == 0 { self.slot_size() } else { self.slot_size() / 2 - 1 }
    }

    /// The constants that a header holds for slots of this class.
    pub(crate) fn shape(self) -> Shape {
        Shape { slot_size: SLOTS[self.index()], slack_max: self.slack_max() as u16, reciprocal: self.reciprocal() }
    }

    /// `2^32 / slot size`, rounded up. Multiplied with an offset, its high half is the slot number, and its low half is
    /// below the reciprocal exactly when the offset is a multiple of the slot size (Lemire, Kaser and Kurz, "Faster
    /// remainder by direct computation", 2019).
    ///
    /// The rounding error grows with the slot number. If it is below the reciprocal up to the last slot, the answer is
    /// right up to the last slot's end, except that the last bytes of the last slot may be taken for the start of the
    /// slot after it. There is no such slot, so its bit is clear (I7).
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An interpreter has time for few of the sizes.
    const STEP: usize = if cfg!(miri) { 509 } else { 1 };

    #[test]
    fn the_search_finds_what_the_table_says() {
        for size in (0..=SMALL_MAX).step_by(STEP) {
            assert_eq!(class_by_search(size), CLASS_OF_UNITS[size.div_ceil(MIN_ALIGN)], "{size} bytes");
        }
    }

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

    /// `HMALLOC_TEST_OFFSETS=4294967296 cargo test --lib at_all_` takes all sizes that have 32 bits, for the usual alignment, and
    /// 16 MiB of them for each other one; otherwise those up to somewhat more than slots have.
    #[test]
    fn all_sizes_at_all_alignments_get_the_smallest_class_that_serves_them() {
        let wanted =
            std::env::var("HMALLOC_TEST_OFFSETS").map_or(SMALL_MAX + 4096, |text| text.parse().expect("a number"));
        for align in (0..32).map(|shift| 1_usize << shift) {
            let serves = |size: usize| {
                SLOTS.iter().position(|&slot| {
                    usize::from(slot) >= size && usize::from(slot).is_multiple_of(align.max(MIN_ALIGN)) && align <= PAGE
                })
            };
            let mut size = 0;
            while size < wanted && size <= SMALL_MAX {
                // Sizes up to the slot's end have the same answer.
                let index = serves(size);
                let end = index.map_or(SMALL_MAX + 1, |index| SLOTS[index].into());
                for size in (size..=end.min(SMALL_MAX)).step_by(STEP) {
                    let class = SizeClass::of(Layout::from_size_align(size, align).unwrap());
                    assert_eq!(class.map(SizeClass::index), index, "{size} bytes at {align}");
                }
                size = end + 1;
            }
            let none = |size| SizeClass::of(Layout::from_size_align(size, align).unwrap()).is_none();
            let wanted = if align == MIN_ALIGN { wanted } else { wanted.min(16 << 20) };
            let beyond = SMALL_MAX + 1..wanted.max(SMALL_MAX + 2).min(isize::MAX as usize - align);
            assert!(beyond.step_by(STEP).all(none), "a class for more than {SMALL_MAX} bytes at {align}");
        }
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
}
