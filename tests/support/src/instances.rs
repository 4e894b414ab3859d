//! The library's generic code for the sources that most tests use, compiled once: otherwise each test's binary compiles its own. Up
//! to optimization level 1 the compiler takes what a dependency has compiled. It costs 6 seconds of a processor, and saves 20.

use hmalloc::brk::{Brk, Emulated, Linux, OwnBreak};
use hmalloc::{Heap, Hmalloc};
use std::alloc::{GlobalAlloc, Layout};

/// What tests do with a heap.
///
/// # Safety
///
/// It is never called.
unsafe fn of_heap<B: Brk>(heap: &mut Heap<B>, block: *mut u8, layout: Layout) {
    let _ = (heap.allocate(layout), heap.allocate_zeroed(layout));
    // SAFETY: never called.
    unsafe {
        let _ = (heap.free(block), heap.resize(block, layout), heap.free_sized(block, layout));
    }
    let _ = (heap.usable_size(block), heap.blocks().next(), heap.check(), heap.stats(), heap.trim(0));
}

/// What tests do with a program's heap.
///
/// # Safety
///
/// It is never called.
unsafe fn of_hmalloc(heap: &Hmalloc, block: *mut u8, layout: Layout) {
    // SAFETY: never called.
    unsafe {
        let _ = (heap.alloc(layout), heap.alloc_zeroed(layout), heap.realloc(block, layout, 1));
        heap.dealloc(block, layout);
        let _ = (heap.resize(block, layout), heap.free_sized(block, layout));
    }
    let _ = (heap.allocate(layout), heap.allocate_zeroed(layout), heap.usable_size(block));
    let _ = (heap.check(), heap.stats(), heap.trim(0), heap.with(|heap| heap.blocks().next()));
}

type OfHeap<B> = unsafe fn(&mut Heap<B>, *mut u8, Layout);

pub static OF_EMULATED: OfHeap<Emulated<'static>> = of_heap;
pub static OF_LINUX: OfHeap<Linux> = of_heap;
pub static OF_OWN_BREAK: OfHeap<OwnBreak> = of_heap;
pub static OF_PROGRAMS: unsafe fn(&Hmalloc, *mut u8, Layout) = of_hmalloc;
