//! Frees of live blocks with a layout that cannot be theirs.

use super::scene::make;
use hmalloc::PAGE;
use std::alloc::{GlobalAlloc, Layout};

#[test]
fn a_free_that_says_too_much() {
    make(&a_free_that_says_too_much, |scene| {
        let payload = scene.block(64);
        let line = scene.line("free", payload, "not of the given layout", Some((payload, 64, "used")));
        (line, Box::new(move |scene| scene.free(payload, 65)))
    });
}

#[test]
fn a_free_that_says_too_little() {
    make(&a_free_that_says_too_little, |scene| {
        let payload = scene.block(100_000);
        let line = scene.line("free", payload, "not of the given layout", Some((payload, 7 * PAGE, "used")));
        (line, Box::new(move |scene| scene.free(payload, 100)))
    });
}

#[test]
fn a_free_that_says_another_alignment() {
    make(&a_free_that_says_another_alignment, |scene| {
        let payloads = [scene.take(64), scene.take(64)];
        let payload = *payloads.iter().find(|payload| !payload.addr().is_multiple_of(128)).expect("two in a row");
        let line = scene.line("free", payload, "not of the given layout", Some((payload, 64, "used")));
        let wrong = Layout::from_size_align(64, 4096).expect("a layout");
        // SAFETY: a mistake, which the heap notices and refuses.
        (line, Box::new(move |scene| unsafe { scene.heap.dealloc(payload, wrong) }))
    });
}
