//! Slabs: spans cut into equal slots, with one bit a slot kept out of line.
//!
//! This is the part of the heap that serves small requests. Each size class takes over one word of a slab's bitmap at a
//! time, as a set of free slots, and hands them out. The slab's own bitmap says which slots are live: an allocation sets
//! a bit, a free clears it, and no link or mark is ever written into a payload.
//!
//! ```text
//! size class                   slab's header                                   slab
//! +--------------------+       live[0]  1 1 0 1 1 1 ...                        +------+------+------+---+------+--+
//! | word  0 0 1 1 0 1  | <---- live[1]  1 1 0 0 1 0 ...  taken over      ----> | slot | slot | slot |...| slot |  |
//! | base, listed slabs |       live[2]  0 0 0 0 0 0 ...  not opened yet        +------+------+------+---+------+--+
//! +--------------------+                                                       64 slots a word          tail, unused
//! ```
//!
//! A slot that was freed since its word was taken over is in neither: its class finds it the next time it comes by.
//!
//! A slab stands in one of five places (I9):
//!
//! - **current** of its class;
//! - **full**: becomes listed after an eighth of its slots have been freed, so that a class does not come back to it for
//!   a single slot; or, where memory is [short](crate::tier::shortage), at once (**spent**);
//! - **listed**: its class will come to it;
//! - **empty**: listed and wholly free; up to four are kept, others go back to the spans.

use crate::central::spans::{OutOfMemory, Spans};
use crate::ground::header::{MAX_SLOTS, PAGE, Place, Slab, Span};
use crate::ground::list;
use crate::ground::size_class::{CLASSES, MIN_ALIGN, SizeClass};
use crate::kernel::brk::Brk;
use crate::tier::class::{Class, NEVER, RELIST_FRACTION, Zeros};
use crate::tier::shortage::Shortage;
use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::NonNull;

/// Empty slabs kept for their classes.
const EMPTIES_MAX: usize = 4;
/// Span operations for which idle slabs are left alone after some were taken apart.
const REUSE: u32 = 256;
/// Requests of a class that are served elsewhere before it gets a slab of its own.
const GUESTS_MAX: u8 = 16;

/// The slabs in use, by size class.
#[derive(Debug)]
pub(crate) struct Slabs {
    pub(crate) classes: [Class; CLASSES],
    /// The first `empty_count` are the empty slabs.
    pub(crate) empties: [Option<Slab>; EMPTIES_MAX],
    pub(crate) empty_count: usize,
    /// The count of span operations when idle slabs were last taken apart.
    released_at: u32,
    pub(crate) shortage: Shortage,
    /// Whether some class may have a current slab, or some slab is empty, since all were [parked](Self::park).
    unparked: bool,
}

impl Slab {
    /// How many of the slots the count says are free. A current slab's counts the frees since a sweep began.
    pub(crate) fn counted_free(self) -> Option<usize> {
        match self.place() {
            Place::Current => None,
            Place::Full | Place::Spent => Some(self.relist_at() - self.until_review()),
            Place::Listed | Place::Empty => Some(self.capacity() - self.until_review()),
        }
    }

    /// How many slots of a full slab must be free for it to be listed.
    pub(crate) fn relist_at(self) -> usize {
        if self.place() == Place::Spent { 1 } else { (self.capacity() / RELIST_FRACTION).max(1) }
    }

    /// Whether it is on its class's list.
    pub(crate) fn is_listed(self) -> bool {
        matches!(self.place(), Place::Listed | Place::Empty)
    }
}

/// A slot of a slab, whether it is free or not.
#[derive(Clone, Copy)]
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
    /// The reciprocal of what is not a slab is 0, and nothing is below 0. The slab's tail is past its last slot, and the
    /// bits there are clear (I7).
    #[inline(always)]
    pub(crate) fn live_at(span: Span, address: usize) -> Option<Self> {
        let (offset, reciprocal) = (address.wrapping_sub(span.start()) as u64, span.reciprocal());
        let product = offset.wrapping_mul(reciprocal.into());
        let slot = Self { slab: span.as_slab_by_reciprocal(), number: (product >> 32) as usize };
        ((product as u32) < reciprocal && slot.is_live()).then_some(slot)
    }

    /// The slot that starts at exactly `address`, live or not.
    pub(crate) fn starting_at(slab: Slab, address: usize) -> Option<Self> {
        let (offset, size) = (address - slab.start(), slab.size_class().slot_size());
        (offset.is_multiple_of(size) && offset / size < slab.capacity()).then(|| Self::new(slab, offset / size))
    }

    /// The word of the bitmap in which the slot's bit is.
    #[inline(always)]
    fn word<'a>(self) -> &'a Cell<u64> {
        debug_assert!(self.number < MAX_SLOTS);
        // SAFETY: I6: a slab is no longer than the slots that its bitmap has room for, and the slot is in it.
        unsafe { self.slab.word(self.number / 64) }
    }

    #[inline(always)]
    fn bit(self) -> u64 {
        1 << (self.number % 64)
    }

    /// Whether a caller holds the slot.
    #[inline(always)]
    pub(crate) fn is_live(self) -> bool {
        // Without the bit, the word is less than with it flipped: the same flip that a free makes.
        self.word().get() ^ self.bit() < self.word().get()
    }

    /// Whether `layout` fits the slot at `address` and fills more than half of it, or the slot is of the smallest class.
    #[inline(always)]
    pub(crate) fn fits_closely(self, address: usize, layout: Layout) -> bool {
        let slack = (self.slab.slot_size()).wrapping_sub(layout.size());
        slack <= self.slab.slack_max() && (layout.align() <= MIN_ALIGN || address & (layout.align() - 1) == 0)
    }

    /// Whether the slot has ever been taken over; until then it was nobody's.
    pub(crate) fn is_opened(self) -> bool {
        self.number < self.slab.opened()
    }

    /// Address of the slot's first byte.
    pub(crate) fn address(self) -> usize {
        self.slab.start() + self.number * self.slab.size_class().slot_size()
    }
}

impl Slabs {
    pub(crate) const fn new() -> Self {
        Self {
            classes: [const { Class::new() }; CLASSES],
            empties: [None; EMPTIES_MAX],
            empty_count: 0,
            released_at: 0,
            shortage: Shortage::new(),
            unparked: false,
        }
    }

    /// A slot from the word that the class has taken over. It is live then.
    #[inline(always)]
    pub(crate) fn pop(&mut self, size_class: SizeClass) -> Option<NonNull<u8>> {
        self.classes[size_class.index()].pop()
    }

    /// Whether [`pop`](Self::pop) has a slot.
    pub(crate) fn has_slot(&self, size_class: SizeClass) -> bool {
        self.classes[size_class.index()].word != 0
    }

    /// The class that is to serve a request of `size_class`, which has no slot at hand. Few requests of a class are not
    /// worth a slab: until there have been some, they are guests of a class that all in the same doubling share.
    pub(crate) fn host(&mut self, size_class: SizeClass) -> SizeClass {
        let class = &mut self.classes[size_class.index()];
        if class.slab.is_some() || class.listed.is_some() || class.guests == GUESTS_MAX {
            return size_class;
        }
        class.guests += 1;
        size_class.coarse()
    }

    /// Whether the slot that [`pop`](Self::pop) returned last in this class reads as zero.
    pub(crate) fn is_fresh(&self, size_class: SizeClass) -> bool {
        self.classes[size_class.index()].zeros.word()
    }

    /// Frees a live slot. True if the slab's place in its class must be [reviewed](Self::review).
    #[inline(always)]
    pub(crate) fn push(slot: Slot) -> bool {
        debug_assert!(slot.is_live());
        slot.word().set(slot.word().get() ^ slot.bit());
        slot.slab.count_free()
    }

    /// Acts on a slab whose free slots have reached its trigger. Returns the free span that an empty slab became.
    pub(crate) fn review<B>(&mut self, slab: Slab, spans: &mut Spans<B>) -> Option<Span> {
        spans.believe(slab.span());
        if matches!(slab.place(), Place::Full | Place::Spent) {
            self.list_with(slab, slab.relist_at());
            if slab.until_review() > 0 {
                return None;
            }
        }
        // On the way down nothing is kept.
        if self.empty_count < EMPTIES_MAX && !spans.thrift.is_draining() {
            slab.set_place(Place::Empty, 0);
            self.empties[self.empty_count] = Some(slab);
            self.empty_count += 1;
            self.unparked = true;
            return None;
        }
        self.unlist(slab);
        Some(self.give_up(slab, spans))
    }

    /// Makes a slab in which nothing is live, and which is on no list, a free span.
    fn give_up<B>(&mut self, slab: Slab, spans: &mut Spans<B>) -> Span {
        self.classes[slab.size_class().index()].pages -= slab.span().page_count() as u32;
        spans.retire(slab)
    }

    /// Takes over a word with free slots for a class that has none.
    ///
    /// A class sweeps over the words of its current slab that were used before, then opens more slots, so that memory not
    /// touched yet stays so for long. Once all are open it leaves the slab, unless enough has been freed behind the sweep
    /// or there is no other: a word with few free slots does not last.
    pub(crate) fn refill<B: Brk>(&mut self, size_class: SizeClass, spans: &mut Spans<B>) -> Result<(), OutOfMemory> {
        loop {
            let class = &mut self.classes[size_class.index()];
            if let Some(slab) = class.slab {
                if class.sweep(slab) || class.sweep_again(slab) || class.open(slab) {
                    return Ok(());
                }
                class.slab = None;
                self.leave(slab);
            }
            let class = &self.classes[size_class.index()];
            let next = match class.listed {
                Some(slab) => slab,
                None => self.new_slab(size_class, spans)?,
            };
            spans.believe(next.span());
            self.make_current(next);
        }
    }

    fn make_current(&mut self, slab: Slab) {
        match slab.place() {
            Place::Listed => self.unlist(slab),
            Place::Empty => {
                self.unlist(slab);
                self.forget_empty(slab);
            }
            Place::Full | Place::Spent | Place::Current => {}
        }
        slab.set_place(Place::Current, NEVER as usize);
        self.unparked = true;
        let class = &mut self.classes[slab.size_class().index()];
        class.slab = Some(slab);
        class.next = 0;
        class.sweeps = 0;
        class.zeros = Zeros::NOTHING;
    }

    fn new_slab<B: Brk>(&mut self, size_class: SizeClass, spans: &mut Spans<B>) -> Result<Slab, OutOfMemory> {
        let pages = size_class.slab_pages(self.classes[size_class.index()].pages as usize);
        self.look_ahead(spans);
        // A shorter free span comes before a higher break: it would be left over for ever if slabs kept growing. Where
        // memory is short the kernel is asked for as little as will do.
        let wanted = if self.shortage.is_there() { size_class.slab_pages(0) } else { pages };
        // What is left before in-line metadata is used before the heap grows past it.
        let left = spans.pages_before_metadata();
        let wanted = (1..=left.min(wanted)).rev().find(|&pages| size_class.fills(pages)).unwrap_or(wanted);
        let shorter = spans.longest_free(pages).filter(|&pages| size_class.fills(pages)).unwrap_or(wanted);
        let least = size_class.slab_pages_min();
        match self.take_span(shorter, 1, spans).or_else(|_| spans.take_least(least)) {
            Ok(span) => {
                self.classes[size_class.index()].pages += span.page_count() as u32;
                Ok(spans.cut_slab(span, size_class))
            }
            // A full slab with a few free slots is left alone until nothing else is to be had.
            Err(refused) => {
                self.look_at_all(spans);
                self.classes[size_class.index()].listed.ok_or(refused)
            }
        }
    }

    /// Puts a slab that its class has left where its free slots say.
    fn leave(&mut self, slab: Slab) {
        let free = slab.capacity() - slab.live_slots();
        slab.set_place(Place::Full, slab.relist_at());
        if self.shortage.is_there() {
            return self.find_slots_of(slab, free);
        }
        slab.set_place(Place::Full, slab.relist_at() - free);
    }

    /// A used span of `pages` pages at a multiple of `align` bytes. Before the heap grows for it, the slabs in which nothing
    /// is live are taken apart: else each class would in the end keep one that nobody else can use.
    pub(crate) fn take_span<B: Brk>(
        &mut self,
        pages: usize,
        align: usize,
        spans: &mut Spans<B>,
    ) -> Result<Span, OutOfMemory> {
        if let Some(span) = spans.take_free(pages, align) {
            return Ok(span);
        }
        // Not over and over: who comes back to a class soon would only take its slab from another one.
        if spans.thrift.since(self.released_at) > REUSE {
            self.released_at = spans.thrift.now();
            self.release_idle(spans);
        }
        spans.take(pages, align).or_else(|refused| {
            self.release_idle(spans);
            spans.take_free(pages, align).ok_or(refused)
        })
    }

    /// Hands the slabs in which nothing is live back to the spans.
    pub(crate) fn release_idle<B>(&mut self, spans: &mut Spans<B>) {
        while self.empty_count > 0 {
            if let Some(slab) = self.empties[0] {
                spans.believe(slab.span());
                self.unlist(slab);
                self.forget_empty(slab);
                self.give_up(slab, spans);
            }
        }
        for index in 0..CLASSES {
            let class = &mut self.classes[index];
            if let Some(slab) = class.slab.filter(|slab| slab.live_slots() == 0) {
                spans.believe(slab.span());
                class.put_back();
                class.slab = None;
                self.give_up(slab, spans);
            }
        }
    }

    /// Takes every class off its slab, when memory is being returned. A slab with live slots is reviewed then when the last
    /// of them is freed, which a current one is not; those without go back to the spans.
    pub(crate) fn park<B>(&mut self, spans: &mut Spans<B>) {
        if !core::mem::replace(&mut self.unparked, false) {
            return;
        }
        self.release_idle(spans);
        for index in 0..CLASSES {
            let class = &mut self.classes[index];
            if let Some(slab) = class.slab {
                spans.believe(slab.span());
                class.put_back();
                class.slab = None;
                let free = slab.capacity() - slab.live_slots();
                if self.shortage.is_there() {
                    self.find_slots_of(slab, free);
                } else if free < slab.relist_at() {
                    slab.set_place(Place::Full, slab.relist_at() - free);
                } else {
                    self.list_with(slab, free);
                }
            }
        }
    }

    /// Puts a slab with `free` free slots on its class's list.
    pub(crate) fn list_with(&mut self, slab: Slab, free: usize) {
        list::push(&mut self.classes[slab.size_class().index()].listed, slab, 9);
        slab.set_place(Place::Listed, slab.capacity() - free);
    }

    fn unlist(&mut self, slab: Slab) {
        list::remove(&mut self.classes[slab.size_class().index()].listed, slab, 9);
    }

    /// Empty slabs.
    pub(crate) fn empties(&self) -> &[Option<Slab>] {
        &self.empties[..self.empty_count]
    }

    fn forget_empty(&mut self, slab: Slab) {
        if let Some(at) = self.empties().iter().position(|&empty| empty == Some(slab)) {
            self.empty_count -= 1;
            self.empties.swap(at, self.empty_count);
        }
    }
}

const _: () = assert!(PAGE / 16 <= MAX_SLOTS, "a slab of one page fits its bitmap in every class");

mod last_slots;
mod trim;

#[cfg(test)]
mod tests;
