//! Exercise 7, solved.

use core::ptr::null_mut;
use learn_heap::Heap;

/// The tests and their names.
pub const TESTS: &[(&str, fn(&mut dyn Heap))] = &[
    ("a freed block is used again", used_again),
    ("payloads are aligned", aligned),
    ("blocks do not overlap", disjoint),
    ("a block too small is not used", too_small),
    ("the rest of a large block is used", split),
    ("an address inside a block is not freed", inside),
    ("what is no block is not freed", nothing),
    ("free neighbours are one block", joined),
    ("and no larger than they were", joined_exactly),
    ("what others have between is not joined", not_over_others),
    ("calloc gives zeros", zeros),
    ("a product that overflows is null", product),
    ("realloc of null allocates", realloc_null),
    ("realloc takes the bytes along", moved),
    ("realloc in vain changes nothing", in_vain),
    ("the break comes down", lowered),
];

fn used_again(heap: &mut dyn Heap) {
    let [a, _b] = [heap.malloc(100), heap.malloc(100)];
    heap.free(a);
    assert_eq!(heap.malloc(100), a);
}

fn aligned(heap: &mut dyn Heap) {
    for size in [5, 0, 21, 16] {
        assert_eq!(heap.malloc(size).addr() % 16, 0, "{size}");
    }
}

fn disjoint(heap: &mut dyn Heap) {
    let [a, b] = [heap.malloc(64), heap.malloc(64)];
    assert!(a.addr() + 64 <= b.addr() || b.addr() + 64 <= a.addr());
}

fn too_small(heap: &mut dyn Heap) {
    let [a, _b] = [heap.malloc(16), heap.malloc(16)];
    heap.free(a);
    assert_ne!(heap.malloc(32), a);
}

fn split(heap: &mut dyn Heap) {
    let [a, b] = [heap.malloc(256), heap.malloc(16)];
    heap.free(a);
    let [c, d] = [heap.malloc(24), heap.malloc(24)];
    assert!(c == a && d < b);
}

fn inside(heap: &mut dyn Heap) {
    let [a, _b] = [heap.malloc(64), heap.malloc(64)];
    heap.free(a.wrapping_add(16));
    assert_ne!(heap.malloc(64), a);
}

fn nothing(heap: &mut dyn Heap) {
    let [_a, b] = [heap.malloc(64), heap.malloc(64)];
    let before = heap.current_break();
    heap.free(null_mut());
    assert_eq!(heap.current_break(), before);
    assert_ne!(heap.malloc(64), b);
}

fn joined(heap: &mut dyn Heap) {
    // 60 bytes are 64: if they were not rounded, the next block would not begin where this one ends.
    let [a, b, _c] = [heap.malloc(60), heap.malloc(60), heap.malloc(60)];
    heap.free(a);
    heap.free(b);
    assert_eq!(heap.malloc(150), a);
}

fn joined_exactly(heap: &mut dyn Heap) {
    let [a, b, _c] = [heap.malloc(64), heap.malloc(64), heap.malloc(64)];
    heap.free(b);
    heap.free(a);
    assert_ne!(heap.malloc(64 + 64 + heap.header() + 16), a);
}

fn not_over_others(heap: &mut dyn Heap) {
    let a = heap.malloc(64);
    heap.kernel().raise_by_others(64);
    let [b, _c] = [heap.malloc(64), heap.malloc(64)];
    heap.free(b);
    heap.free(a);
    assert_ne!(heap.malloc(100), a);
}

fn zeros(heap: &mut dyn Heap) {
    let [a, _b] = [heap.malloc(256), heap.malloc(16)];
    unsafe { a.write_bytes(0xFF, 256) };
    heap.free(a);
    let c = heap.calloc(16, 16);
    assert!((0..256).all(|at| unsafe { c.add(at).read() } == 0));
}

fn product(heap: &mut dyn Heap) {
    assert!(heap.calloc(usize::MAX / 2 + 1, 2).is_null());
}

fn realloc_null(heap: &mut dyn Heap) {
    assert!(!heap.realloc(null_mut(), 100).is_null());
}

fn moved(heap: &mut dyn Heap) {
    let [a, _b] = [heap.malloc(64), heap.malloc(16)];
    unsafe { a.write_bytes(7, 64) };
    let c = heap.realloc(a, 1000);
    assert!((0..64).all(|at| unsafe { c.add(at).read() } == 7));
    assert_eq!(heap.malloc(64), a);
}

fn in_vain(heap: &mut dyn Heap) {
    let [a, b, _c] = [heap.malloc(64), heap.malloc(64), heap.malloc(64)];
    heap.free(b);
    heap.kernel().refuse_raises(true);
    assert!(heap.realloc(a, 1000).is_null());
    assert_eq!(heap.malloc(64), b);
}

fn lowered(heap: &mut dyn Heap) {
    let before = heap.current_break();
    let a = heap.malloc(100);
    heap.free(a);
    assert!(heap.current_break() < before + 16);
}
