//! One static file that runs on every Linux of its architecture, with a heap that does not slow down beside threads as musl's
//! does, and needs no C compiler to build.

use std::collections::HashMap;
use std::thread;

#[global_allocator]
static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();

/// Counts numbers by their digits' sum, which makes a block for each and frees it.
fn count(from: u32) -> HashMap<u32, usize> {
    let mut sums = HashMap::new();
    for number in from..from + 25_000 {
        let digits = number.to_string();
        *sums.entry(digits.bytes().map(|digit| u32::from(digit - b'0')).sum()).or_insert(0) += 1;
    }
    sums
}

fn main() {
    let workers = [0, 25_000, 50_000, 75_000].map(|from| thread::spawn(move || count(from)));
    let sums = workers.map(|worker| worker.join().expect("the thread ends"));
    let most = sums.iter().map(|sums| sums.get(&22).unwrap_or(&0)).sum::<usize>();
    println!("{most} of 100000 numbers have digits that sum to 22");
    println!("the heap is sound: {}, and lives from {:?}", HEAP.check().is_ok(), HEAP.stats().source);
}
