//! The tier: serves small requests from slabs, which are spans cut into equal slots.
//!
//! Each size class claims the free slots of one word of a slab's bitmap at a time, and hands them out. The slab's own
//! bitmap says which slots are live: an allocation sets a bit, a free clears it, and no link or mark is ever written
//! into a payload.
//!
//! ```text
//! size class                   slab's header                                   slab
//! +--------------------+       live[0]  1 1 0 1 1 1 ...                        +------+------+------+---+------+--+
//! | word  0 0 1 1 0 1  | <---- live[1]  1 1 0 0 1 0 ...  claimed         ----> | slot | slot | slot |...| slot |  |
//! | base, listed slabs |       live[2]  0 0 0 0 0 0 ...  not opened yet        +------+------+------+---+------+--+
//! +--------------------+                                                       64 slots a word          tail, unused
//! ```
//!
//! A slot that was freed since its word was claimed is neither claimed nor live: the class finds it at its next sweep.
//!
//! | file | what it does |
//! |---|---|
//! | [`class`] | one size class: the claimed word, the sweep for the next one, opening fresh slots |
//! | [`slot`] | from an address to a slot and its bit |
//! | [`shelf`] | the places of slabs that are not current: full, listed, empty; and retiring them |
//! | [`length`] | how long a new slab is |
//! | [`units`], [`trim`] | what is known to be zero between live slots, and returning it |
//! | [`shortage`], [`last_slots`] | finding the last free slots where memory is short |
//!
//! What a tier asks of the central part is listed in [`central::slabs`](crate::central::slabs). The central part asks
//! one thing of a tier: to retire what is idle ([`Tier::retire_idle`]), before the heap grows.

pub(crate) mod class;
mod last_slots;
mod length;
mod shelf;
pub(crate) mod shortage;
pub(crate) mod slot;
mod trim;
pub(crate) mod units;

use crate::central::slabs::SlabWish;
use crate::central::spans::{OutOfMemory, Spans};
use crate::ground::header::{Place, Slab};
use crate::ground::size_class::{CLASSES, SizeClass};
use crate::kernel::brk::Brk;
use class::{Class, NEVER, Zeros};
use core::ptr::NonNull;
use shortage::Shortage;

/// The most empty slabs that are kept for their classes.
const EMPTIES_MAX: usize = 4;
/// How many requests of a class are served by its host before it gets a slab of its own.
const GUESTS_MAX: u8 = 16;

/// The tier: all slabs, by size class.
#[derive(Debug)]
pub(crate) struct Tier {
    pub(crate) classes: [Class; CLASSES],
    /// The first `empty_count` are the empty slabs (I10).
    pub(crate) empties: [Option<Slab>; EMPTIES_MAX],
    pub(crate) empty_count: usize,
    pub(crate) shortage: Shortage,
    /// Whether a class may have a current slab, or a slab may be empty: set since all classes were last
    /// [detached](Self::detach_classes).
    attached: bool,
}

impl Tier {
    pub(crate) const fn new() -> Self {
        Self {
            classes: [const { Class::new() }; CLASSES],
            empties: [None; EMPTIES_MAX],
            empty_count: 0,
            shortage: Shortage::new(),
            attached: false,
        }
    }

    /// A slot that the class has at hand, if there is one. It is live from now on.
    #[inline(always)]
    pub(crate) fn pop(&mut self, size_class: SizeClass) -> Option<NonNull<u8>> {
        self.classes[size_class.index()].pop()
    }

    /// Whether [`pop`](Self::pop) has a slot.
    pub(crate) fn has_slot(&self, size_class: SizeClass) -> bool {
        self.classes[size_class.index()].word != 0
    }

    /// The host: the class that serves a request of `size_class`, which has no slot at hand. A few requests of a class
    /// are not worth a slab, so the first are guests of the [coarse](SizeClass::coarse) class of the same doubling.
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

    /// Claims a word with free slots for a class that has none.
    ///
    /// A class first sweeps over the words of its current slab that are open, and then opens more slots, so that
    /// untouched memory stays untouched as long as possible. Once all slots are open it leaves the slab, because words
    /// with few free slots are soon used up; unless enough slots were freed since the sweep began, or there is no other
    /// slab.
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
            spans.verify_slab(next);
            self.make_current(next);
        }
    }

    /// Makes a slab, which may be listed, the current one of its class.
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
        self.attached = true;
        let class = &mut self.classes[slab.size_class().index()];
        class.slab = Some(slab);
        class.next = 0;
        class.sweeps = 0;
        class.zeros = Zeros::NOTHING;
    }

    /// A slab for a class that has none with free slots: a new one, or if there is no memory for it, a nearly full one
    /// of its own.
    fn new_slab<B: Brk>(&mut self, size_class: SizeClass, spans: &mut Spans<B>) -> Result<Slab, OutOfMemory> {
        let pages = size_class.slab_pages(self.classes[size_class.index()].pages as usize);
        self.look_ahead(spans);
        // While memory is short, the kernel is asked for as little as possible.
        let grown = if self.shortage.is_there() { size_class.slab_pages(0) } else { pages };
        let wish = SlabWish { size_class, pages, grown, least: size_class.slab_pages_min(), fills: SizeClass::fills };
        match spans.take_slab(&wish, |spans| self.retire_idle(spans)) {
            Ok(slab) => {
                self.classes[size_class.index()].pages += slab.span().page_count() as u32;
                Ok(slab)
            }
            // Full slabs with a few free slots are used only now, when there is nothing else.
            Err(refused) => {
                self.look_at_all(spans);
                self.classes[size_class.index()].listed.ok_or(refused)
            }
        }
    }
}

#[cfg(test)]
mod tests;
