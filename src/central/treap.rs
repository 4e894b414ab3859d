//! A search tree of free spans whose shape no program can choose: a treap (Aragon and Seidel, "Randomized search
//! trees", 1989), ordered by length and then by address.
//!
//! ```text
//!              (90 pages)          smaller keys to the left, larger to the right;
//!              /        \          the highest priority is the root of each subtree
//!          (70)          (400)
//! ```
//!
//! A priority is a hash of the address with a seed that differs from run to run. With a fixed hash, or one that only
//! spreads neighbours, some strides of free spans degrade the tree to a list, and each free walks all of it.

use crate::ground::corrupt::corrupt;
use crate::ground::header::{PAGE_SHIFT, Span};
use crate::ground::list::Linked;
use crate::kernel::parts::SPEED;
use core::cell::Cell;

/// Free spans, linked through `left` and `right`.
#[derive(Debug)]
pub(crate) struct Treap {
    root: Option<Span>,
    /// Chosen while the tree is empty, because it determines all priorities.
    seed: u64,
}

/// Order in the tree.
fn key(span: Span) -> (usize, usize) {
    (span.page_count(), span.start())
}

/// A hash in which each bit of the input affects each bit of the output with a probability of a half: the last step of
/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[cfg_attr(not(feature = "speed"), inline(never))]
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ bits >> 31
}

/// Heap order in the tree.
#[cfg_attr(not(feature = "speed"), inline(never))]
fn priority(seed: u64, span: Span) -> u64 {
    mix(((span.start() >> PAGE_SHIFT) as u64).wrapping_add(seed))
}

/// The child link of a node below which a key like `span`'s belongs.
fn towards<'a>(node: Span, span: Span) -> &'a Cell<Option<Span>> {
    if key(span) < key(node) { &node.links().left } else { &node.links().right }
}

impl Treap {
    pub(crate) const fn new() -> Self {
        Self { root: None, seed: 0 }
    }

    /// Derives a seed from addresses, which differ between runs and heaps where they are randomised: those of the
    /// heap's memory, of the heap itself and of the stack. It is not a secret; it only keeps a program from building a
    /// degenerate tree by accident.
    fn reseed(&mut self, span: Span) {
        let stack = 0_u8;
        let addresses = [span.start(), (&raw const *self).addr(), (&raw const stack).addr()];
        for address in addresses {
            self.seed = mix((self.seed ^ address as u64).wrapping_add(0x9E37_79B9_7F4A_7C15));
        }
    }

    pub(crate) fn insert(&mut self, span: Span) {
        if SPEED && self.root.is_none() {
            self.reseed(span);
        }
        let seed = self.seed;
        let mut link = Cell::from_mut(&mut self.root);
        while let Some(node) = link.get().filter(|&node| priority(seed, node) >= priority(seed, span)) {
            link = towards(node, span);
        }
        // The new node replaces the subtree, whose nodes go left or right below it.
        let (mut rest, mut smaller, mut larger) = (link.get(), &span.links().left, &span.links().right);
        link.set(Some(span));
        while let Some(node) = rest {
            if key(node) < key(span) {
                smaller.set(Some(node));
                smaller = &node.links().right;
                rest = smaller.get();
            } else {
                larger.set(Some(node));
                larger = &node.links().left;
                rest = larger.get();
            }
        }
        smaller.set(None);
        larger.set(None);
    }

    /// Removes a span, whose start and length must be those with which it was inserted. If they do not lead to it, its
    /// header was overwritten, and its links are not followed.
    pub(crate) fn remove(&mut self, span: Span) {
        let seed = self.seed;
        let mut link = Cell::from_mut(&mut self.root);
        while let Some(node) = link.get().filter(|&node| node != span) {
            link = towards(node, span);
        }
        if link.get() != Some(span) {
            corrupt(4, span.address());
        }
        // The two subtrees are joined along their inner edges, the higher priority on top.
        let (mut left, mut right) = (span.links().left.get(), span.links().right.get());
        while let (Some(smaller), Some(larger)) = (left, right) {
            if priority(seed, smaller) >= priority(seed, larger) {
                link.set(left);
                link = &smaller.links().right;
                left = link.get();
            } else {
                link.set(right);
                link = &larger.links().left;
                right = link.get();
            }
        }
        link.set(left.or(right));
    }

    /// The shortest span of at least `pages` pages; of several the one at the lowest address.
    pub(crate) fn best(&self, pages: usize) -> Option<Span> {
        let (mut node, mut best) = (self.root, None);
        while let Some(span) = node {
            if span.page_count() >= pages {
                best = node;
                node = span.links().left.get();
            } else {
                node = span.links().right.get();
            }
        }
        best
    }

    /// The length of the longest span of at most `pages` pages.
    pub(crate) fn longest(&self, pages: usize) -> Option<usize> {
        let (mut node, mut longest) = (self.root, None);
        while let Some(span) = node {
            if span.page_count() <= pages {
                longest = Some(span.page_count());
                node = span.links().right.get();
            } else {
                node = span.links().left.get();
            }
        }
        longest
    }

    /// How many steps below the root a span is, if its start and length lead to it. The search ends after `most` steps,
    /// the number of spans, so that a loop in a damaged tree does not hang it.
    pub(crate) fn depth_of(&self, span: Span, most: usize) -> Option<usize> {
        let mut node = self.root;
        for depth in 0..most {
            match node? {
                here if here == span => return Some(depth),
                here => node = towards(here, span).get(),
            }
        }
        None
    }

    /// The root, for `check`.
    pub(crate) fn root(&self) -> Option<Span> {
        self.root
    }

    /// Whether `child` may be a child of `node`: its key is on the right side, and its priority is no higher.
    pub(crate) fn may_be_below(&self, node: Span, child: Span) -> bool {
        let side = if node.links().left.get() == Some(child) { key(child) < key(node) } else { key(node) < key(child) };
        side && priority(self.seed, child) <= priority(self.seed, node)
    }
}

#[cfg(test)]
pub(crate) mod tests;
