//! The arrays of handles that stand: each stays where it is, and each is true.
//!
//! ```text
//! leaf 0, in line       |=== 60 ===|
//! leaf 1, in line       |=== 60 ===|=== 68 ====|
//! aside, in use         |=== 60 ===|=== 68 ====|============ ... ========| null, as far as it is mapped
//!                       `-- older -------------'                         ^ pages
//! ```
//!
//! A handle is written to each array that has room for its page. So a heap that shrinks has nothing to bring back, and a
//! reader on its way from the address of an array to a handle in it may be overtaken by growth.

use super::{Limit, PageMap, leaf_of, pages_of, served_by};
use crate::ground::handles::Handles;
use crate::ground::header::{PAGE, Span};
use core::ops::Range;

impl PageMap {
    /// Sets the handles of a run of pages, the first of them below `older`, in the older arrays that have room for them.
    #[cold]
    #[inline(never)]
    pub(super) fn set_older(&self, pages: Range<usize>, span: Option<Span>) {
        let (mut leaf, mut room) = (leaf_of(self.older - 1), self.older);
        while pages.start < room {
            // SAFETY: I2: a leaf in line, which stands, and so has room for these handles.
            unsafe { self.leaves[leaf].handles.set(pages.start..pages.end.min(room), span) };
            room = pages_of(leaf).start;
            leaf = leaf.saturating_sub(1);
        }
    }

    /// Brings the array of a new leaf into use, if it is not: after it is complete.
    ///
    /// # Safety
    ///
    /// The memory of both arrays stands. What is in line is zero from `zero_from` on, and what is aside all of it, if it is
    /// not in use.
    pub(super) unsafe fn use_array_of(&mut self, leaf: usize, zero_from: usize) {
        let (handles, pages) = (self.leaves[leaf].handles, self.pages());
        if handles == self.array() {
            return;
        }
        // SAFETY: leaves up to this one serve these pages, so there is room; new memory is not the old one's.
        unsafe { self.array().copy_to(handles, pages) };
        if leaf < self.aside_from() {
            let stale = handles.first_from(zero_from).clamp(pages, served_by(leaf));
            // SAFETY: as above.
            unsafe { handles.clear(pages..stale) };
        }
        self.older = pages_of(leaf).start;
        self.lookup.use_array(handles.address());
    }

    /// Brings the longest array in line into use, which is as true as the one in use now.
    pub(super) fn use_last_in_line(&mut self) {
        let last = self.leaves_in_line() - 1;
        (self.older, self.aside_from) = (pages_of(last).start, Limit::NONE);
        self.lookup.use_array(self.leaves[last].handles.address());
    }

    pub(super) fn leaves_in_line(&self) -> usize {
        self.leaf_count.min(self.aside_from())
    }

    /// The arrays that stand, and how many handles are in each.
    fn arrays(&self) -> impl Iterator<Item = (Handles, usize)> {
        let in_line = (0..self.leaves_in_line()).map(|leaf| (self.leaves[leaf].handles, served_by(leaf)));
        in_line.chain(self.aside.map(|aside| (aside.array(), aside.handles_mapped())))
    }

    /// The first page whose handle in some array that stands is not the one in use, or leads somewhere although the page is
    /// not the heap's, or the array in no use (for `check`).
    pub(crate) fn untrue_handle(&self) -> Option<usize> {
        let untrue = self.arrays().find_map(|(handles, room)| {
            let in_use = self.is_aside_in_use() || self.aside.is_none_or(|aside| aside.array() != handles);
            let pages = if in_use { self.pages() } else { 0 };
            // SAFETY: I2: the array in use has room for all pages of the heap, and this one for these.
            let is_untrue = |&page: &usize| unsafe {
                let owner = if page < pages { self.array().of(page).get() } else { None };
                handles.of(page).get() != owner
            };
            (0..room).find(is_untrue)
        });
        untrue.map(|page| self.first_page() + page * PAGE)
    }

    /// Whether the array in use is the longest that stands, and what lies aside serves all pages of the heap (for `check`).
    pub(crate) fn stands(&self) -> bool {
        if self.is_aside_in_use() {
            let serves =
                |aside: crate::ground::aside::Aside| aside.serves(self.pages(), self.pages_with_records_aside());
            return self.aside.is_some_and(|aside| aside.array() == self.array() && serves(aside));
        }
        self.leaf_count == 0 || self.leaves[self.leaf_count - 1].handles == self.array()
    }
}

/// What tests break.
#[cfg(test)]
impl PageMap {
    /// The handle of a page in the array aside, or in that of a leaf in line, if it has room for it.
    pub(crate) fn handle_in(&self, leaf: Option<usize>, page: usize) -> &crate::ground::header::Handle {
        let (handles, room) = match leaf {
            Some(leaf) => self.arrays().take(self.leaves_in_line()).nth(leaf).expect("a leaf in line"),
            None => self.arrays().last().expect("an array aside"),
        };
        assert!(page < room, "room for page {page}");
        // SAFETY: I2: the array stands.
        unsafe { handles.of(page) }
    }

    /// Brings the first array into use, whether it is long enough or not.
    pub(crate) fn use_first(&mut self) {
        self.lookup.use_array(self.leaves[0].handles.address());
    }

    /// Forgets what is mapped aside.
    pub(crate) fn lose_aside(&mut self) {
        self.aside = None;
    }
}

#[cfg(test)]
mod tests;
