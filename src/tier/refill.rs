//! The next slots of a class, from the slabs that the tier has: the central part is not asked.

use super::Tier;
use super::shelf::relist_at;
use crate::ground::header::{Place, Slab};
use crate::ground::list;
use crate::ground::page_map::Lookup;
use crate::ground::sampling::Sampling;
use crate::ground::size_class::SizeClass;
use crate::kernel::parts::SPEED;
use crate::tier::others::Others;
use core::ptr::NonNull;

impl Tier {
    /// Makes sure, without the central part, that a class has a slot at hand that serves requests of `size_class`, and returns
    /// that class; or nothing.
    #[inline]
    pub(crate) fn find_alone(&mut self, size_class: SizeClass, lookup: &Lookup) -> Option<SizeClass> {
        if self.has_slot(size_class) || (SPEED && self.find_next(size_class, lookup)) {
            return Some(size_class);
        }
        self.find_alone_slow(size_class, lookup)
    }

    /// A slot of the next word of a class that has none at hand, where that is had shortly.
    #[inline(always)]
    pub(crate) fn pop_next(&mut self, size_class: SizeClass, lookup: &Lookup) -> Option<NonNull<u8>> {
        if self.claim_next(size_class, lookup) { self.pop(size_class) } else { None }
    }

    /// [`claim_next`](Self::claim_next), not inlined: most callers copy or clear a block.
    #[inline(never)]
    fn find_next(&mut self, size_class: SizeClass, lookup: &Lookup) -> bool {
        self.claim_next(size_class, lookup)
    }

    /// Claims the next word of the class's current slab, or one of the next slab, where that takes few steps.
    #[inline(always)]
    fn claim_next(&mut self, size_class: SizeClass, lookup: &Lookup) -> bool {
        let others = self.company();
        match self.classes[size_class.index()].sweep_shortly(others) {
            Some(false) => SPEED && self.change_slab(size_class, lookup, None),
            found => found == Some(true),
        }
    }

    /// A slot where [`pop_next`](Self::pop_next) had none, without the central part.
    #[inline(never)]
    pub(crate) fn pop_alone(&mut self, size_class: SizeClass, lookup: &Lookup) -> Option<NonNull<u8>> {
        if self.company().is_some_and(Others::is_sampled)
            && let Some(answer) = self.pop_sampled(size_class, lookup)
        {
            return answer;
        }
        let class = self.find_alone_slow(size_class, lookup)?;
        self.pop(class)
    }

    /// [`find_alone`](Self::find_alone) for a class without a slot, for which [`claim_next`](Self::claim_next) has found no word:
    /// its slab, if that is plain, has just been swept in vain, also if it was changed.
    #[inline(never)]
    fn find_alone_slow(&mut self, size_class: SizeClass, lookup: &Lookup) -> Option<SizeClass> {
        let guest = self.is_guest(size_class);
        let host = if guest { size_class.coarse() } else { size_class };
        if self.is_sample_due(host) {
            return None;
        }
        let found = self.has_slot(host) || self.refill_alone(host, lookup, SPEED && !guest);
        self.classes[size_class.index()].guests += u8::from(found && guest);
        found.then_some(host)
    }

    /// [`pop_next`](Self::pop_next) while requests are sampled: a slot of the next word, or none if the request is a sample. No
    /// answer where the current slab has none, or that takes more steps.
    #[inline(never)]
    fn pop_sampled(&mut self, size_class: SizeClass, lookup: &Lookup) -> Option<Option<NonNull<u8>>> {
        let others = self.company()?;
        let class = &mut self.classes[size_class.index()];
        let slab = class.slab.filter(|slab| slab.is_dirty_where_opened() && !others.is_shared())?;
        if others.sampling.is_due(size_class.index()) {
            return Some(None);
        }
        let claimed = class.sweep_plain(slab, Some(&others.sampling))
            || (SPEED && self.change_slab(size_class, lookup, Some(&others.sampling)));
        claimed.then(|| self.pop(size_class))
    }

    /// Whether the next request of a class that has no slot at hand is a sample: that is the central part's.
    #[inline]
    pub(crate) fn is_sample_due(&self, host: SizeClass) -> bool {
        self.company().is_some_and(|others| others.sampling.is_due(host.index()))
    }

    /// Has a class leave its slab, which was just swept in vain, for the first listed one, and claims a word there; where that
    /// takes few steps, as it mostly does. The caller knows that no other thread has freed slots of the tier. In a heap with many live
    /// blocks a class comes here after every twenty slots.
    #[inline(always)]
    fn change_slab(&mut self, size_class: SizeClass, lookup: &Lookup, sampling: Option<&Sampling>) -> bool {
        let is_short = self.shortage.is_there();
        let class = &mut self.classes[size_class.index()];
        let (Some(old), Some(new)) = (class.slab, class.listed) else { return false };
        let is_simple = new.is_dirty_where_opened() && new.place() == Place::Listed && !is_short;
        let capacity = old.capacity();
        if !is_simple || old.opened() < capacity || !lookup.is_own_record(new.span()) {
            return false;
        }
        let (free, relist_at) = (old.free_after_sweep(), relist_at(Place::Full, capacity));
        if free >= relist_at {
            return false;
        }
        old.set_place(Place::Full, relist_at - free);
        list::pop(&mut class.listed, new, 9);
        class.begin(new);
        self.attached = true;
        class.sweep_plain(new, sampling)
    }

    /// [`refill`](Self::refill) from the slabs that the tier has, without the central part. Whether that was possible.
    #[inline]
    pub(crate) fn refill_alone(&mut self, size_class: SizeClass, lookup: &Lookup, swept: bool) -> bool {
        if self.claim_more(size_class, swept) {
            return true;
        }
        // Only now: the longer others have freed in a slab, the less often they have to tell.
        if self.classes[size_class.index()].listed.is_none() {
            self.drain_for(size_class, lookup);
        }
        while let Some(next) = self.classes[size_class.index()].listed {
            if !lookup.is_own_record(next.span()) {
                return false;
            }
            self.make_current(next);
            if self.claim_more(size_class, false) {
                return true;
            }
        }
        false
    }

    /// Claims a word of the class's current slab. If that has none, the class leaves the slab. `swept` says that the slab, if it is
    /// plain, has just been swept in vain.
    #[inline]
    pub(super) fn claim_more(&mut self, size_class: SizeClass, swept: bool) -> bool {
        let others = self.company();
        let class = &mut self.classes[size_class.index()];
        let Some(slab) = class.slab else { return false };
        if class.claim_more(slab, others, swept) {
            return true;
        }
        class.slab = None;
        self.leave(slab);
        false
    }

    /// Makes a slab, which may be the first that is listed, the current one of its class.
    #[inline]
    pub(super) fn make_current(&mut self, slab: Slab) {
        match slab.place() {
            Place::Listed => self.unlist_first(slab),
            Place::Empty => {
                self.unlist_first(slab);
                self.empties.forget(slab);
            }
            Place::Full | Place::Spent | Place::Current => {}
        }
        self.attached = true;
        self.classes[slab.size_class().index()].begin(slab);
    }
}
