use super::capture;
use super::seen::tests::READ;
use core::sync::atomic::Ordering::Relaxed;
use std::hint::black_box;
use std::vec::Vec;

#[inline(never)]
fn here() -> Vec<usize> {
    let mut stack = [0; 40];
    let count = capture(&mut stack);
    stack[..count].to_vec()
}

/// The stack below `depth` more frames of this function, captured three times.
#[inline(never)]
fn below(depth: usize) -> Vec<Vec<usize>> {
    if depth > 0 {
        return black_box(below(black_box(depth - 1)));
    }
    let mut stacks = Vec::new();
    for _ in 0..black_box(3) {
        stacks.push(here());
    }
    stacks
}

#[test]
#[cfg_attr(miri, ignore = "an interpreter has no unwinder")]
fn a_stack_that_was_seen_is_read_and_is_the_same() {
    // As a heap does at its first use: else nothing tells stacks of threads apart.
    crate::kernel::seat::use_thread_pointers();
    let mut lengths = Vec::new();
    for depth in [0, 3, 1, 3, 0] {
        let before = READ.load(Relaxed);
        let stacks = below(depth);
        assert!(stacks[0].len() > 4 && stacks.iter().all(|stack| *stack == stacks[0]), "{depth}: {stacks:x?}");
        assert!(READ.load(Relaxed) - before >= 2 || !cfg!(target_arch = "x86_64"));
        lengths.push(stacks[0].len());
    }
    assert_eq!([lengths[1], lengths[2], lengths[3]], [lengths[0] + 3, lengths[0] + 1, lengths[0] + 3]);
}
