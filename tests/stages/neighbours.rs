//! What the stages do when others move the break.

use super::experiments::{fill, holds};
use super::journal::{LISTS, drawn, on};
use super::subject::MAX_ALIGN;
use hmalloc::brk::Emulated;
use std::mem::MaybeUninit;

#[test]
fn blocks_that_lie_end_to_end_are_of_no_use_once_others_raised_the_break() {
    for stage in ["s1", "s2"] {
        on(stage, |heap| {
            let [payload, free] = [heap.get(100), heap.get(100)];
            heap.hfree(free);
            fill(payload, 100, 0xEE);
            let blocks = heap.blocks();
            heap.brk_mut().foreign_move(4096);
            assert!(heap.hmalloc(100).is_null() && heap.hmalloc(1000).is_null(), "{stage}");
            assert_eq!(heap.blocks(), blocks, "{stage}");
            heap.brk_mut().foreign_move(-4096);
            assert_eq!(heap.get(100), free, "{stage}");
            assert!(!heap.hmalloc(1000).is_null() && holds(payload, 100, 0xEE), "{stage}");
        });
    }
}

#[test]
fn a_list_goes_on_above_what_others_took_and_never_lowers_the_break_over_it() {
    for stage in LISTS {
        on(stage, |heap| {
            let [first, below] = [heap.get(96), heap.get(96)];
            heap.brk_mut().foreign_move(1001);
            let foreign_end = heap.brk().current();
            heap.hfree(below);
            assert_eq!(heap.brk().current(), foreign_end, "{stage}: the break is not its own");
            let [above, last] = [heap.get(200), heap.get(200)];
            assert!(above.addr() >= foreign_end && above.addr().is_multiple_of(MAX_ALIGN), "{stage}");
            assert_eq!(heap.get(96), below, "{stage}: what was free below is used again");
            for payload in [below, above, last] {
                heap.hfree(payload);
            }
            // All of its own above is gone (but for stage 3's fault), nothing of the neighbour's is.
            let left = heap.brk().current() - foreign_end;
            assert_eq!(left < MAX_ALIGN, stage != "s3", "{stage}: {left} bytes");
            assert!(foreign_bytes_are_untouched(heap.brk(), foreign_end), "{stage}");
            fill(first, 96, 0xEE);
        });
    }
}

/// Whether the 1001 bytes that others took below `end` hold what they wrote there.
fn foreign_bytes_are_untouched(brk: &Emulated<'_>, end: usize) -> bool {
    assert!(brk.current() >= end);
    let taken = std::ptr::with_exposed_provenance::<MaybeUninit<u8>>(end - 1001);
    // SAFETY: the emulated break filled these bytes of the arena, and they lie below it.
    unsafe { std::slice::from_raw_parts(taken.cast::<u8>(), 1001) }.windows(2).all(|pair| pair[0] == pair[1])
}

#[test]
fn stage_5_does_not_join_blocks_over_what_others_took() {
    for order in [[0, 1], [1, 0]] {
        on("s5", |heap| {
            let below = heap.get(96);
            heap.brk_mut().foreign_move(4096);
            let [above, _last] = [heap.get(96), heap.get(96)];
            for index in order {
                heap.hfree([below, above][index]);
            }
            assert_eq!(drawn(heap), "(96) (96) 96", "{order:?}");
        });
    }
}
