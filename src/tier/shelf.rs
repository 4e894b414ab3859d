//! The shelf: where slabs stand while their class takes no slots from them, and how they are retired.
//!
//! A slab has one of five places in its class (I9):
//!
//! - **current**: its class takes slots from it;
//! - **full**: listed once an eighth of its slots have been freed, so that its class does not use it for a single slot;
//! - **spent**: full while memory is [short](crate::tier::shortage), so listed once a single slot has been freed;
//! - **listed**: its class will use it;
//! - **empty**: listed, and no slot is live; [some](super::empties) are kept, others are retired.

use super::Tier;
use crate::central::spans::Spans;
use crate::ground::header::{Place, Slab, Span};
use crate::ground::list::{self, Linked};
use crate::ground::size_class::{CLASSES, SizeClass};
use crate::kernel::parts::SPEED;
use crate::tier::class::{NEVER, RELIST_FRACTION};

impl Slab {
    /// How many slots are free by the slab's count. A current slab's count says something else: the frees since a sweep
    /// began.
    pub(crate) fn counted_free(self) -> Option<usize> {
        match self.place() {
            Place::Current => None,
            Place::Full | Place::Spent => Some(self.relist_at() - self.until_review()),
            Place::Listed | Place::Empty => Some(self.capacity() - self.until_review()),
        }
    }

    /// How many slots of a full slab must be free for it to be listed.
    pub(crate) fn relist_at(self) -> usize {
        relist_at(self.place(), self.capacity())
    }

    /// How many slots of a current slab are free, after a sweep has found no more and all slots are open.
    #[inline(always)]
    pub(super) fn free_after_sweep(self) -> usize {
        let capacity = self.capacity();
        if SPEED && capacity <= 64 {
            // To count one word takes less time than a branch that cannot be predicted.
            return capacity - self.live()[0].get().count_ones() as usize;
        }
        // The sweep has claimed all that was free, and if nothing was freed since it began, there is nothing to count.
        let is_full = self.until_review() == NEVER as usize;
        debug_assert!(!is_full || self.live_slots() == capacity);
        if is_full { 0 } else { capacity - self.live_slots() }
    }

    /// Whether it is on its class's list.
    pub(crate) fn is_listed(self) -> bool {
        matches!(self.place(), Place::Listed | Place::Empty)
    }
}

/// How many slots of a slab of `capacity` slots must be free for it to be listed, if it is full or spent.
#[inline]
pub(super) fn relist_at(place: Place, capacity: usize) -> usize {
    if place == Place::Spent { 1 } else { (capacity / RELIST_FRACTION).max(1) }
}

impl Tier {
    /// Lists a full slab or retires an empty one, when its count of frees has run down. Returns the free span that
    /// contains a retired slab.
    pub(crate) fn review<B>(&mut self, slab: Slab, spans: &mut Spans<B>) -> Option<Span> {
        spans.verify_slab(slab);
        self.draining = spans.is_draining();
        self.review_alone(slab);
        self.retire_queued(spans)
    }

    /// [`review`](Self::review) without the central part: a slab that must be retired is queued. The caller has verified the
    /// slab.
    pub(crate) fn review_alone(&mut self, slab: Slab) {
        let place = slab.place();
        if matches!(place, Place::Full | Place::Spent) {
            let capacity = slab.capacity();
            let free = relist_at(place, capacity);
            self.list_one_of(capacity, slab, free);
            if free < capacity {
                return;
            }
        }
        self.become_empty(slab);
    }

    /// Remembers a listed slab in which nothing is live any more, or queues it to be retired.
    pub(super) fn become_empty(&mut self, slab: Slab) {
        // While the heap is draining no empty slab is kept.
        if SPEED && !self.draining && self.empties.keep(slab) {
            slab.set_place(Place::Empty, 0);
            self.attached = true;
            return;
        }
        self.unlist(slab);
        slab.links().right.set(self.idle);
        self.idle = Some(slab);
    }

    /// Whether slabs are queued to be retired.
    pub(crate) fn has_queued(&self) -> bool {
        self.idle.is_some()
    }

    /// Retires the queued slabs. Returns the free span that contains the last of them.
    #[inline]
    pub(crate) fn retire_queued<B>(&mut self, spans: &mut Spans<B>) -> Option<Span> {
        if self.has_queued() { self.retire_all_queued(spans) } else { None }
    }

    #[inline(never)]
    fn retire_all_queued<B>(&mut self, spans: &mut Spans<B>) -> Option<Span> {
        let mut free = None;
        while let Some(slab) = self.idle {
            spans.verify_slab(slab);
            self.idle = slab.links().right.get();
            free = Some(self.retire(slab, spans));
        }
        free
    }

    /// Retires a slab in which nothing is live and which is on no list. Returns the free span that contains it.
    fn retire<B>(&mut self, slab: Slab, spans: &mut Spans<B>) -> Span {
        if let Some(others) = self.company() {
            others.end_generation(slab);
        }
        self.classes[slab.size_class().index()].pages -= slab.span().page_count() as u32;
        spans.retire(slab)
    }

    /// Retires the slabs in which nothing is live.
    pub(crate) fn retire_idle<B>(&mut self, spans: &mut Spans<B>) {
        self.empties.shrink();
        while let Some(slab) = self.empties.all().last().copied().flatten() {
            spans.verify_slab(slab);
            self.unlist(slab);
            self.empties.forget(slab);
            self.retire(slab, spans);
        }
        for index in 0..CLASSES {
            if let Some(slab) = self.classes[index].slab.filter(|slab| slab.live_slots() == 0) {
                self.detach(index, slab, spans);
                self.retire(slab, spans);
            }
        }
    }

    /// Detaches every class from its current slab, when memory is being returned. Slabs without live slots are retired.
    /// The others can now be reviewed when their last slot is freed, as a current slab is not.
    pub(crate) fn detach_classes<B>(&mut self, spans: &mut Spans<B>) {
        if !core::mem::replace(&mut self.attached, false) {
            return;
        }
        self.retire_idle(spans);
        for index in 0..CLASSES {
            if let Some(slab) = self.classes[index].slab {
                self.detach(index, slab, spans);
                let free = slab.capacity() - slab.live_slots();
                self.put_away(slab, free);
            }
        }
    }

    /// Takes in a slab that was another tier's, or that is in no place any more, by its live bits. If nothing in it is live
    /// it is retired, and the free span that contains it returned.
    pub(crate) fn receive<B>(&mut self, slab: Slab, spans: &mut Spans<B>) -> Option<Span> {
        self.classes[slab.size_class().index()].pages += slab.span().page_count() as u32;
        slab.reset_place();
        let free = slab.capacity() - slab.live_slots();
        if free == slab.capacity() {
            return Some(self.retire(slab, spans));
        }
        self.put_away(slab, free);
        None
    }

    /// Sets the place of a slab that is no class's current one any more, by its `free` slots.
    fn put_away(&mut self, slab: Slab, free: usize) {
        let capacity = slab.capacity();
        let relist_at = relist_at(Place::Full, capacity);
        if self.shortage.is_there() {
            slab.set_place(Place::Full, relist_at);
            self.find_slots_of(slab, free);
        } else if free < relist_at {
            slab.set_place(Place::Full, relist_at - free);
        } else {
            self.list_one_of(capacity, slab, free);
        }
    }

    /// Whether a class has no slab from which it could take more slots.
    pub(crate) fn needs_slab(&self, size_class: SizeClass) -> bool {
        self.classes[size_class.index()].listed.is_none()
    }

    /// A slab with free slots that its class does not use now.
    pub(crate) fn first_listed(&self, size_class: SizeClass) -> Option<Slab> {
        self.classes[size_class.index()].listed
    }

    /// Takes in a slab that another tier has [given up](Self::give_up).
    pub(crate) fn adopt(&mut self, slab: Slab) {
        let free = slab.capacity() - slab.live_slots();
        self.classes[slab.size_class().index()].pages += slab.span().page_count() as u32;
        slab.set_owner(self.number);
        slab.reset_place();
        slab.set_place(Place::Full, slab.relist_at());
        self.list_with(slab, free);
        if free == slab.capacity() {
            self.become_empty(slab);
        }
    }

    /// Gives up a listed slab, for another tier.
    pub(crate) fn give_up(&mut self, slab: Slab) {
        self.unlist(slab);
        if slab.place() == Place::Empty {
            self.empties.forget(slab);
        }
        self.classes[slab.size_class().index()].pages -= slab.span().page_count() as u32;
    }

    /// Takes what other threads have freed, and retires or lists what the tier does not use now.
    pub(crate) fn give_up_unused<B>(&mut self, spans: &mut Spans<B>) {
        self.drain(&spans.map.lookup);
        self.detach_classes(spans);
        self.retire_idle(spans);
        self.retire_queued(spans);
    }

    /// Sets the place of a slab that its class has left, by its free slots.
    #[inline]
    pub(super) fn leave(&mut self, slab: Slab) {
        self.put_away(slab, slab.free_after_sweep());
    }

    /// Detaches a class from its current slab.
    fn detach<B>(&mut self, index: usize, slab: Slab, spans: &mut Spans<B>) {
        spans.verify_slab(slab);
        self.classes[index].unclaim();
        self.classes[index].slab = None;
    }

    /// Puts a slab with `free` free slots on its class's list.
    pub(super) fn list_with(&mut self, slab: Slab, free: usize) {
        self.list_one_of(slab.capacity(), slab, free);
    }

    /// [`list_with`](Self::list_with) for a slab of `capacity` slots.
    ///
    /// Behind the first one: until the class comes to it, more of its slots are freed. In a churn of 10,000 blocks a class so changes
    /// its slab a quarter less often. At the list's end it would be half less often, but then a heap of which
    /// nine tenths were freed keeps a twelfth more memory, as no slab empties.
    #[cfg_attr(not(feature = "speed"), inline(never))]
    fn list_one_of(&mut self, capacity: usize, slab: Slab, free: usize) {
        let listed = &mut self.classes[slab.size_class().index()].listed;
        if SPEED {
            list::push_behind(listed, slab, 9)
        } else {
            list::push(listed, slab, 9)
        }
        slab.set_place(Place::Listed, capacity - free);
    }

    /// Takes the first slab off its class's list.
    #[cfg_attr(feature = "speed", inline)]
    #[cfg_attr(not(feature = "speed"), inline(never))]
    pub(super) fn unlist_first(&mut self, slab: Slab) {
        if !SPEED {
            return self.unlist(slab);
        }
        list::pop(&mut self.classes[slab.size_class().index()].listed, slab, 9);
    }

    pub(super) fn unlist(&mut self, slab: Slab) {
        list::remove(&mut self.classes[slab.size_class().index()].listed, slab, 9);
    }
}
