//! What the journal says of single stages: their faults, their first and their last blocks.

use super::subject::{MAX_ALIGN, Subject};
use super::table::with;
use hmalloc::brk::Linux;
use hmalloc::stages::{Stage, s1_minimal, s2_aligned, s3_linked, s4_splitting, s5_coalescing};
use support::arena::Arena;

const KIB: usize = 1 << 10;
const STAGES: [&str; 5] = ["s1", "s2", "s3", "s4", "s5"];
pub(crate) const LISTS: [&str; 3] = ["s3", "s4", "s5"];
/// Bytes from a header to its payload, in the order of [`STAGES`].
const HEADERS: [usize; 5] = [
    s1_minimal::Minimal::<Linux>::HEADER,
    s2_aligned::Aligned::<Linux>::HEADER,
    s3_linked::Linked::<Linux>::HEADER,
    s4_splitting::Splitting::<Linux>::HEADER,
    s5_coalescing::Coalescing::<Linux>::HEADER,
];

/// A fresh heap over an arena whose first byte is a multiple of every alignment.
pub(crate) fn on<R>(stage: &str, look: impl for<'a> FnOnce(&mut dyn Subject<'a>) -> R) -> R {
    let mut arena = Arena::new(1 << 20);
    with(stage, arena.brk(), look)
}

/// Sizes of the blocks, free ones in parentheses.
pub(crate) fn drawn(heap: &dyn Subject<'_>) -> String {
    let words: Vec<_> = heap
        .blocks()
        .iter()
        .map(|block| if block.free { format!("({})", block.size) } else { block.size.to_string() })
        .collect();
    words.join(" ")
}

#[test]
fn a_stage_is_a_constant_and_asks_the_kernel_nothing() {
    const {
        let _ = s1_minimal::Minimal::new(Linux);
        let _ = s2_aligned::Aligned::new(Linux);
        let _ = s3_linked::Linked::new(Linux);
        let _ = s4_splitting::Splitting::new(Linux);
        let _ = s5_coalescing::Coalescing::new(Linux);
    }
    for stage in STAGES {
        on(stage, |heap| assert_eq!((heap.brk().calls(), heap.blocks()), (0, vec![]), "{stage}"));
    }
}

#[test]
fn the_alignment_is_that_of_max_align_t() {
    assert_eq!(s2_aligned::ALIGN, MAX_ALIGN);
}

#[test]
fn a_request_for_nothing_gets_a_pointer_of_its_own() {
    for stage in STAGES {
        on(stage, |heap| {
            let [first, second] = [heap.get(0), heap.get(0)];
            assert_ne!(first, second, "{stage}");
            heap.hfree(first);
            heap.hfree(second);
            assert!(heap.blocks().iter().all(|block| block.free), "{stage}");
        });
    }
}

#[test]
fn first_fit_takes_the_lowest_block_that_is_large_enough() {
    for stage in STAGES {
        on(stage, |heap| {
            let [small, _, large, _, larger, _] = [64, 16, 256, 16, 512, 16].map(|size| heap.get(size));
            for payload in [larger, large, small] {
                heap.hfree(payload);
            }
            assert_eq!([heap.get(128), heap.get(64), heap.get(512)], [large, small, larger], "{stage}");
        });
    }
}

#[test]
fn a_free_block_is_given_whole_until_stage_4_splits_it() {
    for (stage, after) in [("s1", "1024 16"), ("s2", "1024 16"), ("s3", "1024 16")] {
        on(stage, |heap| {
            let payload = heap.get(KIB);
            heap.get(16);
            heap.hfree(payload);
            assert_eq!((heap.get(64), drawn(heap).as_str()), (payload, after), "{stage}");
        });
    }
    for (stage, header) in STAGES.into_iter().zip(HEADERS).skip(3) {
        on(stage, |heap| {
            let payload = heap.get(KIB);
            heap.get(16);
            heap.hfree(payload);
            let rest = KIB - 64 - header;
            assert_eq!((heap.get(64), drawn(heap)), (payload, format!("64 ({rest}) 16")), "{stage}");
        });
    }
}

#[test]
fn a_rest_that_can_hold_no_block_stays_in_the_block() {
    for (stage, header) in STAGES.into_iter().zip(HEADERS).skip(3) {
        on(stage, |heap| {
            let smallest = header + MAX_ALIGN;
            let [one, _, two, _] = [64 + smallest - MAX_ALIGN, 16, 64 + smallest, 16].map(|size| heap.get(size));
            heap.hfree(one);
            heap.hfree(two);
            assert_eq!([heap.get(64), heap.get(64)], [one, two], "{stage}");
            let slack = 64 + header;
            assert_eq!(drawn(heap), format!("{slack} 16 64 ({MAX_ALIGN}) 16"), "{stage}");
        });
    }
}

#[test]
fn stage_3_leaves_what_is_free_below_a_freed_last_block_on_top() {
    on("s3", |heap| {
        let [_, below, last] = [64, 128, 256].map(|size| heap.get(size));
        heap.hfree(below);
        heap.hfree(last);
        assert_eq!(drawn(heap), "64 (128)");
        assert_eq!(heap.brk().current(), below.addr() + 128, "the free block is on top");
        // It is never looked at again: not when it is freed once more, not when its neighbour is freed.
        heap.hfree(below);
        assert_eq!(drawn(heap), "64 (128)");
        // A request that does not fit goes above it.
        assert!(heap.get(512) > below);
        assert_eq!(drawn(heap), "64 (128) 512");
    });
}

#[test]
fn stages_4_and_5_lower_the_break_over_all_that_is_free_on_top() {
    for stage in ["s4", "s5"] {
        on(stage, |heap| {
            let [_, second, third, last] = [64, 128, 256, 512].map(|size| heap.get(size));
            let end_of_first = heap.blocks()[0].end();
            for payload in [second, third, last] {
                heap.hfree(payload);
            }
            assert_eq!((drawn(heap).as_str(), heap.brk().current()), ("64", end_of_first), "{stage}");
        });
    }
}

#[test]
fn freeing_the_only_block_leaves_an_empty_heap() {
    for stage in LISTS {
        on(stage, |heap| {
            let start = heap.brk().current();
            for size in [1, 1000, 100 * KIB] {
                let payload = heap.get(size);
                heap.hfree(payload);
                assert_eq!(heap.state(), (start, vec![]), "{stage}");
                heap.hfree(payload);
                assert_eq!(heap.state(), (start, vec![]), "{stage}: a second free");
            }
        });
    }
}

#[test]
fn a_trim_that_is_refused_on_its_way_down_leaves_the_rest() {
    on("s4", |heap| {
        let [_, second, third, last] = [64, 128, 256, 512].map(|size| heap.get(size));
        heap.hfree(second);
        heap.hfree(third);
        let calls = heap.brk().calls();
        heap.brk_mut().fail_once(1);
        heap.hfree(last);
        assert_eq!(heap.brk().calls(), calls + 2);
        assert_eq!((drawn(heap).as_str(), heap.brk().current()), ("64 (128) (256)", third.addr() + 256));
    });
}

#[test]
fn stage_5_has_one_free_block_on_top_even_if_the_break_stays() {
    on("s5", |heap| {
        let payloads = [64, 128, 256, 512].map(|size| heap.get(size));
        heap.brk_mut().refuse_lowering(true);
        for payload in [1, 3, 2].map(|index: usize| payloads[index]) {
            heap.hfree(payload);
        }
        let free = 128 + 256 + 512 + 2 * HEADERS[4];
        assert_eq!(drawn(heap), format!("64 ({free})"));
    });
}

#[test]
fn payloads_are_aligned_from_stage_2_on_even_if_the_break_was_not() {
    for offset in 1..=2 * MAX_ALIGN {
        let mut arena = Arena::at(64 * KIB, offset);
        for stage in STAGES {
            let aligned = with(stage, arena.brk(), |heap| heap.get(1).addr().is_multiple_of(MAX_ALIGN));
            let by_luck = offset.is_multiple_of(HEADERS[0].min(MAX_ALIGN));
            assert_eq!(aligned, stage != "s1" || by_luck, "{stage} at offset {offset}");
        }
    }
}
