//! One experiment for each promise. `Err` is the evidence that the heap broke it.
//!
//! Sizes are large where the production heap, whose unit is a page, has to show what the stages show with bytes.

use super::subject::{MAX_ALIGN, Subject};
use std::ptr::{null_mut, with_exposed_provenance_mut};

/// Looks for evidence on a heap without blocks.
pub(crate) type Experiment = for<'a> fn(&mut dyn Subject<'a>) -> Result<(), String>;

/// The promises in the words of the table.
pub(crate) const EXPERIMENTS: [(&str, Experiment); 11] = [
    ("payloads are aligned", aligned),
    ("blocks are disjoint", disjoint),
    ("freed space is used again", used_again),
    ("the break is lowered", lowered),
    ("no free block is left on top", nothing_free_on_top),
    ("an invalid free is ignored or reported", invalid_free),
    ("a double free is ignored or reported", double_free),
    ("the rest of a large block is split off", split),
    ("free neighbours are joined", joined),
    ("a refused brk changes nothing", refused),
    ("a size that overflows is answered with null", overflow),
];

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Returns the evidence if there is some.
macro_rules! broken_if {
    ($evidence:expr, $($message:tt)+) => {
        if $evidence {
            return Err(format!($($message)+));
        }
    };
}

pub(crate) fn fill(payload: *mut u8, size: usize, byte: u8) {
    // SAFETY: the payload is live and has `size` bytes.
    unsafe { payload.write_bytes(byte, size) }
}

pub(crate) fn holds(payload: *mut u8, size: usize, byte: u8) -> bool {
    // SAFETY: the payload is live, has `size` bytes, and was filled.
    let bytes = unsafe { std::slice::from_raw_parts(payload, size) };
    // All like the first one: one `memcmp`, even in an unoptimised build.
    bytes.first().is_none_or(|&first| first == byte && bytes[1..] == bytes[..size - 1])
}

fn aligned(heap: &mut dyn Subject<'_>) -> Result<(), String> {
    for size in (1..=64).chain([100, 1000, 4097, 65_537, MIB + 1]) {
        let payload = heap.get(size);
        broken_if!(!payload.addr().is_multiple_of(MAX_ALIGN), "{size} bytes at {payload:?}");
    }
    Ok(())
}

fn disjoint(heap: &mut dyn Subject<'_>) -> Result<(), String> {
    let start = heap.brk().current();
    let mut live: Vec<(*mut u8, usize, u8)> = Vec::new();
    for round in 0..4u8 {
        for (index, size) in [0, 1, 7, 8, 24, 100, 0, 1000, 33, 5000, 16, 70_000].into_iter().enumerate() {
            let mark = round * 16 + index as u8;
            let payload = heap.get(size);
            fill(payload, size, mark);
            live.push((payload, size, mark));
        }
        // Every third goes, so that the next round meets free blocks of many sizes.
        let (gone, left) = live.into_iter().partition(|&(_, _, mark)| mark % 3 == round % 3);
        live = left;
        for (payload, size, mark) in gone {
            broken_if!(!holds(payload, size, mark), "{size} bytes at {payload:?} were written by another block");
            heap.hfree(payload);
        }
    }
    live.sort_unstable();
    for pair in live.windows(2) {
        let [(low, size, _), (high, ..)] = pair else { unreachable!("a window of two") };
        broken_if!(low == high || low.addr() + size > high.addr(), "{size} bytes at {low:?} reach beyond {high:?}");
    }
    for (payload, size, mark) in live {
        let inside = start <= payload.addr() && payload.addr() + size <= heap.brk().current();
        broken_if!(!inside, "{size} bytes at {payload:?} are not between the heap's start and the break");
        broken_if!(!holds(payload, size, mark), "{size} bytes at {payload:?} were written by another block");
    }
    Ok(())
}

fn used_again(heap: &mut dyn Subject<'_>) -> Result<(), String> {
    let mut payload = heap.get(1000);
    heap.get(100); // Above it, so that the break cannot follow.
    let before = heap.brk().current();
    for _ in 0..1000 {
        heap.hfree(payload);
        payload = heap.get(1000);
    }
    let raised = heap.brk().current() - before;
    broken_if!(raised > 0, "a block of 1000 bytes, freed and taken 1000 times, raised the break by {raised} bytes");
    Ok(())
}

fn lowered(heap: &mut dyn Subject<'_>) -> Result<(), String> {
    heap.get(64);
    let last = heap.get(4 * MIB);
    let before = heap.brk().current();
    heap.hfree(last);
    let after = heap.brk().current();
    broken_if!(after >= before, "the break stands at {after:#x} after the last block, 4 MiB, was freed");
    Ok(())
}

fn nothing_free_on_top(heap: &mut dyn Subject<'_>) -> Result<(), String> {
    heap.get(64);
    let [below, last] = [heap.get(4 * MIB), heap.get(4 * MIB)];
    heap.hfree(below);
    heap.hfree(last);
    let break_now = heap.brk().current();
    broken_if!(break_now >= below.addr() + 4 * MIB, "{below:?} is free, 4 MiB, and below the break at {break_now:#x}");
    Ok(())
}

fn invalid_free(heap: &mut dyn Subject<'_>) -> Result<(), String> {
    let mut array = [0xEE_u8; 128];
    // An empty heap first: the address is in an array that is no heap's.
    heap.hfree(&raw mut array[64]);
    broken_if!(array.iter().any(|&byte| byte != 0xEE), "a byte of somebody's array was overwritten");

    let payload = heap.get(256);
    fill(payload, 256, 0xEE);
    let last = heap.get(100 * KIB);
    let before = heap.state();
    // The first one would be seen if it were taken for a payload: its header would lie in the payload around it.
    let inside = [64, 1, 8, 16, 255].map(|offset| payload.wrapping_add(offset));
    let outside = [
        null_mut(),
        payload.wrapping_sub(8),
        payload.wrapping_sub(16),
        last.wrapping_add(64 * KIB),
        last.wrapping_add(MIB),
        with_exposed_provenance_mut(heap.brk().current()),
        with_exposed_provenance_mut(usize::MAX),
        &raw mut array[64],
    ];
    for wrong in inside.into_iter().chain(outside) {
        heap.hfree(wrong);
        broken_if!(!holds(payload, 256, 0xEE), "a free of {wrong:?} wrote into the payload at {payload:?}");
        broken_if!(heap.state() != before, "a free of {wrong:?} changed the heap");
        broken_if!(array.iter().any(|&byte| byte != 0xEE), "a byte of somebody's array was overwritten");
    }
    Ok(())
}

fn double_free(heap: &mut dyn Subject<'_>) -> Result<(), String> {
    let [first, _, third, _] = [(); 4].map(|()| heap.get(48));
    for payload in [first, third] {
        heap.hfree(payload);
        let before = heap.state();
        heap.hfree(payload);
        broken_if!(heap.state() != before, "the second free of {payload:?} changed the heap");
    }
    heap.hfree(first);
    let mut again = [(); 4].map(|()| heap.get(48));
    again.sort_unstable();
    broken_if!(again.windows(2).any(|pair| pair[0] == pair[1]), "one block for two requests: {again:?}");
    // The last block may be gone after the first free, and another one be there next.
    let last = heap.get(48);
    heap.hfree(last);
    let before = heap.state();
    heap.hfree(last);
    broken_if!(heap.state() != before, "the second free of the last block, {last:?}, changed the heap");
    Ok(())
}

fn split(heap: &mut dyn Subject<'_>) -> Result<(), String> {
    let large = heap.get(MIB);
    heap.get(64 * KIB); // Above it, so that the break cannot follow.
    heap.hfree(large);
    for nth in 1..=3 {
        let part = heap.get(256 * KIB);
        let inside = large <= part && part.addr() + 256 * KIB <= large.addr() + MIB;
        broken_if!(!inside, "request {nth} for 256 KiB got {part:?}, not a part of the free MiB at {large:?}");
    }
    Ok(())
}

fn joined(heap: &mut dyn Subject<'_>) -> Result<(), String> {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let parts = [(); 3].map(|()| heap.get(256 * KIB));
        let guard = heap.get(64 * KIB);
        for index in order {
            heap.hfree(parts[index]);
        }
        let whole = heap.get(768 * KIB);
        let low = parts.into_iter().min().unwrap_or(whole);
        let inside = low <= whole && whole.addr() + 768 * KIB <= guard.addr();
        broken_if!(!inside, "768 KiB got {whole:?}, although three times 256 KiB from {low:?} on are free");
        heap.hfree(whole);
        heap.hfree(guard);
    }
    Ok(())
}

fn refused(heap: &mut dyn Subject<'_>) -> Result<(), String> {
    // Once on an empty heap, once on one with a block.
    for _ in 0..2 {
        let before = heap.state();
        heap.brk_mut().fail_after(0);
        let payload = heap.hmalloc(4 * MIB);
        broken_if!(!payload.is_null(), "{payload:?}, for which the break was not raised");
        broken_if!(heap.state() != before, "the heap changed although raising the break was refused");
        heap.brk_mut().fail_after(usize::MAX);
        let payload = heap.get(100 * KIB);
        fill(payload, 100 * KIB, 0xEE);
    }
    let last = heap.get(4 * MIB);
    let before = heap.brk().current();
    heap.brk_mut().refuse_lowering(true);
    heap.hfree(last);
    broken_if!(heap.brk().current() != before, "the break moved although lowering it was refused");
    let again = heap.get(4 * MIB);
    broken_if!(heap.brk().current() != before, "the block that could not be given back, {last:?}, is lost: {again:?}");
    Ok(())
}

fn overflow(heap: &mut dyn Subject<'_>) -> Result<(), String> {
    for _ in 0..2 {
        let before = heap.state();
        let half = isize::MAX as usize;
        let to_the_end = usize::MAX - heap.brk().current();
        for size in [0, 1, 7, 15, 16, 17, 31, 32, 33, 47, 48, 64, 4096, 65_536].map(|less| usize::MAX - less) {
            let payload = heap.hmalloc(size);
            broken_if!(!payload.is_null(), "{size} bytes at {payload:?}");
        }
        for size in [half - 15, half, half + 1, to_the_end - 32, to_the_end - 16, to_the_end, to_the_end + 1] {
            let payload = heap.hmalloc(size);
            broken_if!(!payload.is_null(), "{size} bytes at {payload:?}");
        }
        broken_if!(heap.state() != before, "a request that cannot be met changed the heap");
        heap.get(100);
    }
    Ok(())
}
