//! One size class: the slots that it has claimed and not handed out, which it has **at hand**, and how it claims more
//! of its current slab.

use crate::ground::header::{MAX_SLOTS, Slab};
use crate::ground::prefetch::prefetch;
use crate::ground::shared::SharedBits;
use crate::tier::others::Others;
use crate::tier::units::slots_of_word;
use core::ptr::NonNull;

/// How much fresh memory a class opens at first, in bytes: mostly one kernel page.
pub(crate) const TOUCHED_BYTES: usize = 4096;
/// After so many sweeps over less than a word of slots, more are opened.
pub(crate) const SWEEPS_MAX: u8 = 8;

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

    /// A slot that was at hand, if there is one. It is live from now on.
    #[inline(always)]
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

    /// Address of the first slot in `word`. If there is none, some address that is not used.
    #[inline(always)]
    fn first_slot(&self, word: u64) -> usize {
        self.base + first_bit(word) * self.slot_size as usize
    }

    /// Claims the next word of the current slab with free slots among the opened ones, from the start again if that pays.
    ///
    /// Only where this is short: all of the slab has kernel memory, and no other thread frees its slots. Inlined, because a
    /// class comes here after every dozen slots in a heap with many live blocks.
    #[inline(always)]
    pub(crate) fn sweep_shortly(&mut self, others: Company) -> bool {
        let Some(slab) = self.slab.filter(|slab| is_plain(*slab, others)) else { return false };
        self.sweep_plain(slab)
    }

    /// Claims a word of a [plain](is_plain) slab, or of any other, or opens slots.
    #[inline]
    pub(crate) fn claim_more(&mut self, slab: Slab, others: Company) -> bool {
        let swept = if is_plain(slab, others) {
            self.sweep_plain(slab)
        } else {
            self.sweep(slab, others) || (self.begin_again(slab) && self.sweep(slab, others))
        };
        swept || self.open(slab, others)
    }

    #[inline(always)]
    fn sweep_plain(&mut self, slab: Slab) -> bool {
        self.sweep_words(slab) || (self.begin_again(slab) && self.sweep_words(slab))
    }

    /// Claims the next word with free slots among the opened ones, of a slab without zero units in which no other thread
    /// frees slots.
    #[inline(always)]
    fn sweep_words(&mut self, slab: Slab) -> bool {
        for index in self.next as usize..slab.opened().div_ceil(64) {
            let free = slab.free_slots(index);
            if free != 0 {
                self.take_over(slab, index, free);
                self.zeros = Zeros::new(false, self.zeros.ahead());
                return true;
            }
        }
        false
    }

    /// Claims the next word with free slots among the opened ones, if there is one.
    fn sweep(&mut self, slab: Slab, others: Company) -> bool {
        for index in self.next as usize..slab.opened().div_ceil(64) {
            let free = slab.free_slots(index);
            if free != 0 {
                if slab.zero_units() == 0 {
                    self.claim(slab, index, free, others);
                    self.zeros = Zeros::new(false, self.zeros.ahead());
                } else {
                    self.claim_some(slab, index, free, others);
                }
                return true;
            }
        }
        false
    }

    /// Has the sweep begin again, if that pays: if many slots were freed since it began, or there is no other slab. A slab with
    /// less than a word of opened slots is swept often, so after some sweeps more are opened instead.
    #[inline]
    fn begin_again(&mut self, slab: Slab) -> bool {
        let (opened, capacity) = (slab.opened(), slab.capacity());
        let freed = NEVER as usize - slab.until_review();
        let enough = freed >= (opened / RELIST_FRACTION).max(1) || (opened == capacity && self.listed.is_none());
        if !enough || (self.sweeps == SWEEPS_MAX && opened < capacity.min(64)) {
            return false;
        }
        self.next = 0;
        self.sweeps = (self.sweeps + 1).min(SWEEPS_MAX);
        slab.set_until_review(NEVER as usize);
        true
    }

    /// Opens slots that were never handed out, if there are any: in fresh memory first as many as one kernel page
    /// holds, then as many as are open already, up to whole words.
    fn open(&mut self, slab: Slab, others: Company) -> bool {
        let (opened, capacity) = (slab.opened(), slab.capacity());
        if opened == capacity {
            return false;
        }
        let zero = slab.zero_units_ahead(self.zeros.ahead());
        let is_zero = |from, to| slab.units_of_slots(from, to) & !zero == 0;
        let more = if is_zero(opened, opened + 1) { (TOUCHED_BYTES / slab.slot_size()).max(opened).max(1) } else { 64 };
        let index = opened / 64;
        let open = (opened + more).min(capacity).min((index + 1) * 64);
        slab.open(open);
        self.sweeps = 0;
        let (fresh, ahead) = (is_zero(opened, open), is_zero(open - 1, open));
        let more = slots_of_word(open, index) & !slots_of_word(opened, index);
        let fresh = self.claim(slab, index, more, others) && fresh;
        self.zeros = Zeros::new(fresh, ahead);
        true
    }

    /// Claims the free slots of a word that have kernel memory; the others at the next visits.
    #[inline(never)]
    fn claim_some(&mut self, slab: Slab, index: usize, free: u64, others: Company) {
        let (some, fresh) = slab.prefer(index, free);
        let visits = self.zeros.visits() + 1;
        let all = some == free || visits == VISITS_MAX;
        let wanted = if all { free } else { some };
        let fresh = self.claim(slab, index, wanted, others) && fresh;
        self.zeros = Zeros::new(fresh, self.zeros.ahead());
        if !all {
            self.next = index as u8;
            self.zeros = self.zeros.with_visits(visits);
        }
    }

    /// Claims the free slots `free` of a word, and those that others have freed. Whether there were none of these.
    #[inline(always)]
    fn claim(&mut self, slab: Slab, index: usize, wanted: u64, others: Company) -> bool {
        let free = match others.filter(|others| others.is_shared()) {
            Some(others) => others.take_word(slab, index, wanted),
            None => wanted,
        };
        let units = slab.use_units(index, free);
        self.take_over(slab, index, free);
        self.claimed_units = units;
        free == wanted
    }

    /// Takes free slots of a word, in which nothing was known to be zero.
    #[inline(always)]
    fn take_over(&mut self, slab: Slab, index: usize, free: u64) {
        self.claimed_units = 0;
        self.word = free;
        self.live = &raw const slab.live()[index];
        self.slot_size = slab.slot_size() as u32;
        self.base = slab.start() + index * 64 * self.slot_size as usize;
        self.next_slot = self.first_slot(free);
        self.next = index as u8 + 1;
    }

    /// Reverses the claim of the slots at hand. The next refill sweeps the slab from the start.
    pub(crate) fn unclaim(&mut self) {
        let Some(slab) = self.slab else { return };
        if self.word != 0 {
            // All slots handed out since the claim lie below.
            slab.unuse_units(self.claimed_units, self.next_slot - slab.start());
        }
        self.word = 0;
        self.next = 0;
        self.zeros = Zeros::new(false, self.zeros.ahead());
        slab.set_until_review(NEVER as usize);
    }
}

/// Whether all of a slab has kernel memory, and no other thread frees its slots.
#[inline(always)]
fn is_plain(slab: Slab, others: Company) -> bool {
    slab.zero_units() == 0 && !others.is_some_and(Others::is_shared)
}

/// The number of the lowest bit that is set, below 64; if there is none, any number below 65.
#[inline(always)]
fn first_bit(word: u64) -> usize {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        let mut bit = 0_usize;
        // SAFETY: no memory. Processors that do not know `tzcnt` run it as `bsf`, which leaves `bit` as it is if there is none.
        // The compiler would have to test for that; two instructions less in each allocation.
        unsafe {
            core::arch::asm!("tzcnt {bit}, {word}", bit = inout(reg) bit, word = in(reg) word,
                options(pure, nomem, nostack));
        }
        bit
    }
    // With the last bit set, no test for zero is needed.
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    ((word | 1 << 63).trailing_zeros() as usize)
}
