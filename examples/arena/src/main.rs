//! A heap over an array of the program's own, without any kernel: how much memory a part of the program may have is settled
//! when it is compiled, and running out is an answer. The same code builds for microcontrollers and for web pages.

use hmalloc::Heap;
use hmalloc::brk::{Arena, Bytes};
use std::alloc::Layout;

static ARENA: Arena<{ 256 << 10 }> = Arena::new();

fn main() {
    let mut heap = Heap::new(Bytes::new(&ARENA));
    let layout = Layout::new::<[u8; 1000]>();
    let mut blocks = Vec::new();
    while let Ok(block) = heap.allocate(layout) {
        blocks.push(block);
    }
    println!("256 KiB hold {} blocks of 1000 bytes, then the answer is: {}", blocks.len(), hmalloc::OutOfMemory);

    let first = blocks.swap_remove(0).as_ptr();
    // SAFETY: the block is not used any more. What is wrong with the other two frees is an answer, too, and nothing is
    // changed by them.
    let [inside, right, twice] = unsafe { [heap.free(first.wrapping_add(8)), heap.free(first), heap.free(first)] };
    println!("8 bytes into a block: {:?}", inside.expect_err("no block begins there").kind);
    println!("its first byte: {right:?}, and once more: {:?}", twice.expect_err("it is free").kind);

    for block in blocks {
        // SAFETY: the block is not used any more.
        unsafe { heap.free(block.as_ptr()) }.expect("it is live");
    }
    println!("live blocks: {}, {:?}", heap.stats().live_blocks, heap.check());
}
