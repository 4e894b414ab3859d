//! How a class claims slots of its current slab: the next word with free slots among the opened ones, the same from the start
//! again, or slots that were never opened.

use super::{Class, Company, NEVER, RELIST_FRACTION, SWEEPS_MAX, TOUCHED_BYTES, VISITS_MAX, Zeros};
use crate::ground::header::Slab;
use crate::ground::sampling::Sampling;
use crate::kernel::parts::RETURNS;
use crate::tier::others::Others;
use crate::tier::units::{slots_of_word, unused};

impl Class {
    /// Claims the next word of the current slab with free slots among the opened ones, from the start again if that pays.
    ///
    /// No answer where this would not be short: where opened slots have no kernel memory, or another thread frees them.
    /// Inlined, because a class comes here after every dozen slots in a heap with many live blocks.
    #[inline(always)]
    pub(crate) fn sweep_shortly(&mut self, others: Company) -> Option<bool> {
        let slab = self.slab.filter(|slab| is_plain(*slab, others))?;
        Some(self.sweep_plain(slab, None))
    }

    /// Claims a word of a [plain](is_plain) slab, unless that was `swept` in vain, or of any other, or opens slots.
    #[cfg_attr(feature = "speed", inline)]
    #[cfg_attr(not(feature = "speed"), inline(never))]
    pub(crate) fn claim_more(&mut self, slab: Slab, others: Company, swept: bool) -> bool {
        let swept = if is_plain(slab, others) {
            !swept && self.sweep_plain(slab, None)
        } else {
            self.sweep(slab, others) || (self.begin_again(slab) && self.sweep(slab, others))
        };
        swept || (slab.opened() < slab.capacity() && self.open(slab, others))
    }

    /// Claims a word of a slab none of whose opened slots lies in a unit that is known to be zero, and in which no other thread frees
    /// slots; from the start again if that pays, and if requests are sampled, up to the next sample.
    #[inline(always)]
    pub(crate) fn sweep_plain(&mut self, slab: Slab, sampling: Option<&Sampling>) -> bool {
        self.sweep_words(slab, sampling) || (self.begin_again(slab) && self.sweep_words(slab, sampling))
    }

    /// Claims the next word with free slots among the opened ones of such a slab.
    #[inline(always)]
    fn sweep_words(&mut self, slab: Slab, sampling: Option<&Sampling>) -> bool {
        let Some((index, free)) = slab.next_free(self.next as usize) else { return false };
        let cut = match sampling {
            Some(sampling) => sampling.cut(slab.size_class().index(), slab.slot_size(), free),
            None => free,
        };
        self.take_over(slab, index, cut);
        if cut != free {
            // The next sweep finds the rest of the word.
            self.next = index as u8;
        }
        self.zeros = Zeros::new(false, self.zeros.ahead());
        true
    }

    /// Claims the next word with free slots among the opened ones, if there is one.
    fn sweep(&mut self, slab: Slab, others: Company) -> bool {
        let Some((index, free)) = slab.next_free(self.next as usize) else { return false };
        if slab.zero_units() == 0 {
            self.claim(slab, index, free, others);
            self.zeros = Zeros::new(false, self.zeros.ahead());
        } else {
            self.claim_some(slab, index, free, others);
        }
        true
    }

    /// Has the sweep begin again, if that pays: if many slots were freed since it began, or there is no other slab. A slab with
    /// less than a word of opened slots is swept often, so after some sweeps more are opened instead.
    #[cfg_attr(feature = "speed", inline)]
    #[cfg_attr(not(feature = "speed"), inline(never))]
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

    /// Opens slots that were never handed out, of which there are some: in fresh memory first as many as one kernel page
    /// holds, then as many as are open already, up to whole words.
    #[inline(never)]
    fn open(&mut self, slab: Slab, others: Company) -> bool {
        let (opened, capacity) = (slab.opened(), slab.capacity());
        let zero = slab.zero_units_ahead(self.zeros.ahead());
        let is_zero = |from, to| RETURNS && slab.units_of_slots(from, to) & !zero == 0;
        // Where it is not known what is fresh, all memory may be.
        let more = if !RETURNS || is_zero(opened, opened + 1) {
            (TOUCHED_BYTES / slab.slot_size()).max(opened).max(1)
        } else {
            64
        };
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

    /// Claims the free slots `wanted` of a word, and those that others have freed, up to the next sample. Whether others had freed
    /// none.
    #[inline(always)]
    fn claim(&mut self, slab: Slab, index: usize, wanted: u64, others: Company) -> bool {
        let Some(others) = others.filter(|others| !others.is_plain()) else {
            let units = slab.use_units(index, wanted);
            self.take_over(slab, index, wanted);
            self.claimed_units = units;
            return true;
        };
        let free = if others.is_shared() { others.take_word(slab, index, wanted) } else { wanted };
        let cut = others.sampling.cut(slab.size_class().index(), slab.slot_size(), free);
        let units = slab.use_units(index, cut);
        self.take_over(slab, index, cut);
        self.claimed_units = units;
        if cut != free {
            // The next sweep finds the rest of the word.
            self.next = index as u8;
        }
        free == wanted
    }

    /// Takes free slots of a word, in which nothing was known to be zero.
    #[cfg_attr(feature = "speed", inline(always))]
    #[cfg_attr(not(feature = "speed"), inline(never))]
    fn take_over(&mut self, slab: Slab, index: usize, free: u64) {
        self.claimed_units = 0;
        self.word = free;
        self.live = &raw const slab.live()[index];
        self.slot_size = slab.slot_size() as u32;
        self.base = slab.start() + index * 64 * self.slot_size as usize;
        self.next_slot = self.first_slot(free);
        self.next = index as u8 + 1;
    }

    /// The units of a slab that read as zero again once [unclaimed](Self::unclaim). Also asked of a tier whose owner was killed.
    pub(crate) fn claimed_and_clean(&self, slab: Slab) -> u32 {
        let claimed = self.slab == Some(slab) && self.word != 0;
        if claimed { unused(self.claimed_units, self.next_slot.wrapping_sub(slab.start())) } else { 0 }
    }

    /// Reverses the claim of the slots at hand. The next refill sweeps the slab from the start.
    pub(crate) fn unclaim(&mut self) {
        let Some(slab) = self.slab else { return };
        if RETURNS && self.word != 0 {
            // All slots handed out since the claim lie below.
            slab.unuse_units(self.claimed_units, self.next_slot - slab.start());
        }
        self.word = 0;
        self.next = 0;
        self.zeros = Zeros::new(false, self.zeros.ahead());
        slab.set_until_review(NEVER as usize);
    }
}

/// Whether all opened slots of a slab have kernel memory, no other thread frees its slots, and no requests are sampled.
#[inline(always)]
fn is_plain(slab: Slab, others: Company) -> bool {
    // In this order: what is read of the header need not be read again.
    others.is_none_or(Others::is_plain) && slab.is_dirty_where_opened()
}
