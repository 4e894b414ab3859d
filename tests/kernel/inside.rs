//! What a trim returns inside slabs, as the kernel counts it.

use super::ledger::layout;
use super::system::{page, resident};
use hmalloc::Heap;
use hmalloc::brk::{Brk, Linux, OwnBreak};
use std::ptr::NonNull;
use support::calls::{KIB, MIB};
use support::child::observe;

fn take<B: Brk>(heap: &mut Heap<B>, size: usize) -> NonNull<u8> {
    let block = heap.allocate(layout(size)).expect("memory");
    // SAFETY: the block is this long.
    unsafe { block.write_bytes(0xEE, size) };
    block
}

fn free<B: Brk>(heap: &mut Heap<B>, block: NonNull<u8>) {
    // SAFETY: nothing uses the block.
    assert_eq!(unsafe { heap.free(block.as_ptr()) }, Ok(()));
}

/// 64 MiB of blocks of `size` bytes, of which one in `every` is left.
fn fragment_and_trim<B: Brk>(mut heap: Heap<B>, size: usize, every: usize) {
    let count = 64 * MIB / size;
    let mut blocks = Vec::with_capacity(count);
    (0..count).for_each(|_| blocks.push(take(&mut heap, size)));
    let mut kept = Vec::with_capacity(count);
    for (index, block) in blocks.iter().enumerate() {
        if index % every == 0 { kept.push(*block) } else { free(&mut heap, *block) }
    }
    let full = resident();
    let given = heap.trim(usize::MAX);
    let trimmed = resident();
    let fallen = full - trimmed;
    assert!(given.abs_diff(fallen) <= 512 * KIB, "{given} bytes are said to be returned, {fallen} are");
    let least = 64 * MIB - kept.len() * (size + 2 * page()) - MIB;
    assert!(given >= least && least > 16 * MIB, "{given} of {least} bytes of {size}");
    assert_eq!((heap.trim(usize::MAX), heap.check()), (0, Ok(())));
    // What is asked for zeroed and not used takes little: only slots that share a page with a live one are written.
    let more = count / 2;
    for _ in 0..more {
        blocks[0] = heap.allocate_zeroed(layout(size)).expect("memory");
        kept.push(blocks[0]);
    }
    let grown = resident().saturating_sub(trimmed);
    assert!(size < 4096 || grown <= more * size / 3, "{grown} bytes for {more} untouched blocks of {size}");
    for (index, block) in kept.iter().enumerate() {
        let expected = if index < kept.len() - more { 0xEE } else { 0 };
        // SAFETY: the block is this long and was written, or is zero.
        let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), size) };
        assert!(bytes.iter().all(|&byte| byte == expected), "block {index} of {size} bytes");
    }
    kept.into_iter().for_each(|block| free(&mut heap, block));
    heap.trim(0);
    assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 0));
}

const SIZES: [(usize, usize); 4] = [(120, 100), (500, 64), (5000, 10), (20_000, 4)];

/// A process for each size, in which `heap` makes a heap.
fn each_size<T, B: Brk + 'static>(test: &T, heap: fn() -> Heap<B>) {
    for (size, every) in SIZES {
        let ended = observe(test, &format!("{size} {every}"), &[], move |argument| {
            let (size, every) = argument.split_once(' ').expect("two numbers");
            fragment_and_trim(heap(), size.parse().expect("a size"), every.parse().expect("a number"));
        });
        assert!(ended.finished, "{size}: {ended:#?}");
    }
}

#[test]
fn on_the_programs_break() {
    each_size(&on_the_programs_break, || Heap::new(Linux));
}

#[test]
fn on_a_break_of_its_own() {
    each_size(&on_a_break_of_its_own, || Heap::new(OwnBreak::new()));
}
