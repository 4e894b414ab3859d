//! The inbox by itself: each page that is put in comes out once.

use crate::heap::Heap;
use crate::run::{explore, promise};
use loom::thread::{self, JoinHandle};
use std::sync::Arc;

fn put_all(heap: &Arc<Heap>, pages: &'static [usize]) -> JoinHandle<()> {
    let heap = Arc::clone(heap);
    thread::spawn(move || pages.iter().for_each(|&page| heap.put(page)))
}

/// Two threads put pages in while the owner takes all, twice.
fn each_comes_out_once(first: &'static [usize], second: &'static [usize]) {
    explore(move || {
        let heap = Heap::new(first.len() + second.len(), 0);
        let mut times = vec![0; heap.slabs.len()];
        let mut take_all = |heap: &Heap| heap.empty_inbox(|page| times[page] += 1);
        let both = [put_all(&heap, first), put_all(&heap, second)];
        take_all(&heap);
        take_all(&heap);
        both.into_iter().for_each(|thread| thread.join().unwrap());
        take_all(&heap);
        promise!(heap.inbox.is_empty(), "an empty inbox is not empty");
        promise!(times.iter().all(|&times| times == 1), "pages came out {times:?} times");
    });
}

/// One page each.
#[test]
fn two_pages() {
    each_comes_out_once(&[0], &[1]);
}

/// One thread puts in two.
#[test]
fn three_pages() {
    each_comes_out_once(&[0, 2], &[1]);
}
