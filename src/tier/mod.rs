//! The tier: what serves small requests, from slabs, which are spans cut into equal slots.
//!
//! Each size class claims one word of a slab's bitmap at a time, as a set of free slots, and hands them out. The slab's own
//! bitmap says which slots are live: an allocation sets a bit, a free clears it, and no link or mark is ever written into
//! a payload.
//!
//! ```text
//! size class                   slab's header                                   slab
//! +--------------------+       live[0]  1 1 0 1 1 1 ...                        +------+------+------+---+------+--+
//! | word  0 0 1 1 0 1  | <---- live[1]  1 1 0 0 1 0 ...  claimed         ----> | slot | slot | slot |...| slot |  |
//! | base, listed slabs |       live[2]  0 0 0 0 0 0 ...  not opened yet        +------+------+------+---+------+--+
//! +--------------------+                                                       64 slots a word          tail, unused
//! ```
//!
//! A slot that was freed since its word was claimed is in neither: the class finds it at its next sweep.
//!
//! | file | what it does |
//! |---|---|
//! | [`class`] | one size class: the claimed word, the sweep for the next one, opening fresh slots |
//! | [`slot`] | from an address to a slot and its bit |
//! | [`shelf`] | where slabs stand between a class's visits: full, listed, empty; and giving them up |
//! | [`length`] | how long a new slab is |
//! | [`units`], [`trim`] | what is known to be zero between live slots, and returning it |
//! | [`shortage`], [`last_slots`] | finding the last free slots where memory is short |
//!
//! A tier asks three things of the central part (`central/slabs.rs`): a slab, to take one back, and to walk over its slabs.
//! The central part asks one thing of a tier: to retire what is idle ([`Tier::retire_idle`]), before the heap grows.

pub(crate) mod class;
mod last_slots;
mod length;
mod shelf;
pub(crate) mod shortage;
pub(crate) mod slot;
mod trim;
mod units;

use crate::central::slabs::SlabWish;
use crate::central::spans::{OutOfMemory, Spans};
use crate::ground::header::{Place, Slab};
use crate::ground::size_class::{CLASSES, SizeClass};
use crate::kernel::brk::Brk;
use class::{Class, NEVER, Zeros};
use core::ptr::NonNull;
use shortage::Shortage;

/// Empty slabs kept for their classes.
const EMPTIES_MAX: usize = 4;
/// Requests of a class that are served elsewhere before it gets a slab of its own.
const GUESTS_MAX: u8 = 16;

/// What serves small requests: the slabs in use, by size class.
#[derive(Debug)]
pub(crate) struct Tier {
    pub(crate) classes: [Class; CLASSES],
    /// The first `empty_count` are the empty slabs.
    pub(crate) empties: [Option<Slab>; EMPTIES_MAX],
    pub(crate) empty_count: usize,
    pub(crate) shortage: Shortage,
    /// Whether some class may have a current slab, or some slab is empty, since all were [detached](Self::detach_classes).
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

    /// A slot from the word that the class has claimed. It is live then.
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

    /// Claims a word with free slots for a class that has none.
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
            spans.verify(next.span());
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
        self.attached = true;
        let class = &mut self.classes[slab.size_class().index()];
        class.slab = Some(slab);
        class.next = 0;
        class.sweeps = 0;
        class.zeros = Zeros::NOTHING;
    }

    /// A slab for a class that has none with free slots: a new one, or if there is no memory for that, one of its own that is
    /// nearly full.
    fn new_slab<B: Brk>(&mut self, size_class: SizeClass, spans: &mut Spans<B>) -> Result<Slab, OutOfMemory> {
        let pages = size_class.slab_pages(self.classes[size_class.index()].pages as usize);
        self.look_ahead(spans);
        // Where memory is short the kernel is asked for as little as will do.
        let grown = if self.shortage.is_there() { size_class.slab_pages(0) } else { pages };
        let wish = SlabWish { size_class, pages, grown, least: size_class.slab_pages_min(), fills: SizeClass::fills };
        match spans.take_slab(&wish, |spans| self.retire_idle(spans)) {
            Ok(slab) => {
                self.classes[size_class.index()].pages += slab.span().page_count() as u32;
                Ok(slab)
            }
            // A full slab with a few free slots is left alone until nothing else is to be had.
            Err(refused) => {
                self.look_at_all(spans);
                self.classes[size_class.index()].listed.ok_or(refused)
            }
        }
    }
}

#[cfg(test)]
mod tests;
