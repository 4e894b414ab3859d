//! How the page map grows and shrinks with the heap: which leaves there are, in line and aside, and where the handles are.

use super::{FIRST_LEAF, LEAVES, Limit, NONE_ASIDE, PageMap, leaf_storage, pages_of, served_by};
use crate::ground::aside::Aside;
use crate::ground::header::PAGE;
use crate::ground::leaf::{Below, Leaf};
use crate::kernel::brk::{Brk, Refused};
use crate::kernel::parts::{MAPPINGS, SPEED};
use core::ops::Range;

/// The first leaf that lies aside where the heap grows for a block at its end, and otherwise.
const ASIDE_BEHIND: usize = 1;
const ASIDE_ANYWHERE: usize = 2;

/// How a heap grows.
#[derive(Debug)]
pub(crate) struct Growth {
    /// Address of page 0: the old one, if there was one.
    pub(crate) base: usize,
    /// Pages from the base to the new end.
    pub(crate) pages: usize,
    /// Where new leaves in line are stored: from here on there are as many metadata pages as
    /// [`leaf_pages_missing`](PageMap::leaf_pages_missing) said, all of them the heap's and in no other use until
    /// [`shrink`](PageMap::shrink) drops them.
    pub(crate) storage: usize,
    /// From where on the new memory is zero.
    pub(crate) zero_from: usize,
    /// The first leaf that lies aside, where [`grow_aside`](PageMap::grow_aside) has mapped what all `pages` need.
    pub(crate) aside_from: usize,
}

impl PageMap {
    /// The first leaf that is to lie aside when the heap grows to `pages` pages or more, for a block at its end or not.
    /// Where leaves lie there already, later ones do, too. While the leaves that stand suffice, nothing changes.
    pub(crate) fn first_aside(&mut self, pages: usize, behind: bool, brk: &mut impl Brk) -> usize {
        if !MAPPINGS || self.is_aside_in_use() || self.served_beyond(0, NONE_ASIDE) >= pages {
            return self.aside_from();
        }
        if self.aside.is_none() {
            let room = brk.room().ok();
            self.aside = room.and_then(|room| Aside::new(&room, FIRST_LEAF, brk.page_size()));
        }
        let first = if behind { ASIDE_BEHIND } else { ASIDE_ANYWHERE };
        if self.aside.is_some() { first.max(self.leaf_count) } else { NONE_ASIDE }
    }

    /// Metadata pages that leaves for pages up to number `pages` need beyond those that stand, if they lie aside from
    /// number `aside_from` on. Nothing if the heap could not count that far, or have addresses for so many.
    pub(crate) fn leaf_pages_missing(&self, pages: usize, aside_from: usize, kernel_page: usize) -> Option<usize> {
        pages.checked_mul(PAGE)?;
        let (mut leaves, mut missing) = (self.leaf_count, 0);
        while leaves == 0 || served_by(leaves - 1) < pages {
            if leaves == LEAVES || (leaves >= aside_from && pages > self.room_aside()) {
                return None;
            }
            missing += if leaves < aside_from { leaf_storage(leaves, kernel_page) } else { 0 };
            leaves += 1;
        }
        Some(missing)
    }

    /// The room for leaves aside, if there is one.
    #[inline(always)]
    fn aside(&self) -> Option<Aside> {
        if MAPPINGS { self.aside } else { None }
    }

    fn room_aside(&self) -> usize {
        self.aside().map_or(0, |aside| aside.capacity())
    }

    /// Pages that can be taken in beyond page number `from` without new metadata below the break: by the leaves that
    /// stand, or by others if leaves lie aside from number `aside_from` on.
    pub(crate) fn served_beyond(&self, from: usize, aside_from: usize) -> usize {
        let standing = if self.leaf_count == 0 { 0 } else { served_by(self.leaf_count - 1) };
        let served =
            if self.leaf_count >= aside_from { self.room_aside().min(served_by(LEAVES - 1)) } else { standing };
        served.saturating_sub(from)
    }

    /// Pages that the standing leaves can still take in, if the next one may lie in line.
    pub(crate) fn served_in_line(&self) -> usize {
        match self.leaf_count {
            leaves if leaves > 0 && !self.is_aside_in_use() => served_by(leaves - 1) - self.pages(),
            _ => served_by(LEAVES - 1),
        }
    }

    /// Whether the array aside is in use, and leaves lie aside from some number on, as soon as there are so many.
    pub(super) fn is_aside_in_use(&self) -> bool {
        MAPPINGS && self.aside_from() < NONE_ASIDE
    }

    /// Pages whose records may lie aside: all, or none if no leaf does.
    pub(super) fn pages_with_records_aside(&self) -> usize {
        if self.aside_from() < self.leaf_count { self.pages() } else { 0 }
    }

    /// The end of leaf 0's storage, which is at the heap's base and serves what is left of a heap that has returned
    /// all else.
    pub(crate) fn least_end(&self, kernel_page: usize) -> usize {
        self.first_page() + leaf_storage(0, kernel_page) * PAGE
    }

    /// Maps what is missing aside for [`grow`](Self::grow) to `pages` pages, and has `raise` do the rest. If either is refused,
    /// what is aside is as it was.
    pub(crate) fn grow_aside<B: Brk>(
        &mut self,
        pages: usize,
        aside_from: usize,
        brk: &mut B,
        raise: impl FnOnce(&mut B) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        if !MAPPINGS || aside_from >= LEAVES || !self.is_aside_in_use() && pages <= pages_of(aside_from).start {
            return raise(brk);
        }
        let aside = self.aside.as_mut().ok_or(Refused)?;
        let before = aside.ends();
        let grown = aside.grow(pages, brk);
        let lost = grown.is_err() && aside.bytes() == 0;
        let raised = grown.and_then(|()| raise(brk)).inspect_err(|_| {
            // SAFETY: what was mapped just now is not used yet.
            unsafe { aside.truncate(before, brk) };
        });
        if lost {
            // Another heap may have found the same room while this one had nothing in it.
            self.aside = None;
        }
        raised
    }

    /// Returns what is mapped aside and serves no page, but for a little. If no leaf lies there and `unused` says so, all of it
    /// is returned: the array in use is then that of the last leaf in line. Returns how many bytes that was.
    pub(crate) fn return_aside(&mut self, unused: bool, brk: &mut impl Brk) -> usize {
        let Some(mut aside) = self.aside() else { return 0 };
        let (before, records) = (aside.bytes(), self.pages_with_records_aside());
        let handles = if self.is_aside_in_use() { self.pages() } else { 0 };
        let all = unused && records == 0;
        let in_use = (self.array(), self.older, self.aside_from);
        let ends = if all { aside.starts() } else { aside.shrunk(handles, records, brk.page_size()) };
        if all && self.leaf_count > 0 {
            self.use_last_in_line();
        }
        // SAFETY: I2: handles are followed for pages of the heap only, and records only for those of leaves aside.
        unsafe { aside.truncate(ends, brk) };
        if all && aside.handles_mapped() > 0 {
            // Refused: it has been true until now, and goes on.
            (self.older, self.aside_from) = (in_use.1, in_use.2);
            self.lookup.use_array(in_use.0.address());
        }
        self.aside = Some(aside);
        before - aside.bytes()
    }

    /// Returns the memory of handles and records aside of pages that are no span's first, and that no slab has: as far as they fill
    /// whole groups. A span around them must be [marked](Self::mark) anew.
    ///
    /// # Safety
    ///
    /// No other thread reads the map now.
    pub(crate) unsafe fn discard_aside(&self, pages: Range<usize>, brk: &mut impl Brk) {
        if let Some(aside) = self.aside().filter(|_| self.is_aside_in_use()) {
            let first = pages_of(self.aside_from().min(super::LEAF_TABLE - 1)).start;
            // SAFETY: I5: the handles of such pages are null, and I2: their records are not used.
            unsafe { aside.discard(&(pages.start.max(first)..pages.end.min(self.pages())), brk) };
        }
    }

    /// Returns all that is mapped aside.
    ///
    /// # Safety
    ///
    /// No handle and no record of the heap is looked at again.
    pub(crate) unsafe fn return_all_aside(&mut self, brk: &mut impl Brk) {
        if let Some(mut aside) = self.aside() {
            self.aside = None;
            // SAFETY: the caller's promise.
            unsafe { aside.truncate(aside.starts(), brk) };
        }
    }

    /// Bytes that are mapped aside.
    pub(crate) fn aside_bytes(&self) -> usize {
        self.aside().map_or(0, |aside| aside.bytes())
    }

    /// Makes page `growth.pages - 1` the last, with new leaves where they are missing, whose guards are to be sealed. The
    /// new pages belong to no span yet.
    ///
    /// # Safety
    ///
    /// All that [`Growth`] says is true.
    pub(crate) unsafe fn grow(&mut self, growth: &Growth, kernel_page: usize, mut seal: impl FnMut(Range<usize>)) {
        debug_assert!(growth.pages >= self.pages());
        self.lookup.set_base(growth.base);
        let mut storage = growth.storage;
        while self.leaf_count == 0 || served_by(self.leaf_count - 1) < growth.pages {
            let number = self.leaf_count;
            self.leaves[number] = match self.aside().filter(|_| number >= growth.aside_from) {
                Some(aside) => {
                    self.aside_from = Limit::new(growth.aside_from);
                    aside.leaf(&pages_of(number))
                }
                None => {
                    let below = if number == 0 { Below::Nothing } else { Below::Others };
                    let (leaf, guards) = Leaf::new(storage, pages_of(number), below, kernel_page);
                    guards.into_iter().for_each(&mut seal);
                    storage += leaf_storage(number, kernel_page) * PAGE;
                    leaf
                }
            };
            self.leaf_count += 1;
            // SAFETY: I2: the array in use stands, or there are no pages; the leaf's is the caller's.
            unsafe { self.use_array_of(number, growth.zero_from) };
        }
        self.note_tail();
        // After the arrays and the handles: rule 2.
        self.lookup.set_pages(growth.pages);
    }

    /// Address past the records of the last leaf in line, which are the highest that the heap has below its end.
    pub(crate) fn records_end(&self) -> usize {
        let last = self.leaves_in_line() - 1;
        self.leaves[last].records_end(&pages_of(last))
    }

    /// The guards of the leaves that a heap loses by ending at `end`.
    pub(crate) fn guards_from(&self, end: usize, kernel_page: usize) -> impl Iterator<Item = Range<usize>> {
        let leaves = self.leaves;
        (self.leaves_below(end)..self.leaves_in_line())
            .flat_map(move |leaf| leaves[leaf].guards(&pages_of(leaf), kernel_page))
    }

    /// Drops the pages from `end` on, whose handles lead to nothing by now, and the leaves that serve no others. What is
    /// aside stays in use.
    pub(crate) fn shrink(&mut self, end: usize) {
        self.leaf_count = self.leaves_below(end);
        self.note_tail();
        self.lookup.set_pages((end - self.first_page()) / PAGE);
        if self.is_aside_in_use() {
            self.aside_from = Limit::new(self.leaves_in_line());
            self.older = pages_of(self.aside_from()).start;
        } else {
            self.use_last_in_line();
        }
    }

    /// Notes which leaf is the last, and from which page on records lie in its array.
    fn note_tail(&mut self) {
        let Some(last) = self.leaf_count.checked_sub(1).filter(|_| SPEED) else { return };
        let others = self.leaves[..last].iter().rev();
        let same = others.take_while(|leaf| leaf.has_records_of(self.leaves[last])).count();
        (self.tail, self.tail_from) = (self.leaves[last], pages_of(last - same).start);
    }

    /// How many leaves are left of a heap that ends at `end`: at least one, which is at the base.
    fn leaves_below(&self, end: usize) -> usize {
        let mut leaves = self.leaf_count;
        while leaves > 1 && self.goes_with(leaves - 1, end) {
            leaves -= 1;
        }
        leaves
    }

    /// Whether the last leaf goes if the heap ends at `end`: one in line with its storage, one aside with its pages.
    fn goes_with(&self, leaf: usize, end: usize) -> bool {
        if leaf < self.aside_from() {
            return self.leaves[leaf].handles.lies_above(end);
        }
        pages_of(leaf).start >= (end - self.first_page()) / PAGE
    }
}
