//! Slabs: spans cut into equal slots, with one bit a slot kept out of line.
//!
//! This is the part of the heap that serves small requests. Each size class takes over one word of a slab's bitmap at a
//! time and hands out its slots; frees set bits in the slab's own bitmap. So an allocation and a free touch different
//! words, and no link or mark is ever written into a payload.
//!
//! ```text
//! size class                   slab's header                                   slab
//! +--------------------+       bits[0]  0 0 0 1 0 1 ...  freed since           +------+------+------+---+------+--+
//! | word  0 0 1 1 1 1  | <---- bits[1]  0 0 0 0 0 0 ...  taken over      ----> | slot | slot | slot |...| slot |  |
//! | base, listed slabs |       bits[2]  1 1 1 1 1 1 ...  not opened yet        +------+------+------+---+------+--+
//! +--------------------+                                                       64 slots a word          tail, unused
//! ```
//!
//! A slab is in one of four states, told by `listed` and `trigger` (I9):
//!
//! - **current** of its class: not listed, trigger `NEVER`;
//! - **full**: not listed; becomes listed after an eighth of its slots have been freed, so that a class does not come
//!   back to it for a single slot;
//! - **listed**: its class will come to it; trigger at all slots free;
//! - **empty**: listed and wholly free; up to four are kept, others go back to the spans.

use crate::brk::Brk;
use crate::header::{BITMAP_WORDS, Header, Kind, MAX_SLOTS, NEVER, PAGE, Span};
use crate::size_class::{CLASSES, SizeClass};
use crate::spans::{OutOfMemory, Spans};
use core::alloc::Layout;
use core::cell::Cell;
use core::hint::select_unpredictable;
use core::ptr::NonNull;

/// Empty slabs kept for their classes.
const EMPTIES_MAX: usize = 4;
/// A full slab is listed again when one slot in so many is free.
const RELIST_FRACTION: u16 = 8;

/// What allocation in one size class needs at hand: one cache line.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Class {
    /// Free slots that the class has taken over from a word of `slab`'s bitmap.
    pub(crate) word: u64,
    /// Address of the slot that bit 0 of `word` stands for.
    pub(crate) base: usize,
    /// Address of the bitmap's word that `word` was taken from, or 0.
    pub(crate) taken_from: usize,
    /// The current slab.
    pub(crate) slab: Option<Span>,
    /// Whether the slots in `word` have never been used and read as zero.
    fresh: bool,
    /// The first of the listed slabs.
    pub(crate) listed: Option<Span>,
}

/// The slabs in use, by size class.
#[derive(Debug)]
pub(crate) struct Slabs {
    pub(crate) classes: [Class; CLASSES],
    /// The first `empty_count` are the empty slabs.
    pub(crate) empties: [Option<Span>; EMPTIES_MAX],
    pub(crate) empty_count: usize,
}

impl Span {
    /// The size class of a slab.
    #[inline(always)]
    pub(crate) fn size_class(self) -> SizeClass {
        SizeClass::from_index(self.class.get() as usize)
    }
}

/// A slot of a slab, whether it is free or not.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) slab: Span,
    number: u32,
}

impl Slot {
    pub(crate) fn new(slab: Span, number: usize) -> Self {
        debug_assert!(number < slab.capacity.get() as usize);
        Self { slab, number: number as u32 }
    }

    /// The slot that starts at exactly `address`, if `span` is a slab and one does. `address` is in the span.
    #[inline(always)]
    pub(crate) fn starting_at(span: Span, address: usize) -> Option<Self> {
        let header = span.record();
        let product = (address.wrapping_sub(header.start.get()) as u64).wrapping_mul(header.reciprocal.get() as u64);
        let number = (product >> 32) as u32;
        // The reciprocal of what is not a slab is 0, and nothing is below 0. The slab's tail is past its last slot.
        ((product as u32) < header.reciprocal.get() && number < header.capacity.get() as u32)
            .then_some(Self { slab: span, number })
    }

    #[inline(always)]
    fn cell<'a>(self) -> &'a Cell<u64> {
        let header: &'a Header = self.slab.record();
        // The modulus tells the compiler what the capacity guarantees.
        &header.bits[self.number as usize / 64 % BITMAP_WORDS]
    }

    #[inline(always)]
    fn bit(self) -> u64 {
        1 << (self.number % 64)
    }

    /// Whether `layout` fits the slot at `address` and fills more than half of it: one comparison for both.
    #[inline(always)]
    pub(crate) fn fits_closely(self, address: usize, layout: Layout) -> bool {
        let slot_size = self.slab.size_class().slot_size();
        slot_size.wrapping_sub(layout.size()) < slot_size / 2 && address & (layout.align() - 1) == 0
    }

    /// Whether the slot's word has ever been taken over; until then nothing was allocated from it.
    pub(crate) fn is_opened(self) -> bool {
        self.number / 64 < self.slab.opened.get() as u32
    }

    /// Address of the slot's first byte.
    pub(crate) fn address(self) -> usize {
        self.slab.start.get() + self.number as usize * self.slab.size_class().slot_size()
    }
}

impl Slabs {
    pub(crate) const fn new() -> Self {
        // All zeros, so that a static heap takes no room in a program's file.
        const NOTHING: Class = Class { word: 0, base: 0, taken_from: 0, slab: None, fresh: false, listed: None };
        Self { classes: [NOTHING; CLASSES], empties: [None; EMPTIES_MAX], empty_count: 0 }
    }

    /// A slot from the word that the class has taken over.
    #[inline(always)]
    pub(crate) fn pop(&mut self, size_class: SizeClass) -> Option<NonNull<u8>> {
        let class = &mut self.classes[size_class.index()];
        let word = class.word;
        if word == 0 {
            return None;
        }
        class.word = word & (word - 1);
        let address = class.base + word.trailing_zeros() as usize * size_class.slot_size();
        NonNull::new(core::ptr::with_exposed_provenance_mut(address))
    }

    /// Whether the slot that [`pop`](Self::pop) returned last in this class reads as zero.
    pub(crate) fn is_fresh(&self, size_class: SizeClass) -> bool {
        self.classes[size_class.index()].fresh
    }

    /// Whether nobody holds the slot.
    #[inline(always)]
    pub(crate) fn is_free(&self, slot: Slot) -> bool {
        let (class, cell) = (&self.classes[slot.slab.size_class().index()], slot.cell());
        // Which word a class has taken over cannot be predicted; a branch on it costs more than all the rest.
        let taken = select_unpredictable(class.taken_from == core::ptr::from_ref(cell).addr(), class.word, 0);
        (cell.get() | taken) & slot.bit() != 0
    }

    /// Frees a slot that is not free. True if the slab's place in its class must be [reviewed](Self::review).
    #[inline(always)]
    pub(crate) fn push(&mut self, slot: Slot) -> bool {
        let (slab, cell) = (slot.slab, slot.cell());
        cell.set(cell.get() | slot.bit());
        let free = slab.free.get() + 1;
        slab.free.set(free);
        free == slab.trigger.get()
    }

    /// Acts on a slab whose free slots have reached its trigger. Returns the free span that an empty slab became.
    pub(crate) fn review<B>(&mut self, slab: Span, spans: &mut Spans<B>) -> Option<Span> {
        if !slab.listed.get() {
            self.list(slab);
        }
        if slab.free.get() < slab.capacity.get() {
            return None;
        }
        if self.empty_count < EMPTIES_MAX {
            slab.trigger.set(NEVER);
            self.empties[self.empty_count] = Some(slab);
            self.empty_count += 1;
            return None;
        }
        self.unlist(slab);
        Some(spans.release(slab))
    }

    /// Takes over a word with free slots for a class that has none.
    pub(crate) fn refill<B: Brk>(&mut self, size_class: SizeClass, spans: &mut Spans<B>) -> Result<(), OutOfMemory> {
        loop {
            if self.take_word(size_class) {
                return Ok(());
            }
            self.retire(size_class);
            let next = match self.classes[size_class.index()].listed {
                Some(slab) => slab,
                None => self.new_slab(size_class, spans)?,
            };
            self.make_current(next);
        }
    }

    /// Takes over a word of the current slab: first one that was used before, so that memory not touched yet stays so.
    fn take_word(&mut self, size_class: SizeClass) -> bool {
        let class = &mut self.classes[size_class.index()];
        let Some(slab) = class.slab.filter(|slab| slab.free.get() > 0) else { return false };
        let opened = slab.opened.get() as usize;
        let index = (0..opened).find(|&index| slab.bits[index].get() != 0).unwrap_or(opened);
        class.fresh = index == opened && slab.fresh.get();
        class.word = slab.bits[index].replace(0);
        class.base = slab.start.get() + index * 64 * size_class.slot_size();
        class.taken_from = core::ptr::from_ref(&slab.record().bits[index]).addr();
        slab.opened.set(opened.max(index + 1) as u8);
        slab.free.set(slab.free.get() - class.word.count_ones() as u16);
        true
    }

    /// A slab without free slots stops being its class's current one.
    fn retire(&mut self, size_class: SizeClass) {
        let class = &mut self.classes[size_class.index()];
        if let Some(slab) = class.slab.take() {
            slab.trigger.set((slab.capacity.get() / RELIST_FRACTION).max(1));
            class.taken_from = 0;
        }
    }

    fn make_current(&mut self, slab: Span) {
        if slab.listed.get() {
            self.unlist(slab);
            self.forget_empty(slab);
        }
        slab.trigger.set(NEVER);
        self.classes[slab.size_class().index()].slab = Some(slab);
    }

    fn new_slab<B: Brk>(&mut self, size_class: SizeClass, spans: &mut Spans<B>) -> Result<Span, OutOfMemory> {
        let pages = size_class.slab_pages(spans.heap_pages());
        // A shorter free span comes before a higher break: it would be left over for ever if slabs kept growing.
        let shorter = spans.longest_free(pages).filter(|&pages| size_class.fills(pages)).unwrap_or(pages);
        match spans.take(shorter, 1).or_else(|_| spans.take(1, 1)) {
            Ok(span) => {
                Self::cut(span, size_class);
                spans.map_slab(span);
                Ok(span)
            }
            // A full slab with a few free slots is left alone until nothing else is to be had.
            Err(refused) => spans.iter().find(|&span| self.has_unlisted_slots(span, size_class)).ok_or(refused),
        }
    }

    fn has_unlisted_slots(&self, span: Span, size_class: SizeClass) -> bool {
        span.is(Kind::Slab) && span.size_class() == size_class && span.free.get() > 0 && !span.listed.get()
    }

    /// Makes a used span a slab, all of whose slots are free.
    fn cut(span: Span, size_class: SizeClass) {
        let capacity = (span.bytes() / size_class.slot_size()).min(MAX_SLOTS);
        span.kind.set(Kind::Slab);
        span.class.set(size_class.index() as u8);
        span.reciprocal.set(size_class.reciprocal());
        span.capacity.set(capacity as u16);
        span.free.set(capacity as u16);
        span.trigger.set(NEVER);
        span.opened.set(0);
        span.fresh.set(span.zero_pages.get() == span.pages.get());
        span.listed.set(false);
        for (index, word) in span.record().bits.iter().enumerate() {
            word.set(slots_of_word(capacity, index));
        }
    }

    /// How many free slots of a slab are in the word that its class has taken over.
    pub(crate) fn taken_over(&self, slab: Span) -> usize {
        let class = &self.classes[slab.size_class().index()];
        if class.slab == Some(slab) { class.word.count_ones() as usize } else { 0 }
    }

    /// Hands the slabs in which nothing is live back to the spans. True if there were any.
    pub(crate) fn release_idle<B>(&mut self, spans: &mut Spans<B>) -> bool {
        let mut any = false;
        while self.empty_count > 0 {
            if let Some(slab) = self.empties[0] {
                self.unlist(slab);
                self.forget_empty(slab);
                spans.release(slab);
                any = true;
            }
        }
        for class in &mut self.classes {
            let taken = class.word.count_ones() as u16;
            if let Some(slab) = class.slab.filter(|slab| slab.free.get() + taken == slab.capacity.get()) {
                (class.word, class.taken_from, class.slab) = (0, 0, None);
                spans.release(slab);
                any = true;
            }
        }
        any
    }

    fn list(&mut self, slab: Span) {
        let head = &mut self.classes[slab.size_class().index()].listed;
        slab.left.set(None);
        slab.right.set(*head);
        if let Some(second) = *head {
            second.left.set(Some(slab));
        }
        *head = Some(slab);
        slab.listed.set(true);
        slab.trigger.set(slab.capacity.get());
    }

    fn unlist(&mut self, slab: Span) {
        let (left, right) = (slab.left.get(), slab.right.get());
        match left {
            Some(left) => left.right.set(right),
            None => self.classes[slab.size_class().index()].listed = right,
        }
        if let Some(right) = right {
            right.left.set(left);
        }
        slab.listed.set(false);
    }

    /// Empty slabs.
    pub(crate) fn empties(&self) -> &[Option<Span>] {
        &self.empties[..self.empty_count]
    }

    fn forget_empty(&mut self, slab: Span) {
        if let Some(at) = self.empties().iter().position(|&empty| empty == Some(slab)) {
            self.empty_count -= 1;
            self.empties.swap(at, self.empty_count);
        }
    }
}

/// The bits that stand for slots in a word of the bitmap of a slab with `capacity` slots.
pub(crate) fn slots_of_word(capacity: usize, index: usize) -> u64 {
    match capacity.saturating_sub(index * 64) {
        0 => 0,
        slots @ 1..64 => (1 << slots) - 1,
        _ => u64::MAX,
    }
}

const _: () = assert!(PAGE / 16 <= MAX_SLOTS, "a slab of one page fits its bitmap in every class");
