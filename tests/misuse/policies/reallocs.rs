//! The same mistakes in `realloc`.

use super::scene::{Act, layout, make};
use std::alloc::GlobalAlloc;
use std::ptr::without_provenance_mut;

/// A call to `realloc` that must answer null.
fn refused_realloc(payload: *mut u8, old: usize, new: usize) -> Act {
    Box::new(move |scene| {
        // SAFETY: a mistake, which the heap notices and refuses.
        assert!(unsafe { scene.heap.realloc(payload, layout(old), new) }.is_null());
    })
}

#[test]
fn a_realloc_with_another_layout() {
    make(&a_realloc_with_another_layout, |scene| {
        let payload = scene.block(64);
        let line = scene.line("realloc", payload, "not of the given layout", Some((payload, 64, "used")));
        (line, refused_realloc(payload, 640, 700))
    });
}

#[test]
fn a_realloc_of_a_freed_block() {
    make(&a_realloc_of_a_freed_block, |scene| {
        let payload = scene.take_briefly(64);
        scene.free(payload, 64);
        let line = scene.line("realloc", payload, "already free", Some((payload, 64, "free")));
        (line, refused_realloc(payload, 64, 100))
    });
}

#[test]
fn a_realloc_of_the_inside_of_a_block() {
    make(&a_realloc_of_the_inside_of_a_block, |scene| {
        let block = scene.block(5000);
        let payload = block.wrapping_add(160);
        let line = scene.line("realloc", payload, "not a block", Some((block, 8192, "used")));
        (line, refused_realloc(payload, 5000, 100))
    });
}

#[test]
fn a_realloc_of_a_wild_pointer() {
    make(&a_realloc_of_a_wild_pointer, |scene| {
        let payload = without_provenance_mut(0x1000);
        let line = scene.line("realloc", payload, "outside the heap", None);
        (line, refused_realloc(payload, 64, 100))
    });
}
