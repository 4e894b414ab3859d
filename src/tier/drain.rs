//! The owner takes what other threads have freed.

use super::Tier;
use crate::ground::atomic::fence_after_update;
use crate::ground::company::if_threads;
use crate::ground::header::{Place, Slab};
use crate::ground::page_map::Lookup;
use crate::ground::size_class::{CLASSES, SizeClass};
use crate::tier::others::{Others, told_bit};

impl Tier {
    /// Takes what other threads have freed in slabs of one class, if they have told of any.
    #[inline(always)]
    pub(super) fn drain_for(&mut self, class: SizeClass, lookup: &Lookup) {
        if self.company().is_some_and(|others| !others.is_quiet(class)) {
            self.drain_class(class, lookup);
        }
    }

    /// Takes what other threads have freed in slabs of all classes, if they have told of any.
    pub(crate) fn drain(&mut self, lookup: &Lookup) {
        let told = self.company().map_or(0, Others::take_told);
        if told == 0 {
            return;
        }
        for class in (0..CLASSES).map(SizeClass::from_index).filter(|&class| told & told_bit(class) != 0) {
            self.drain_for(class, lookup);
        }
    }

    /// Takes what other threads have freed in slabs of one class, of which they have told.
    fn drain_class(&mut self, class: SizeClass, lookup: &Lookup) {
        let Some(others) = self.company() else { return };
        let mut next = others.empty_inbox(class);
        let mut pages = 0;
        while let Some(page) = next {
            pages += 1;
            if others.has_found_twice() {
                // What was found is reported before more is looked for.
                next = others.put_back(page, class);
                continue;
            }
            next = others.chunks().link(page).take();
            fence_after_update();
            let span = lookup.find_below_break(others.chunks().start_of(page));
            // Not by its kind: a slab that is seen by its reciprocal is seen with its owner.
            let slab = span.filter(|span| span.reciprocal() != 0).map(|span| span.as_slab_by_reciprocal());
            match slab.filter(|slab| slab.is_freed_by_others()) {
                Some(slab) if slab.owner_number() == self.number => self.collect(slab),
                Some(slab) => self.pass_on(slab, page),
                None => {}
            }
        }
        others.count_seen(pages);
    }

    /// Tells the owner of a slab, to whom it has been given since a page was put into this tier's inbox.
    fn pass_on(&self, slab: Slab, page: u32) {
        let other = if_threads(self.directory).and_then(|directory| directory.of(slab.owner_number()));
        if let Some(other) = other {
            let _ = other.notify(slab, page);
        }
    }

    /// Takes what others have freed in one slab of this tier, and reviews its place.
    pub(crate) fn collect(&mut self, slab: Slab) {
        let Some(others) = self.company() else { return };
        let count = others.take_noted(slab);
        if count > 0 {
            self.account(slab, count);
        }
    }

    /// Counts frees that came all at once, and reviews the slab's place.
    fn account(&mut self, slab: Slab, count: usize) {
        match slab.place() {
            Place::Current | Place::Listed | Place::Empty => slab.count_frees(count),
            Place::Full | Place::Spent => {
                let free = slab.relist_at() - slab.until_review() + count;
                if free < slab.relist_at() {
                    slab.count_frees(count);
                } else {
                    self.list_with(slab, free);
                }
            }
        }
        if slab.place() == Place::Listed && slab.until_review() == 0 {
            self.become_empty(slab);
        }
    }
}
