use super::*;
use crate::ground::header::{Header, Kind, PAGE};
use core::mem::MaybeUninit;
use std::boxed::Box;
use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

/// Free spans at made-up addresses: nothing here reads their pages.
pub(crate) fn spans(count: usize) -> Vec<Span> {
    let records: Vec<MaybeUninit<Header>> = (0..count).map(|_| MaybeUninit::uninit()).collect();
    let records = Box::leak(records.into_boxed_slice());
    // SAFETY: each element has room for a record and is aligned for one; it is never freed.
    records.iter_mut().map(|record| unsafe { Span::at(record.as_mut_ptr().expose_provenance()) }).collect()
}

/// Nodes of the tree in each test of its depth; an interpreter has time for fewer.
const NODES: usize = if cfg!(miri) { 64 } else { 10_000 };

/// A tree of spans that start at these pages.
fn tree_at(pages: impl Iterator<Item = usize>) -> (Treap, Vec<Span>) {
    let starts: BTreeSet<usize> = pages.take(NODES).map(|page| page % (1 << 34) * PAGE).collect();
    let (mut treap, spans) = (Treap::new(), spans(starts.len()));
    for (&span, start) in spans.iter().zip(starts) {
        span.init(Kind::Free, start, 100, 0);
        treap.insert(span);
    }
    (treap, spans)
}

fn deepest(treap: &Treap, spans: &[Span]) -> usize {
    spans.iter().map(|&span| treap.depth_of(span, spans.len()).expect("it was inserted")).max().unwrap_or(0)
}

/// 4·log2(n) + 8: the chance that one of 10,000 nodes is deeper in a tree of random shape is below 1 in 10^9.
fn bound(nodes: usize) -> usize {
    4 * (nodes as f64).log2().ceil() as usize + 8
}

fn strides() -> Vec<usize> {
    // Fibonacci numbers are the strides that Fibonacci hashing turns into lists; the others occur in programs.
    let mut strides = vec![1, 101, 128, 1000, 1024, 4096, 65_535, 65_536, 1 << 20];
    let (mut a, mut b) = (89, 144);
    while b < 1 << 32 {
        strides.push(b);
        (a, b) = (b, a + b);
    }
    // The inverse of the multiplier of Fibonacci hashing in 32 bits: its multiples have rising priorities.
    strides.push(0x144C_BC89);
    if cfg!(miri) { strides.split_off(strides.len() - 2) } else { strides }
}

#[test]
fn no_stride_of_addresses_makes_a_list_of_the_tree() {
    for stride in strides() {
        let (treap, spans) = tree_at((1..).map(|index: usize| index.wrapping_mul(stride)));
        let (deepest, bound) = (deepest(&treap, &spans), bound(spans.len()));
        assert!(deepest <= bound, "{} spans {stride} pages apart are {deepest} deep", spans.len());
    }
}

#[test]
fn nor_does_any_pattern_of_bits() {
    let patterns: [fn(usize) -> usize; 4] =
        [|n| n * n, |n| n.reverse_bits() >> 30, |n| n ^ n << 15, |n| ((n % 100) << 20) | (n / 100)];
    for (number, pattern) in patterns.into_iter().enumerate() {
        let (treap, spans) = tree_at((1..).map(pattern));
        let (deepest, bound) = (deepest(&treap, &spans), bound(spans.len()));
        assert!(deepest <= bound, "{} spans of pattern {number} are {deepest} deep", spans.len());
    }
}

#[test]
fn a_tree_that_was_empty_has_another_shape() {
    let (mut treap, spans) = tree_at(1..);
    let shape = |treap: &Treap| spans.iter().map(|&span| treap.depth_of(span, spans.len())).collect::<Vec<_>>();
    let before = shape(&treap);
    spans.iter().for_each(|&span| treap.remove(span));
    spans.iter().for_each(|&span| treap.insert(span));
    assert_ne!(before, shape(&treap));
}

#[test]
fn a_loop_in_a_damaged_tree_is_left_after_as_many_steps_as_there_are_spans() {
    let (treap, spans) = tree_at(1..);
    let (root, other) = (treap.root().unwrap(), spans[0]);
    root.links().left.set(Some(root));
    root.links().right.set(Some(root));
    assert!(other == root || treap.depth_of(other, spans.len()).is_none());
}

#[test]
fn what_is_taken_out_leaves_the_rest_in_order() {
    let (mut treap, mut spans) = tree_at((1..).map(|index: usize| index * 7919 % 100_003));
    while let Some(span) = spans.pop() {
        treap.remove(span);
        assert!(treap.depth_of(span, spans.len() + 1).is_none());
        if spans.len().is_multiple_of(97) {
            assert!(deepest(&treap, &spans) <= bound(NODES));
            let lowest = spans.iter().map(|span| span.start()).min();
            assert_eq!(treap.best(1).map(|span| span.start()), lowest);
        }
    }
    assert_eq!(treap.best(1), None);
}
