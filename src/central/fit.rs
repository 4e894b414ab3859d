//! Best fit: finds the shortest free span that is long enough, without walking the list of spans.
//!
//! Spans of up to 64 pages are kept in one [list] for each length, with a word that says which lists are not empty.
//! Longer ones are kept in a search tree, a [treap](crate::central::treap).
//!
//! ```text
//! occupied  0 1 1 0 0 1 ...              tree      (90 pages)
//!             | |     |                            /        \
//! lists       2 3     6 pages                 (70)          (400)
//! ```

use crate::central::treap::Treap;
use crate::ground::header::Span;
use crate::ground::list;
use crate::ground::page_map::NEAR;
use crate::kernel::parts::SPEED;

/// Spans of at most this many pages have a list for their exact length; without [`SPEED`] all are in the tree.
const LISTED_MAX: usize = 64;

const _: () = assert!(LISTED_MAX < NEAR, "what is in a list needs no mark");

/// Whether free spans of so many pages are in a list, and not in the tree.
#[inline(always)]
pub(crate) fn is_listed(pages: usize) -> bool {
    SPEED && pages <= LISTED_MAX
}

/// The free spans of a heap by length, except the top (I4).
#[derive(Debug)]
pub(crate) struct Fit {
    /// Bit `n - 1` is set while `lists[n - 1]`, the spans of `n` pages, is not empty.
    pub(crate) occupied: u64,
    pub(crate) lists: [Option<Span>; LISTED_MAX],
    pub(crate) tree: Treap,
    /// The pages of all of them, and how many of these are clean: known to hold no kernel memory. The rest is what I12 speaks of
    /// ([`dirty`](Self::dirty)). If that were kept instead, each span that comes or goes would change both sums; as it is,
    /// nearly none does, for most are dirty throughout.
    pub(crate) pages: usize,
    pub(crate) clean: usize,
}

impl Fit {
    pub(crate) const fn new() -> Self {
        Self { occupied: 0, lists: [None; LISTED_MAX], tree: Treap::new(), pages: 0, clean: 0 }
    }

    /// Inserts a free span.
    pub(crate) fn insert(&mut self, span: Span) {
        self.insert_known(span, span.page_count(), span.dirty_pages());
    }

    /// [`insert`](Self::insert) for a span of `pages` pages, `dirty` of them dirty.
    #[cfg_attr(feature = "speed", inline)]
    #[cfg_attr(not(feature = "speed"), inline(never))]
    pub(crate) fn insert_known(&mut self, span: Span, pages: usize, dirty: usize) {
        (self.pages, self.clean) = (self.pages.wrapping_add(pages), self.clean.wrapping_add(pages.wrapping_sub(dirty)));
        self.link(span, pages);
    }

    /// Removes a free span, whose start and length must be those with which it was inserted.
    pub(crate) fn remove(&mut self, span: Span) {
        self.remove_known(span, span.page_count(), span.dirty_pages());
    }

    /// [`remove`](Self::remove) for a span of `pages` pages, `dirty` of them dirty.
    #[inline]
    pub(crate) fn remove_known(&mut self, span: Span, pages: usize, dirty: usize) {
        (self.pages, self.clean) = (self.pages.wrapping_sub(pages), self.clean.wrapping_sub(pages.wrapping_sub(dirty)));
        self.unlink(span, pages);
    }

    /// Adds to the sums what [`link`](Self::link) and [`unlink`](Self::unlink) of spans that are dirty throughout have changed
    /// together, modulo the size of a word. Of clean pages there are as many as before.
    #[inline(always)]
    pub(crate) fn add_dirty(&mut self, pages: usize) {
        self.pages = self.pages.wrapping_add(pages);
    }

    /// How many of the pages may hold kernel memory.
    #[inline]
    pub(crate) fn dirty(&self) -> usize {
        self.pages.wrapping_sub(self.clean)
    }

    /// Links a free span of `pages` pages into the list of its length, or the tree. The sums are the caller's.
    #[inline(always)]
    pub(crate) fn link(&mut self, span: Span, pages: usize) {
        let at = pages.wrapping_sub(1);
        let Some(head) = self.list_at(at) else { return self.tree.insert(span) };
        list::push(head, span, 4);
        self.occupied |= 1 << at;
    }

    /// Unlinks a free span of `pages` pages. The sums are the caller's.
    #[inline(always)]
    pub(crate) fn unlink(&mut self, span: Span, pages: usize) {
        let at = pages.wrapping_sub(1);
        let Some(head) = self.list_at(at) else { return self.tree.remove(span) };
        list::remove(head, span, 4);
        let emptied = u64::from(head.is_none()) << at;
        self.occupied &= !emptied;
    }

    /// [`unlink`](Self::unlink) for a span of `pages` pages that is the [best](Self::best): of a list, it is the first.
    #[inline(always)]
    pub(crate) fn unlink_best(&mut self, span: Span, pages: usize) {
        let at = pages.wrapping_sub(1);
        let Some(head) = self.list_at(at) else { return self.tree.remove(span) };
        list::pop(head, span, 4);
        let emptied = u64::from(head.is_none()) << at;
        self.occupied &= !emptied;
    }

    /// The list of spans of `at + 1` pages, if these are in a list.
    #[inline(always)]
    fn list_at(&mut self, at: usize) -> Option<&mut Option<Span>> {
        self.lists.get_mut(at).filter(|_| SPEED)
    }

    /// The shortest span of at least `pages` pages; of several in the tree, the one at the lowest address.
    #[cfg_attr(not(feature = "speed"), inline(never))]
    pub(crate) fn best(&self, pages: usize) -> Option<Span> {
        if is_listed(pages) {
            let long_enough = self.occupied & (u64::MAX << (pages.max(1) - 1));
            if long_enough != 0 {
                return self.lists[long_enough.trailing_zeros() as usize];
            }
        }
        self.tree.best(pages)
    }

    /// The length of the longest span of at most `pages` pages, where `pages` is at most that of a list.
    pub(crate) fn longest(&self, pages: usize) -> Option<usize> {
        if !SPEED {
            return self.tree.longest(pages);
        }
        debug_assert!((1..=LISTED_MAX).contains(&pages));
        let short_enough = self.occupied & (u64::MAX >> (LISTED_MAX - pages));
        (short_enough != 0).then(|| LISTED_MAX - short_enough.leading_zeros() as usize)
    }

    /// The most spans that can be in it, whatever is damaged (for `check`): each has a page.
    pub(crate) fn most(&self) -> usize {
        self.pages
    }

    /// Whether `span` is in the list, or at the position in the tree, of its length (for `check`).
    pub(crate) fn holds(&self, span: Span) -> bool {
        let pages = span.page_count();
        if pages > 0 && is_listed(pages) {
            return self.occupied & 1 << (pages - 1) != 0 && list::is_linked(self.lists[pages - 1], span);
        }
        self.tree.depth_of(span, self.most()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::central::treap::tests::spans;
    use crate::ground::header::{Kind, PAGE};
    use std::collections::BTreeSet;

    /// An interpreter has time for fewer.
    const STEPS: usize = if cfg!(miri) { 60 } else { 20_000 };

    #[test]
    fn best_is_the_shortest_that_suffices_whatever_came_and_went() {
        let spans = spans(STEPS.min(500));
        let (mut fit, mut oracle) = (Fit::new(), BTreeSet::new());
        let mut random = 0x2545_F491_4F6C_DD1D_u64;
        for step in 0..STEPS {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let index = random as usize % spans.len();
            let (span, start) = (spans[index], (index + 1) * 1024 * PAGE);
            if oracle.remove(&(span_pages(&oracle, start), start)) {
                fit.remove(span);
            } else {
                span.init(Kind::Free, start, 1 + (random >> 32) as usize % 200, 0);
                fit.insert(span);
                oracle.insert((span.page_count(), start));
            }
            let wanted = 1 + (random >> 48) as usize % 220;
            let best = oracle.range((wanted, 0)..).next().map(|&(pages, _)| pages);
            assert_eq!(fit.best(wanted).map(Span::page_count), best, "step {step}");
            assert_eq!(fit.pages, oracle.iter().map(|&(pages, _)| pages).sum());
        }
        for (index, &span) in spans.iter().enumerate() {
            let start = (index + 1) * 1024 * PAGE;
            let held = oracle.contains(&(span_pages(&oracle, start), start));
            assert!(!held || fit.holds(span));
        }
    }

    fn span_pages(oracle: &BTreeSet<(usize, usize)>, start: usize) -> usize {
        oracle.iter().find(|&&(_, other)| other == start).map_or(0, |&(pages, _)| pages)
    }
}
