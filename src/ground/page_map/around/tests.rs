//! Spans are found from every page of theirs, by as many looks as the source says: checked against a walk.

use super::*;
use crate::ground::header::Kind;
use crate::heap::Heap;
use crate::kernel::brk::Emulated;
use core::alloc::Layout;
use core::ptr::NonNull;
use std::boxed::Box;
use std::vec::Vec;

type Subject = Heap<Emulated<'static>>;

/// An interpreter has time for less.
const STEPS: usize = if cfg!(miri) { 3 } else { 120 };
const ARENA: usize = if cfg!(miri) { 24 << 20 } else { 96 << 20 };

fn layout(pages: usize) -> Layout {
    Layout::from_size_align(pages * PAGE, 16).expect("a small layout")
}

/// From each page of each span, but for the top, the span is found by marks or within [`NEAR`] pages. Returns how many
/// were found by marks alone.
fn found_everywhere(heap: &Subject) -> usize {
    let (map, mut marked) = (&heap.spans.map, 0);
    for span in heap.spans.iter().filter(|&span| heap.spans.top != Some(span)) {
        for page in (0..span.page_count()).step_by(if cfg!(miri) { 301 } else { 1 }) {
            let address = span.start() + page * PAGE;
            if page >= NEAR {
                assert_eq!(map.find_marked(address), Some(span), "page {page} of {}", span.page_count());
                marked += 1;
            } else {
                assert!(map.find_marked(address).is_none_or(|found| found == span));
            }
            assert_eq!(heap.spans.find_around(address + 5), Some(span));
        }
    }
    marked
}

#[test]
fn a_long_span_is_found_from_each_of_its_pages() {
    let mut emulated = Emulated::new(Box::leak(Box::new_uninit_slice(ARENA)));
    emulated.allow_mappings(ARENA / 3);
    let mut heap = Heap::new(emulated);
    let (mut live, mut marked, mut random) = (Vec::<NonNull<u8>>::new(), 0, 0x9E37_79B9_7F4A_7C15_u64);
    for step in 0..STEPS {
        random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(step as u64 | 1);
        let pages = 1 + (random >> 33) as usize % if step % 3 == 0 { 1200 } else { 300 };
        let which = (random >> 50) as usize % live.len().max(1);
        match (random >> 60) % 4 {
            0 if !live.is_empty() => {
                // SAFETY: nothing uses the block.
                unsafe { heap.free(live.swap_remove(which).as_ptr()) }.expect("a live block");
            }
            1 if !live.is_empty() => {
                // SAFETY: the old address is forgotten.
                if let Ok(moved) = unsafe { heap.resize(live[which].as_ptr(), layout(pages)) } {
                    live[which] = moved;
                }
            }
            _ => live.extend(heap.allocate(layout(pages)).ok()),
        }
        if step == STEPS * 2 / 3 {
            // From here on in regions.
            heap.brk_mut().fail_after(0);
        }
        marked += found_everywhere(&heap);
    }
    assert_eq!(heap.check(), Ok(()));
    assert!(cfg!(miri) || marked > 1000 && heap.spans.map.regions().iter().len() > 0, "{marked} pages found by marks");
}

#[test]
fn a_mark_of_a_span_that_ended_leads_nowhere() {
    let mut heap = Heap::new(Emulated::new(Box::leak(Box::new_uninit_slice(ARENA))));
    let mut get = |pages| heap.allocate(layout(pages)).expect("room").addr().get();
    let (long, _) = (get(900), get(3));
    let free = |heap: &mut Subject, address| {
        // SAFETY: nothing uses the block.
        unsafe { heap.free(core::ptr::with_exposed_provenance_mut(address)) }.expect("a live block");
    };
    free(&mut heap, long);
    // The pages go to others, of every length, whose records and marks lie among the old ones.
    for pages in [1, 2, 255, 256, 257, 100].into_iter().take(if cfg!(miri) { 1 } else { 6 }) {
        heap.allocate(layout(pages)).expect("room");
        found_everywhere(&heap);
    }
    assert_eq!(heap.spans.find_around(usize::MAX), None);
    assert_eq!(heap.spans.find_around(0), None);
    assert_eq!(heap.spans.map.find_marked(0), None);
}

/// A mark says where a span starts, and is believed only if it does.
#[test]
fn a_forged_mark_is_not_believed() {
    let mut heap = Heap::new(Emulated::new(Box::leak(Box::new_uninit_slice(ARENA))));
    let below = heap.allocate(layout(4)).expect("room").addr().get();
    let long = heap.allocate(layout(1000)).expect("room").addr().get();
    heap.allocate(layout(1)).expect("room");
    let span = heap.spans.map.find(long).expect("a span");
    let page = long + 700 * PAGE;
    let rounded = |shift: u32| page >> shift << shift;
    let marks: Vec<_> = (22..31).map(rounded).take_while(|&at| at > long).map(|at| heap.spans.map.record(at)).collect();
    assert!(!marks.is_empty() && span.is(Kind::Large));
    let forged = [below, long + PAGE, long + 1, 0, usize::MAX, usize::MAX & !(PAGE - 1), heap.brk().current()];
    for forged in forged.into_iter().take(if cfg!(miri) { 3 } else { 7 }) {
        marks.iter().for_each(|mark| mark.set_mark(forged));
        assert_eq!(heap.spans.map.find_marked(page), None, "{forged:#x}");
        assert_eq!(heap.spans.find_around(page), Some(span), "found without");
    }
    heap.spans.map.mark(span);
    assert_eq!(heap.spans.map.find_marked(page), Some(span));
}
