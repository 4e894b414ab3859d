//! The shelf: where slabs stand while their class takes no slots from them, and how they are retired.
//!
//! A slab has one of five places in its class (I9):
//!
//! - **current**: its class takes slots from it;
//! - **full**: listed once an eighth of its slots have been freed, so that its class does not use it for a single slot;
//! - **spent**: full while memory is [short](crate::tier::shortage), so listed once a single slot has been freed;
//! - **listed**: its class will use it;
//! - **empty**: listed, and no slot is live; up to four are kept, others are retired.

use super::{EMPTIES_MAX, Tier};
use crate::central::spans::Spans;
use crate::ground::header::{Place, Slab, Span};
use crate::ground::list;
use crate::ground::size_class::CLASSES;
use crate::tier::class::RELIST_FRACTION;

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
        if self.place() == Place::Spent { 1 } else { (self.capacity() / RELIST_FRACTION).max(1) }
    }

    /// Whether it is on its class's list.
    pub(crate) fn is_listed(self) -> bool {
        matches!(self.place(), Place::Listed | Place::Empty)
    }
}

impl Tier {
    /// Lists a full slab or retires an empty one, when its count of frees has run down. Returns the free span that
    /// contains a retired slab.
    pub(crate) fn review<B>(&mut self, slab: Slab, spans: &mut Spans<B>) -> Option<Span> {
        spans.verify_slab(slab);
        if matches!(slab.place(), Place::Full | Place::Spent) {
            self.list_with(slab, slab.relist_at());
            if slab.until_review() > 0 {
                return None;
            }
        }
        // While the heap is draining no empty slab is kept.
        if self.empty_count < EMPTIES_MAX && !spans.is_draining() {
            slab.set_place(Place::Empty, 0);
            self.empties[self.empty_count] = Some(slab);
            self.empty_count += 1;
            self.attached = true;
            return None;
        }
        self.unlist(slab);
        Some(self.retire(slab, spans))
    }

    /// Retires a slab in which nothing is live and which is on no list. Returns the free span that contains it.
    fn retire<B>(&mut self, slab: Slab, spans: &mut Spans<B>) -> Span {
        self.classes[slab.size_class().index()].pages -= slab.span().page_count() as u32;
        spans.retire(slab)
    }

    /// Retires the slabs in which nothing is live.
    pub(crate) fn retire_idle<B>(&mut self, spans: &mut Spans<B>) {
        while self.empty_count > 0 {
            if let Some(slab) = self.empties[0] {
                spans.verify_slab(slab);
                self.unlist(slab);
                self.forget_empty(slab);
                self.retire(slab, spans);
            }
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

    /// Sets the place of a slab that its class has left, by its free slots.
    pub(super) fn leave(&mut self, slab: Slab) {
        let free = slab.capacity() - slab.live_slots();
        slab.set_place(Place::Full, slab.relist_at());
        if self.shortage.is_there() {
            return self.find_slots_of(slab, free);
        }
        slab.set_place(Place::Full, slab.relist_at() - free);
    }

    /// Detaches a class from its current slab.
    fn detach<B>(&mut self, index: usize, slab: Slab, spans: &mut Spans<B>) {
        spans.verify_slab(slab);
        self.classes[index].unclaim();
        self.classes[index].slab = None;
    }

    /// Puts a slab with `free` free slots on its class's list.
    pub(super) fn list_with(&mut self, slab: Slab, free: usize) {
        list::push(&mut self.classes[slab.size_class().index()].listed, slab, 9);
        slab.set_place(Place::Listed, slab.capacity() - free);
    }

    pub(super) fn unlist(&mut self, slab: Slab) {
        list::remove(&mut self.classes[slab.size_class().index()].listed, slab, 9);
    }

    /// The empty slabs.
    pub(crate) fn empties(&self) -> &[Option<Slab>] {
        &self.empties[..self.empty_count]
    }

    pub(super) fn forget_empty(&mut self, slab: Slab) {
        if let Some(at) = self.empties().iter().position(|&empty| empty == Some(slab)) {
            self.empty_count -= 1;
            self.empties.swap(at, self.empty_count);
        }
    }
}
