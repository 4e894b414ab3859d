//! Best fit: the free span with the fewest pages that suffices, without walking the header list.
//!
//! Spans of up to 64 pages are kept in one list for each length, with a word that says which lists hold something.
//! Longer ones are kept in a treap (Aragon and Seidel, "Randomized search trees", 1989), ordered by length and then by
//! address, whose priorities are a hash of the address.
//!
//! ```text
//! occupied  0 1 1 0 0 1 ...              tree      (90 pages)
//!             | |     |                            /        \
//! lists       2 3     6 pages                 (70)          (400)
//! ```

use crate::header::{PAGE_SHIFT, Span};
use core::cell::Cell;

/// Spans of at most this many pages have a list for their exact length.
const LISTED_MAX: usize = 64;

/// The free spans of a heap by length, except the top.
#[derive(Debug)]
pub(crate) struct Fit {
    /// Bit `n - 1` is set while `lists[n - 1]`, the spans of `n` pages, has one.
    occupied: u64,
    lists: [Option<Span>; LISTED_MAX],
    tree: Option<Span>,
    /// Spans held, in lists and tree together.
    count: usize,
}

/// Order in the tree.
fn key(span: Span) -> (usize, usize) {
    (span.page_count(), span.start.get())
}

/// Heap order in the tree: Fibonacci hashing of the page's address, which spreads neighbours.
fn priority(span: Span) -> u32 {
    ((span.start.get() >> PAGE_SHIFT) as u32).wrapping_mul(0x9E37_79B1)
}

impl Fit {
    pub(crate) const fn new() -> Self {
        Self { occupied: 0, lists: [None; LISTED_MAX], tree: None, count: 0 }
    }

    /// Takes in a free span.
    pub(crate) fn insert(&mut self, span: Span) {
        self.count += 1;
        let pages = span.page_count();
        if pages > LISTED_MAX {
            return self.insert_in_tree(span);
        }
        let head = &mut self.lists[pages - 1];
        span.left.set(None);
        span.right.set(*head);
        if let Some(second) = *head {
            second.left.set(Some(span));
        }
        *head = Some(span);
        self.occupied |= 1 << (pages - 1);
    }

    /// Lets go of a free span that was inserted and has kept its start and length.
    pub(crate) fn remove(&mut self, span: Span) {
        self.count -= 1;
        let pages = span.page_count();
        if pages > LISTED_MAX {
            return self.remove_from_tree(span);
        }
        if let Some(next) = span.right.get() {
            next.left.set(span.left.get());
        }
        match span.left.get() {
            Some(previous) => previous.right.set(span.right.get()),
            None => {
                self.lists[pages - 1] = span.right.get();
                if span.right.get().is_none() {
                    self.occupied &= !(1 << (pages - 1));
                }
            }
        }
    }

    /// The shortest span of at least `pages` pages; of several in the tree, the one at the lowest address.
    pub(crate) fn best(&self, pages: usize) -> Option<Span> {
        if pages <= LISTED_MAX {
            let long_enough = self.occupied & (u64::MAX << (pages.max(1) - 1));
            if long_enough != 0 {
                return self.lists[long_enough.trailing_zeros() as usize];
            }
        }
        let (mut node, mut best) = (self.tree, None);
        while let Some(span) = node {
            if span.page_count() >= pages {
                best = node;
                node = span.left.get();
            } else {
                node = span.right.get();
            }
        }
        best
    }

    /// The length of the longest span of at most `pages` pages, which is no more than the lists hold.
    pub(crate) fn longest(&self, pages: usize) -> Option<usize> {
        debug_assert!((1..=LISTED_MAX).contains(&pages));
        let short_enough = self.occupied & (u64::MAX >> (LISTED_MAX - pages));
        (short_enough != 0).then(|| LISTED_MAX - short_enough.leading_zeros() as usize)
    }

    /// How many spans it holds.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Whether `span` is where its length says it should be (for `check`).
    pub(crate) fn holds(&self, span: Span) -> bool {
        let pages = span.page_count();
        if (1..=LISTED_MAX).contains(&pages) {
            let head = self.lists[pages - 1];
            return self.occupied & 1 << (pages - 1) != 0
                && match span.left.get() {
                    Some(previous) => previous.right.get() == Some(span),
                    None => head == Some(span),
                };
        }
        let (mut node, mut steps) = (self.tree, 0);
        while let Some(other) = node {
            // A sound treap of 2^32 nodes is some hundred deep; a loop in a damaged one must not hang the check.
            steps += 1;
            if other == span || steps > 4096 {
                return other == span;
            }
            node = if key(span) < key(other) { other.left.get() } else { other.right.get() };
        }
        false
    }

    fn insert_in_tree(&mut self, span: Span) {
        let mut slot = Cell::from_mut(&mut self.tree);
        while let Some(node) = slot.get().filter(|&node| priority(node) >= priority(span)) {
            slot = if key(span) < key(node) { &node.record().left } else { &node.record().right };
        }
        // Everything in the subtree goes left or right of the new node, which takes its place.
        let (mut rest, mut smaller, mut larger) = (slot.get(), &span.record().left, &span.record().right);
        slot.set(Some(span));
        while let Some(node) = rest {
            if key(node) < key(span) {
                smaller.set(Some(node));
                smaller = &node.record().right;
                rest = smaller.get();
            } else {
                larger.set(Some(node));
                larger = &node.record().left;
                rest = larger.get();
            }
        }
        smaller.set(None);
        larger.set(None);
    }

    fn remove_from_tree(&mut self, span: Span) {
        let mut slot = Cell::from_mut(&mut self.tree);
        while let Some(node) = slot.get().filter(|&node| node != span) {
            slot = if key(span) < key(node) { &node.record().left } else { &node.record().right };
        }
        debug_assert!(slot.get() == Some(span), "only spans that were inserted are removed");
        // The two subtrees are joined along their inner edges, the higher priority on top.
        let (mut left, mut right) = (span.left.get(), span.right.get());
        loop {
            match (left, right) {
                (Some(smaller), Some(larger)) if priority(smaller) >= priority(larger) => {
                    slot.set(left);
                    slot = &smaller.record().right;
                    left = slot.get();
                }
                (Some(_), Some(larger)) => {
                    slot.set(right);
                    slot = &larger.record().left;
                    right = slot.get();
                }
                (rest, None) | (None, rest) => return slot.set(rest),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::{Header, Kind, PAGE};
    use core::mem::MaybeUninit;
    use std::boxed::Box;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    /// Free spans at made-up addresses, for nothing here looks at their pages.
    fn spans(count: usize) -> Vec<Span> {
        let records: Vec<MaybeUninit<Header>> = (0..count).map(|_| MaybeUninit::uninit()).collect();
        let records = Box::leak(records.into_boxed_slice());
        // SAFETY: each element has room for a record and is aligned for one; it is never given back.
        records.iter_mut().map(|record| unsafe { Span::at(record.as_mut_ptr().expose_provenance()) }).collect()
    }

    #[test]
    fn best_is_the_shortest_that_suffices_whatever_came_and_went() {
        let spans = spans(500);
        let (mut fit, mut oracle) = (Fit::new(), BTreeSet::new());
        let mut random = 0x2545_F491_4F6C_DD1D_u64;
        for step in 0..20_000 {
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
            assert_eq!(fit.len(), oracle.len());
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
