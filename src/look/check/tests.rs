//! Positive controls: each invariant is broken alone, and `check` must name it.

mod slabs;
mod spans;

use super::*;
use crate::ground::header::Header;
use crate::heap::Heap;
use crate::kernel::brk::Emulated;
use core::alloc::Layout;
use core::mem::MaybeUninit;
use std::boxed::Box;
use std::vec::Vec;

type Subject = Heap<Emulated<'static>>;

/// An interpreter has time for a third of it.
const SCALE: usize = if cfg!(miri) { 1 } else { 3 };

/// A heap that has everything: slabs in all places, free spans in lists and tree, a large span, a foreign span, a
/// region, known zeros, and a free top.
fn subject() -> Subject {
    let arena = Box::leak(Box::new_uninit_slice((14 + 3 * SCALE) << 20));
    let mut emulated = Emulated::new(arena);
    emulated.allow_mappings((1 + SCALE) << 20);
    let mut heap = Heap::new(emulated);
    let mut allocate = |size| heap.allocate(Layout::from_size_align(size, 16).unwrap()).unwrap().as_ptr();
    let small: Vec<_> = (0..SCALE * 200 + 1).map(|_| allocate(1000)).collect();
    // So large that nothing is returned of what is freed below.
    allocate(11 << 20);
    let tree = allocate(1300 << 10);
    allocate(60 << 10);
    let listed = allocate(100 << 10);
    allocate(60 << 10);
    heap.brk_mut().foreign_move(5000);
    heap.allocate(Layout::from_size_align(SCALE * (640 << 10), 16).unwrap()).unwrap();
    // Until the break is raised by more than the need.
    while heap.spans.top.is_none() {
        heap.allocate(Layout::from_size_align(60 << 10, 16).unwrap()).unwrap();
    }
    heap.brk_mut().fail_after(0);
    heap.allocate(Layout::from_size_align((SCALE << 20) + PAGE, 16).unwrap()).unwrap();
    for payload in [tree, listed].into_iter().chain(small[16..SCALE * 100].iter().copied()) {
        // SAFETY: nothing uses the block.
        unsafe { heap.free(payload) }.unwrap();
    }
    heap
}

fn find(heap: &Subject, wanted: impl Fn(Span) -> bool) -> Span {
    heap.spans.iter().find(|&span| wanted(span)).expect("the subject has such a span")
}

fn a_large(heap: &Subject) -> Span {
    find(heap, |span| span.is(Kind::Large))
}

fn indexed_free(heap: &Subject) -> Span {
    find(heap, |span| span.is(Kind::Free) && heap.spans.top != Some(span) && span.page_count() > 1)
}

fn tree_span(heap: &Subject) -> Span {
    find(heap, |span| span.is(Kind::Free) && span.page_count() > 64 && heap.spans.top != Some(span))
}

fn find_slab(heap: &Subject, wanted: impl Fn(Slab) -> bool) -> Slab {
    heap.spans.iter().filter_map(Span::as_slab).find(|&slab| wanted(slab)).expect("the subject has such a slab")
}

fn listed_slab(heap: &Subject) -> Slab {
    find_slab(heap, |slab| slab.place() == Place::Listed)
}

fn full_slab(heap: &Subject) -> Slab {
    find_slab(heap, |slab| slab.place() == Place::Full)
}

fn current_slab(heap: &Subject) -> Slab {
    find_slab(heap, |slab| heap.tier.classes.iter().any(|class| class.slab == Some(slab) && class.word != 0))
}

#[test]
fn the_subject_is_sound_and_has_everything() {
    let heap = subject();
    assert_eq!(heap.check(), Ok(()));
    assert!(heap.spans.top.is_some() && heap.tier.empties.count > 0 && heap.spans.map.regions().iter().len() > 0);
    assert!(heap.spans.counters.foreign_pages > 0);
    tree_span(&heap);
    find(&heap, |span| span.is(Kind::Free) && span.zero_end() > 0);
    let _ = (a_large(&heap), indexed_free(&heap), listed_slab(&heap), full_slab(&heap), current_slab(&heap));
}

/// Breaks one thing in a sound heap; `check` must answer with that invariant's number.
fn sees(invariant: u8, corrupt: impl Fn(&mut Subject)) {
    // An interpreter is there to check memory accesses, and takes a second for each subject: it runs the cases with
    // forged links, and skips those that only change numbers.
    if cfg!(miri) && ![1, 2, 4, 9, 16].contains(&invariant) {
        return;
    }
    sees_in(subject(), invariant, corrupt);
}

/// The same in another heap.
fn sees_in(mut heap: Subject, invariant: u8, corrupt: impl Fn(&mut Subject)) {
    corrupt(&mut heap);
    assert_eq!(heap.check().expect_err("the corruption is not seen").invariant, invariant);
}

#[test]
fn a_handle_outside_of_headers_that_leads_to_no_memory_at_all_is_not_followed() {
    // SAFETY: no record is there; the check may compare the handle with others, and no more.
    let wild = || unsafe { Span::at(0x1000) };
    sees(11, |heap| heap.spans.last = Some(wild()));
    sees(10, |heap| heap.tier.empties.slabs[0] = Some(wild().as_slab_by_reciprocal()));
    sees(8, |heap| {
        let index = current_slab(heap).size_class().index();
        heap.tier.classes[index].slab = Some(wild().as_slab_by_reciprocal());
    });
}

#[test]
fn a_corruption_says_what_is_wrong_and_where() {
    use std::string::ToString;
    let texts: Vec<_> = (1..=16).map(|invariant| Corruption { invariant, address: 0x1000 }.to_string()).collect();
    for (index, text) in texts.iter().enumerate() {
        assert!(text.starts_with(&std::format!("I{} at 0x1000: ", index + 1)) && !text.contains("unknown"));
    }
}
