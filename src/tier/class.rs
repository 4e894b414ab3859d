//! One size class: the slots that it has claimed and not handed out, which it has **at hand**. How it claims more of its
//! current slab is in [`sweep`].

mod sweep;

use crate::ground::header::{MAX_SLOTS, Place, Slab};
use crate::ground::prefetch::prefetch;
use crate::ground::shared::SharedBits;
use crate::tier::others::Others;
use crate::tier::slot::Slot;
use core::ptr::NonNull;

/// How much fresh memory a class opens at first, in bytes: mostly one kernel page.
pub(crate) const TOUCHED_BYTES: usize = 4096;
/// After so many sweeps over less than a word of slots, more are opened. As long as there are few, a block that comes and goes
/// touches no second kernel page: with 8, a program that counts words touched two pages more, for buffers of 1 KiB.
pub(crate) const SWEEPS_MAX: u8 = 64;

/// A full slab is listed again once this fraction of its slots is free.
pub(crate) const RELIST_FRACTION: usize = 8;
/// More frees than a slab can have between two sweeps.
pub(crate) const NEVER: u16 = u16::MAX;
/// How often a sweep may stop at a word before it claims all free slots there and goes on.
const VISITS_MAX: u8 = 8;
/// The most frees that a slab can have between two sweeps: of each slot that was live at first, and of each claimed
/// since.
pub(crate) const FREES_MAX: u16 = (1 + VISITS_MAX as u16) * MAX_SLOTS as u16;

const _: () = assert!(FREES_MAX < NEVER);

/// What other threads do to the tier's slabs, if there are any.
pub(crate) type Company = Option<&'static Others>;

/// The state of one size class, all that most allocations use: one cache line.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Class {
    /// Free slots that the class has claimed from a word of `slab`'s bitmap and not handed out yet.
    pub(crate) word: u64,
    /// Address of the first slot in `word`: computed and prefetched ahead, so that an allocation need not wait for it.
    /// This saves a pair of calls (`pair`) a cycle.
    pub(crate) next_slot: usize,
    /// Address of the slot that bit 0 of `word` stands for.
    pub(crate) base: usize,
    /// The live bits of the 64 slots of `word`; stale while `word` is 0.
    pub(crate) live: *const SharedBits,
    /// Bytes in a slot.
    pub(crate) slot_size: u32,
    /// The units of the slab that were known to be zero before `word` was claimed.
    claimed_units: u32,
    /// The current slab.
    pub(crate) slab: Option<Slab>,
    /// The word of `slab`'s bitmap at which the sweep continues.
    pub(crate) next: u8,
    /// How often the slab was swept since slots were last opened, up to [`SWEEPS_MAX`].
    pub(crate) sweeps: u8,
    /// Pages in slabs of this class (I12).
    pub(crate) pages: u32,
    /// How many requests were served by the [host](crate::tier::Tier::host) instead.
    pub(crate) guests: u8,
    /// What is known to be zero beyond the slab's units.
    pub(crate) zeros: Zeros,
    /// The first of the listed slabs.
    pub(crate) listed: Option<Slab>,
}

/// A slot at hand that was chosen and not taken yet.
#[derive(Clone, Copy)]
pub(crate) struct Chosen {
    pub(crate) slot: Slot,
    /// Its number in the word.
    number: u32,
    pub(crate) address: usize,
}

/// What is known to be zero in a class's current slab, beyond what the slab's units say; and, in the bits above, how often
/// the sweep has stopped at the present word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Zeros(u8);

impl Zeros {
    pub(crate) const NOTHING: Self = Self(0);
    const WORD: u8 = 1;
    const AHEAD: u8 = 2;
    const VISIT: u8 = 4;

    fn new(word: bool, ahead: bool) -> Self {
        Self(if word { Self::WORD } else { 0 } | if ahead { Self::AHEAD } else { 0 })
    }

    /// How often the sweep stopped at the present word and left slots there, because they read as zero.
    fn visits(self) -> u8 {
        self.0 / Self::VISIT
    }

    fn with_visits(self, visits: u8) -> Self {
        Self(self.0 % Self::VISIT + visits * Self::VISIT)
    }

    /// Whether the slots at hand read as zero.
    pub(crate) fn word(self) -> bool {
        self.0 & Self::WORD != 0
    }

    /// Whether the rest of the unit in which the last opened slot ends reads as zero.
    fn ahead(self) -> bool {
        self.0 & Self::AHEAD != 0
    }
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Class>() == 64 && align_of::<Class>() == 64, "one cache line");

impl Class {
    pub(crate) const fn new() -> Self {
        // All zeros, so that a static heap takes no space in the executable.
        Self {
            word: 0,
            next_slot: 0,
            base: 0,
            live: core::ptr::null(),
            slot_size: 0,
            claimed_units: 0,
            slab: None,
            next: 0,
            sweeps: 0,
            pages: 0,
            guests: 0,
            zeros: Zeros::NOTHING,
            listed: None,
        }
    }

    /// Forgets its slabs, but not whether it is worth one.
    #[inline(never)]
    pub(crate) fn forget_slabs(&mut self) {
        *self = Self { guests: self.guests, ..Self::new() };
    }

    /// Whether none of the slots that were opened in its current slab is free, and it has no other slab.
    pub(crate) fn is_used_up(&self) -> bool {
        self.word == 0 && self.listed.is_none() && self.slab.is_some_and(|slab| slab.next_free(0).is_none())
    }

    /// Makes a slab, which is on no list, the current one.
    #[inline]
    pub(super) fn begin(&mut self, slab: Slab) {
        slab.set_place(Place::Current, NEVER as usize);
        self.slab = Some(slab);
        (self.next, self.sweeps, self.zeros) = (0, 0, Zeros::NOTHING);
    }

    /// A slot that was at hand, if there is one. It is live from now on.
    #[cfg_attr(feature = "speed", inline(always))]
    #[cfg_attr(not(feature = "speed"), inline(never))]
    pub(crate) fn pop(&mut self) -> Option<NonNull<u8>> {
        if self.word == 0 {
            return None;
        }
        // SAFETY: I8: there are slots left, so this is a word of the current slab's header.
        let live = unsafe { &*self.live };
        let rest = self.word & (self.word - 1);
        live.set(live.get() | (self.word ^ rest));
        let address = self.next_slot;
        self.word = rest;
        self.next_slot = self.first_slot(rest);
        // So that the first write to it does not wait: without this, `fifo` and `rand` of the comparison took a third longer;
        // `pair`, whose slots are always in the cache, is no slower with it.
        prefetch(self.next_slot);
        // SAFETY: a slot lies in a page of the heap, which is not the null page.
        Some(unsafe { NonNull::new_unchecked(core::ptr::with_exposed_provenance_mut(address)) })
    }

    /// The number, in the word, of one of the slots at hand: it depends on `seed` and on which there are.
    #[inline(always)]
    fn any(&self, seed: u64) -> u32 {
        let from = ((self.word ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as u32;
        (self.word.rotate_right(from).trailing_zeros() + from) % u64::BITS
    }

    /// Any of the slots at hand, as `seed` says, to be [taken](Self::take_chosen).
    #[inline(always)]
    pub(crate) fn choose(&self, seed: u64) -> Option<Chosen> {
        if self.word == 0 {
            return None;
        }
        let (slab, number) = (self.slab?, self.any(seed));
        let word = (self.live.addr() - slab.live().as_ptr().addr()) / size_of::<SharedBits>();
        let address = self.base + number as usize * self.slot_size as usize;
        Some(Chosen { slot: Slot::new(slab, word * 64 + number as usize), number, address })
    }

    /// Takes a slot that was just chosen, and fetches the next.
    #[inline(always)]
    pub(crate) fn take_chosen(&mut self, chosen: Chosen, seed: u64) {
        self.take_number(chosen.number);
        // All of it is going to be read.
        let next = self.base + self.any(seed) as usize * self.slot_size as usize;
        prefetch(next);
        prefetch(next + 64);
    }

    /// [`pop`](Self::pop), but any of the slots at hand.
    #[inline]
    pub(crate) fn pop_any(&mut self, seed: u64) -> Option<NonNull<u8>> {
        if self.word == 0 {
            return None;
        }
        let number = self.any(seed);
        self.take_number(number);
        NonNull::new(core::ptr::with_exposed_provenance_mut(self.base + number as usize * self.slot_size as usize))
    }

    /// Takes the slot with a number in the word, which is there.
    #[inline(always)]
    fn take_number(&mut self, number: u32) {
        // SAFETY: I8: there are slots left, so this is a word of the current slab's header.
        let live = unsafe { &*self.live };
        live.set(live.get() | 1 << number);
        self.word &= !(1 << number);
        self.next_slot = self.first_slot(self.word);
        // Slots handed out need not lie below the next one any more, so an `unclaim` cannot tell what still reads as zero (I14).
        self.claimed_units = 0;
    }

    /// Address of the first slot in `word`. If there is none, some address that is not used.
    #[inline(always)]
    fn first_slot(&self, word: u64) -> usize {
        // In 32 bits, which are enough: so the multiplication reads the size itself.
        self.base + (first_bit(word) as u32).wrapping_mul(self.slot_size) as usize
    }
}

/// The number of the lowest bit that is set, below 64; if there is none, any number below 65.
#[inline(always)]
fn first_bit(word: u64) -> usize {
    #[cfg(all(target_arch = "x86_64", target_pointer_width = "64", not(miri)))]
    {
        let bit: u64;
        // SAFETY: no memory. Processors that do not know `tzcnt` run it as `bsf`, which leaves the register as it is, so 0, if
        // there is none. The compiler would have to test for that; three instructions less in each allocation.
        unsafe { core::arch::asm!("tzcnt {bit}, {bit}", bit = inout(reg) word => bit, options(pure, nomem, nostack)) };
        bit as usize
    }
    // With the last bit set, no test for zero is needed.
    #[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64", not(miri))))]
    ((word | 1 << 63).trailing_zeros() as usize)
}
