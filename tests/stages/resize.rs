//! What only stage 5 has: calloc, realloc and reallocarray.

use super::experiments::{fill, holds};
use hmalloc::brk::Emulated;
use hmalloc::stages::Stage;
use hmalloc::stages::s5_coalescing::Coalescing;
use std::ptr::null_mut;
use support::arena::Arena;

type Stage5<'a> = Coalescing<Emulated<'a>>;

const HEADER: usize = Coalescing::<Emulated<'static>>::HEADER;
/// More than the arena has.
const TOO_LARGE: usize = 2 << 20;

fn on(look: impl for<'a> FnOnce(&mut Stage5<'a>)) {
    let mut arena = Arena::new(1 << 20);
    look(&mut Coalescing::new(arena.brk()));
}

fn get(heap: &mut Stage5<'_>, size: usize) -> *mut u8 {
    // SAFETY: these tests write to payloads only.
    let payload = unsafe { heap.hmalloc(size) };
    assert!(!payload.is_null());
    fill(payload, size, 0xEE);
    payload
}

fn free(heap: &mut Stage5<'_>, payload: *mut u8) {
    // SAFETY: these tests do not use what they freed.
    unsafe { heap.hfree(payload) }
}

fn realloc(heap: &mut Stage5<'_>, payload: *mut u8, size: usize) -> *mut u8 {
    // SAFETY: these tests do not use the old block where a new one came.
    unsafe { heap.hrealloc(payload, size) }
}

/// Sizes of the blocks, free ones in parentheses.
fn drawn(heap: &Stage5<'_>) -> String {
    let word = |block: hmalloc::stages::StageBlock| match block.free {
        true => format!("({})", block.size),
        false => block.size.to_string(),
    };
    heap.blocks().map(word).collect::<Vec<_>>().join(" ")
}

/// Everything about the heap that a call can change.
fn state(heap: &Stage5<'_>) -> (String, usize) {
    (drawn(heap), heap.brk().current())
}

#[test]
fn calloc_gives_zeros_where_others_wrote_before() {
    on(|heap| {
        let used = get(heap, 256);
        get(heap, 16);
        free(heap, used);
        // SAFETY: as above.
        let payload = unsafe { heap.hcalloc(8, 32) };
        assert_eq!(payload, used);
        assert!(holds(payload, 256, 0));
    });
}

#[test]
fn a_product_that_overflows_gets_null_and_changes_nothing() {
    let half = usize::MAX / 2 + 1;
    on(|heap| {
        let payload = get(heap, 64);
        let before = state(heap);
        for (count, size) in [(half, 2), (2, half), (usize::MAX, usize::MAX), (usize::MAX, 2), (1 << 40, 1 << 40)] {
            // SAFETY: as above.
            let answers = unsafe {
                [
                    heap.hcalloc(count, size),
                    heap.hreallocarray(payload, count, size),
                    heap.hreallocarray(null_mut(), count, size),
                ]
            };
            assert_eq!(answers, [null_mut(); 3], "{count} times {size}");
            assert_eq!(state(heap), before, "{count} times {size}");
        }
        assert!(holds(payload, 64, 0xEE));
    });
}

#[test]
fn a_smaller_size_leaves_the_rest_free_or_lowers_the_break() {
    on(|heap| {
        let [payload, last] = [get(heap, 512), get(heap, 512)];
        assert_eq!(realloc(heap, payload, 100), payload);
        let rest = 512 - 112 - HEADER;
        assert_eq!(drawn(heap), format!("112 ({rest}) 512"));
        assert!(holds(payload, 100, 0xEE));
        // Once more: the new rest and the old one are joined.
        assert_eq!(realloc(heap, payload, 48), payload);
        let rest = 512 - 48 - HEADER;
        assert_eq!(drawn(heap), format!("48 ({rest}) 512"));
        // A rest that can hold no block stays.
        assert_eq!(realloc(heap, payload, 40), payload);
        assert_eq!(drawn(heap), format!("48 ({rest}) 512"));
        // The last one's rest is returned to the kernel.
        assert_eq!(realloc(heap, last, 100), last);
        assert_eq!(state(heap), (format!("48 ({rest}) 112"), last.addr() + 112));
        assert!(holds(payload, 40, 0xEE) && holds(last, 100, 0xEE));
    });
}

#[test]
fn a_last_block_that_cannot_be_given_back_is_split_instead() {
    on(|heap| {
        let last = get(heap, 512);
        heap.brk_mut().refuse_lowering(true);
        assert_eq!(realloc(heap, last, 64), last);
        assert_eq!(drawn(heap), format!("64 ({})", 512 - 64 - HEADER));
    });
}

#[test]
fn a_larger_size_takes_in_the_free_neighbour() {
    on(|heap| {
        let [payload, neighbour, _last] = [64, 512, 16].map(|size| get(heap, size));
        free(heap, neighbour);
        assert_eq!(realloc(heap, payload, 256), payload);
        assert_eq!(drawn(heap), format!("256 ({}) 16", 512 - (256 - 64)));
        // All of it, to the last byte.
        assert_eq!(realloc(heap, payload, 64 + HEADER + 512), payload);
        assert_eq!(drawn(heap), format!("{} 16", 64 + HEADER + 512));
        assert!(holds(payload, 64, 0xEE));
    });
}

#[test]
fn the_last_block_grows_with_the_break() {
    on(|heap| {
        let [_, last] = [get(heap, 64), get(heap, 64)];
        assert_eq!(realloc(heap, last, 1000), last);
        assert_eq!(state(heap), ("64 1008".into(), last.addr() + 1008));
        assert!(holds(last, 64, 0xEE));
    });
}

#[test]
fn a_block_that_has_no_room_moves_with_its_bytes() {
    on(|heap| {
        let [payload, _last] = [get(heap, 64), get(heap, 16)];
        let moved = realloc(heap, payload, 1000);
        assert_ne!(moved, payload);
        assert_eq!(drawn(heap), "(64) 16 1008");
        assert!(holds(moved, 64, 0xEE));
    });
    // The last block, if the break cannot be raised but there is room below.
    on(|heap| {
        let [room, _, last] = [512, 16, 64].map(|size| get(heap, size));
        free(heap, room);
        heap.brk_mut().fail_after(0);
        assert_eq!(realloc(heap, last, 256), room);
        assert!(holds(room, 64, 0xEE));
        assert_eq!(drawn(heap), format!("256 ({}) 16", 512 - 256 - HEADER));
    });
}

#[test]
fn a_failure_leaves_the_old_block_and_the_heap_as_they_were() {
    on(|heap| {
        let [payload, neighbour, last] = [64, 256, 64].map(|size| get(heap, size));
        free(heap, neighbour);
        let before = state(heap);
        for size in [TOO_LARGE, isize::MAX as usize, usize::MAX - 15, usize::MAX] {
            for payload in [payload, last] {
                assert!(realloc(heap, payload, size).is_null(), "{size}");
                assert_eq!(state(heap), before, "{size}");
                assert!(holds(payload, 64, 0xEE), "{size}");
            }
        }
        heap.brk_mut().fail_after(0);
        assert!(realloc(heap, payload, 1000).is_null());
        assert_eq!(state(heap), before);
        assert!(holds(payload, 64, 0xEE));
    });
}

#[test]
fn null_is_allocated_and_a_size_of_zero_frees() {
    on(|heap| {
        let start = heap.brk().current();
        let payload = realloc(heap, null_mut(), 100);
        assert_eq!(drawn(heap), "112");
        assert!(realloc(heap, payload, 0).is_null());
        assert_eq!(state(heap), (String::new(), start));
        // SAFETY: as above.
        let array = unsafe { heap.hreallocarray(null_mut(), 10, 10) };
        assert_eq!(drawn(heap), "112");
        // SAFETY: as above.
        assert!(unsafe { heap.hreallocarray(array, 0, 10) }.is_null());
        assert!(realloc(heap, null_mut(), 0).is_null());
        assert_eq!(state(heap), (String::new(), start));
    });
}

#[test]
fn what_is_no_live_block_is_not_resized() {
    on(|heap| {
        let [payload, freed, _last] = [64, 64, 64].map(|size| get(heap, size));
        free(heap, freed);
        let before = state(heap);
        let mut array = [0xEE_u8; 64];
        for wrong in [freed, payload.wrapping_add(16), payload.wrapping_sub(HEADER), &raw mut array[32]] {
            for size in [0, 16, 64, 1000] {
                assert!(realloc(heap, wrong, size).is_null(), "{wrong:?}, {size}");
                assert_eq!(state(heap), before, "{wrong:?}, {size}");
            }
        }
        assert!(holds(payload, 64, 0xEE) && array == [0xEE; 64]);
    });
}
