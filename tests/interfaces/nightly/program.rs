//! Collections of the standard library in heaps, by its own `Allocator`.
#![feature(allocator_api)]
#![allow(stable_features, reason = "newer compilers call what is left of it by another name")]

use hmalloc::{Hmalloc, LocalHeap, SharedHeap};
use std::collections::VecDeque;

static HEAP: Hmalloc = Hmalloc::new();

fn main() {
    let (mut local, shared, thread) = (LocalHeap::new(), SharedHeap::new(), HEAP.thread());
    let mut numbers = Vec::new_in(&HEAP);
    numbers.extend(0..500_000_u64);
    let mut queue = VecDeque::new_in(&local);
    numbers.iter().for_each(|&number| queue.push_front(number));
    let mut fourfold = Vec::new_in(&shared);
    fourfold.extend(queue.iter().map(|number| number * 4));
    let sum = Box::new_in(fourfold.iter().sum::<u64>(), &thread);
    println!("{} {} {} {}", numbers.len(), queue.len(), fourfold.len(), sum);
    drop(queue);
    local.reset();
    assert_eq!((local.stats().heap_bytes, HEAP.check()), (0, Ok(())));
}
