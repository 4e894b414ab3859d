//! Exercise 7: write the tests. The page is `learn/book/src/exercise-7.md`.
//!
//! A heap is given, stage 5 of the journal, and 20 copies of it with one fault each that you do not see. Your tests must all
//! pass on the right one, and at least 18 of the copies must fail one: `cargo run -p learn -- grade 7`

use core::ptr::null_mut;
use learn_heap::{Heap, gap};

/// Your tests and their names. Each gets a heap of its own. What it asserts must hold; a crash is a failure, too.
pub const TESTS: &[(&str, fn(&mut dyn Heap))] = &[
    ("a freed block is used again", used_again),
    ("your first", your_first),
];

fn used_again(heap: &mut dyn Heap) {
    let [a, _b] = [heap.malloc(100), heap.malloc(100)];
    heap.free(a);
    assert_eq!(heap.malloc(100), a);
}

fn your_first(heap: &mut dyn Heap) {
    gap!("tests: what else does stage 5 promise? Write a function for each, and name it in TESTS");
}
