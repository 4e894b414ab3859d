//! A program that makes the mistake which its argument names, for tools that watch its heap: `leak`, `after`, `uninitialised`, or
//! none.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;

#[global_allocator]
static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();

#[inline(never)]
fn leak_here(round: usize) {
    // The pointer is lost.
    black_box(Box::leak(Box::new([round as u8; 1234])).as_ptr());
}

#[inline(never)]
fn read_after_free() {
    let layout = Layout::new::<[u8; 100]>();
    // SAFETY: the second read is a mistake.
    unsafe {
        let block = HEAP.alloc_zeroed(layout);
        let first = block.read_volatile();
        HEAP.dealloc(block, layout);
        black_box(first + block.add(50).read_volatile());
    }
}

fn grow() -> usize {
    let mut numbers: Vec<usize> = Vec::new();
    (0..1000).for_each(|number| numbers.push(number));
    let text: String = numbers.iter().map(|number| number.to_string()).collect();
    vec![0_u8; 5000].iter().map(|&byte| usize::from(byte)).sum::<usize>() + text.len()
}

fn main() {
    let mistake = std::env::args().nth(1).unwrap_or_default();
    match mistake.as_str() {
        "leak" => (0..10).for_each(leak_here),
        "after" => read_after_free(),
        _ => {}
    }
    println!("{} bytes", black_box(grow()));
}
