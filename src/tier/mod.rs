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
//! | [`class`], `class/sweep` | one size class: the claimed word; the sweep for the next one, opening fresh slots |
//! | [`refill`] | the next slots of a class, from the slabs that the tier has |
//! | [`slot`] | from an address to a slot and its bit |
//! | [`shelf`], [`empties`] | the places of slabs that are not current: full, listed, empty; and retiring them |
//! | [`length`] | how long a new slab is |
//! | [`units`], [`trim`] | what is known to be zero between live slots, and returning it |
//! | [`others`], [`directory`], [`drain`], [`twice`] | slots that other threads have freed |
//! | [`resize`] | moving a block from slot to slot |
//! | [`shortage`], [`last_slots`] | finding the last free slots where memory is short |
//!
//! What a tier asks of the central part is listed in [`central::slabs`](crate::central::slabs). The central part asks
//! one thing of a tier: to retire what is idle ([`Tier::retire_idle`]), before the heap grows.

pub(crate) mod alone;
pub(crate) mod class;
pub(crate) mod directory;
mod drain;
pub(crate) mod empties;
mod last_slots;
mod length;
pub(crate) mod others;
mod refill;
pub(crate) mod resize;
mod shelf;
pub(crate) mod shortage;
pub(crate) mod slot;
pub(crate) mod trim;
mod twice;
pub(crate) mod units;

use crate::central::slabs::SlabWish;
use crate::central::spans::{OutOfMemory, Spans};
use crate::ground::company::if_threads;
use crate::ground::contents::Unfilled;
use crate::ground::header::{Place, Slab};
use crate::ground::size_class::{CLASSES, MIN_ALIGN, SizeClass};
use crate::kernel::brk::Brk;
use crate::kernel::parts::LIMITS;
use class::{Class, Company, TOUCHED_BYTES};
use core::alloc::Layout;
use core::ptr::NonNull;
use directory::Directory;
use empties::{EMPTIES_FEW, Empties};
use shortage::Shortage;

/// How many slabs a tier takes in advance, and from how many pages of the class on.
const STOCK: usize = EMPTIES_FEW - 1;
const STOCK_FROM: usize = 32;
/// How many requests of a class are served by its host before it gets a slab of its own.
const GUESTS_MAX: u8 = 16;

/// The tier: all slabs, by size class.
#[derive(Debug)]
pub(crate) struct Tier {
    pub(crate) classes: [Class; CLASSES],
    pub(crate) empties: Empties,
    pub(crate) shortage: Shortage,
    /// Its number: 0 is that of the tier which all use in turns, under the lock.
    pub(crate) number: u16,
    /// See [`company`](Self::company).
    pub(crate) others: Company,
    /// All such tiers.
    pub(crate) directory: Option<&'static Directory>,
    /// Slabs in which nothing is live and which are on no list, to be retired at the next visit to the central part: linked
    /// by their right links.
    idle: Option<Slab>,
    /// Whether the heap was draining at the last visit to the central part, so that no empty slab is kept.
    pub(crate) draining: bool,
    /// Whether a class may have a current slab, or a slab may be empty: set since all classes were last
    /// [detached](Self::detach_classes).
    attached: bool,
}

impl Tier {
    pub(crate) const fn new() -> Self {
        Self {
            classes: [const { Class::new() }; CLASSES],
            empties: Empties::new(),
            shortage: Shortage::new(),
            number: 0,
            others: None,
            directory: None,
            idle: None,
            draining: false,
            attached: false,
        }
    }

    /// Makes it a tier without slabs, which others own from now on. What is kept: whose it is, and which classes are worth a
    /// slab.
    pub(crate) fn forget_slabs(&mut self) {
        for class in &mut self.classes {
            class.forget_slabs();
        }
        self.empties = Empties::new();
        (self.idle, self.attached) = (None, false);
        self.shortage = Shortage::new();
    }

    /// What others do to it, if a thread can own it.
    #[inline(always)]
    pub(crate) fn company(&self) -> Company {
        if_threads(self.others)
    }

    /// A slot that the class of `layout` has at hand: nearly every request is served so.
    #[inline(always)]
    pub(crate) fn allocate_common(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        if layout.align() > MIN_ALIGN { None } else { self.pop_of_size(layout.size()) }
    }

    /// The same for a request of `size` bytes of the usual alignment.
    #[inline(always)]
    pub(crate) fn pop_of_size(&mut self, size: usize) -> Option<NonNull<u8>> {
        self.pop(SizeClass::of_size(size)?)
    }

    /// A slot that the class has at hand, if there is one. It is live from now on.
    #[inline(always)]
    pub(crate) fn pop(&mut self, size_class: SizeClass) -> Option<NonNull<u8>> {
        self.classes[size_class.index()].pop()
    }

    /// [`pop`](Self::pop), but any of the slots at hand, as `seed` says.
    #[inline(always)]
    pub(crate) fn pop_any(&mut self, size_class: SizeClass, seed: u64) -> Option<NonNull<u8>> {
        self.classes[size_class.index()].pop_any(seed)
    }

    /// The class of an index, in checked mode: slots are [chosen](Class::choose) there before they are taken.
    #[inline(always)]
    pub(crate) fn class(&mut self, size_class: SizeClass) -> &mut Class {
        &mut self.classes[size_class.index()]
    }

    /// A slot that the class has at hand, whose first `size` bytes are to be filled with zeros.
    #[cfg_attr(feature = "speed", inline(always))]
    pub(crate) fn pop_unfilled(&mut self, size_class: SizeClass, size: usize) -> Option<Unfilled> {
        let payload = self.pop(size_class)?;
        let dirty = if self.is_fresh(size_class) { 0 } else { size };
        // SAFETY: the slot is new, and at least this long.
        Some(unsafe { Unfilled::new(payload, dirty) })
    }

    /// Whether [`pop`](Self::pop) has a slot.
    pub(crate) fn has_slot(&self, size_class: SizeClass) -> bool {
        self.classes[size_class.index()].word != 0
    }

    /// The host: the class that serves a request of `size_class`, which has no slot at hand. A few requests of a class
    /// are not worth a slab, so the first are guests of the [coarse](SizeClass::coarse) class of the same doubling.
    pub(crate) fn host(&mut self, size_class: SizeClass) -> SizeClass {
        let guest = self.is_guest(size_class);
        self.classes[size_class.index()].guests += u8::from(guest);
        if guest { size_class.coarse() } else { size_class }
    }

    /// Whether a request of `size_class`, which has no slot at hand, is a guest. A class whose guests fill half a kernel page of its
    /// host is none any more where the host would touch another page: slots of its own fill that better.
    /// Nine blocks of 544 bytes, as nodes of a tree are, so take two kernel pages, and not three.
    pub(crate) fn is_guest(&self, size_class: SizeClass) -> bool {
        let class = &self.classes[size_class.index()];
        if class.slab.is_some() || class.listed.is_some() || class.guests >= GUESTS_MAX {
            return false;
        }
        let coarse = size_class.coarse();
        let of_page = TOUCHED_BYTES / coarse.slot_size();
        of_page < 2 || usize::from(class.guests) < of_page / 2 || !self.classes[coarse.index()].is_used_up()
    }

    /// The class whose next request without a slot at hand is a sample, if that is the one that serves a request of
    /// `size_class` now.
    pub(crate) fn sampled_class(&self, size_class: SizeClass) -> Option<SizeClass> {
        let host = if self.is_guest(size_class) { size_class.coarse() } else { size_class };
        (self.classes[host.index()].word == 0 && self.is_sample_due(host)).then_some(host)
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
        while !self.claim_more(size_class, false) {
            let next = match self.classes[size_class.index()].listed {
                Some(slab) => slab,
                None => self.new_slab(size_class, spans)?,
            };
            spans.verify_slab(next);
            self.make_current(next);
        }
        Ok(())
    }

    /// Takes some more slabs for a class that grows, so that threads which grow at the same time meet less often in the
    /// central part. They are addresses until they are used, and retired like other empty slabs.
    pub(crate) fn stock<B: Brk>(&mut self, size_class: SizeClass, spans: &mut Spans<B>) {
        let held = self.classes[size_class.index()].pages as usize;
        if held < STOCK_FROM || self.empties.count > 0 || self.draining || self.shortage.is_there() {
            return;
        }
        for _ in 0..STOCK {
            let wish = self.wish(size_class, size_class.slab_pages(held));
            let Ok(slab) = spans.take_slab(&wish, &mut |_| {}) else { return };
            self.classes[size_class.index()].pages += slab.span().page_count() as u32;
            slab.set_place(Place::Full, slab.relist_at());
            self.list_with(slab, slab.capacity());
            self.become_empty(slab);
        }
    }

    fn wish(&self, size_class: SizeClass, pages: usize) -> SlabWish {
        // While memory is short, the kernel is asked for as little as possible.
        let grown = if self.shortage.is_there() { size_class.slab_pages(0) } else { pages };
        let (least, fills) = (size_class.slab_pages_min(), SizeClass::fills);
        SlabWish { size_class, pages, grown, least, fills, owner: self.number }
    }

    /// A slab for a class that has none with free slots: a new one, or if there is no memory for it, a nearly full one
    /// of its own.
    fn new_slab<B: Brk>(&mut self, size_class: SizeClass, spans: &mut Spans<B>) -> Result<Slab, OutOfMemory> {
        let pages = size_class.slab_pages(self.classes[size_class.index()].pages as usize);
        self.look_ahead(spans);
        let wish = self.wish(size_class, pages);
        self.cut_new_slab(&wish, spans).or_else(|refused| {
            if !LIMITS {
                return Err(refused);
            }
            // Full slabs with a few free slots are used only now, when there is nothing else.
            self.look_at_all(spans);
            if let Some(listed) = self.classes[size_class.index()].listed {
                return Ok(listed);
            }
            // What was refused may have been a long slab, because memory was not known to be short.
            let shorter = self.wish(size_class, pages);
            if shorter.grown < wish.grown { self.cut_new_slab(&shorter, spans) } else { Err(refused) }
        })
    }

    /// A new slab, counted.
    fn cut_new_slab<B: Brk>(&mut self, wish: &SlabWish, spans: &mut Spans<B>) -> Result<Slab, OutOfMemory> {
        let slab = spans.take_slab(wish, &mut |spans| self.retire_idle(spans))?;
        self.classes[wish.size_class.index()].pages += slab.span().page_count() as u32;
        self.empties.note_missed(slab);
        Ok(slab)
    }
}

#[cfg(test)]
mod tests;
