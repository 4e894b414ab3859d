//! Positive controls: each invariant is broken alone, and `check` must name it.

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

fn address_of(span: Span) -> usize {
    span.start()
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

/// A heap that is shorter than the first array of handles, and still has the one aside in use.
fn shrunk() -> Subject {
    let mut heap = Heap::new(Emulated::new(Box::leak(Box::new_uninit_slice(6 << 20))));
    let mut allocate = |size| heap.allocate(Layout::from_size_align(size, 16).unwrap()).unwrap().as_ptr();
    let (_, large) = (allocate(1000), allocate(4 << 20));
    // SAFETY: nothing uses the block.
    unsafe { heap.free(large) }.unwrap();
    heap.spans.lower(0);
    assert!(heap.spans.map.pages() < 20 && heap.spans.map.aside_bytes() > 0);
    assert_eq!(heap.check(), Ok(()));
    heap
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
fn i1_a_length_that_leaves_a_gap() {
    sees(1, |heap| {
        let span = indexed_free(heap);
        heap.spans.fit.remove(span);
        span.set_page_count(span.page_count() - 1);
        heap.spans.fit.insert(span);
    });
}

#[test]
fn i1_a_link_back_to_the_wrong_span() {
    sees(1, |heap| a_large(heap).set_prev(heap.spans.first));
}

#[test]
fn i1_a_list_that_ends_early() {
    sees(1, |heap| a_large(heap).set_next(None));
}

#[test]
fn i1_a_span_after_the_last_one() {
    sees(1, |heap| find(heap, |span| span.next().is_none()).set_next(heap.spans.first));
}

#[test]
fn i1_a_start_that_is_another_page() {
    sees(1, |heap| a_large(heap).fields().start.set(address_of(a_large(heap)) + PAGE));
}

#[test]
fn i2_a_link_to_a_record_of_another_page() {
    sees(2, |heap| {
        let span = a_large(heap);
        let elsewhere = heap.spans.map.record(span.end() - PAGE);
        elsewhere.init(Kind::Large, span.start(), span.page_count(), 0);
        elsewhere.set_prev(span.prev());
        elsewhere.set_next(span.next());
        span.prev().unwrap().set_next(Some(elsewhere));
    });
}

#[test]
fn i3_a_free_span_that_was_not_coalesced() {
    sees(3, |heap| {
        let (span, half) = (indexed_free(heap), indexed_free(heap).page_count() / 2);
        heap.spans.fit.remove(span);
        let rest = heap.spans.split(span, half);
        heap.spans.fit.insert(span);
        heap.spans.fit.insert(rest);
    });
}

#[test]
fn i4_a_free_span_that_best_fit_has_lost() {
    sees(4, |heap| {
        let span = indexed_free(heap);
        heap.spans.fit.remove(span);
    });
}

#[test]
fn i4_a_free_span_in_the_list_of_another_length() {
    sees(4, |heap| {
        let tree = tree_span(heap);
        heap.spans.fit.remove(tree);
        let pages = tree.fields().pages.get();
        tree.fields().pages.set(3);
        heap.spans.fit.insert(tree);
        tree.fields().pages.set(pages);
    });
}

#[test]
fn i4_something_that_is_not_free_in_the_index() {
    // At the head of a list, in the middle of it, and below and at the root of the tree.
    sees(4, |heap| heap.spans.fit.insert(a_large(heap)));
    sees(4, |heap| {
        let span = find(heap, |span| span.is(Kind::Free) && span.page_count() <= 64 && heap.spans.top != Some(span));
        span.links().right.set(Some(a_large(heap)));
    });
    sees(4, |heap| tree_span(heap).links().left.set(Some(a_large(heap))));
    sees(4, |heap| {
        let large = find(heap, |span| span.is(Kind::Large) && span.page_count() > 64);
        tree_span(heap).links().right.set(Some(large));
    });
}

#[test]
fn i4_the_top_in_the_index() {
    sees(4, |heap| heap.spans.fit.insert(heap.spans.top.unwrap()));
}

#[test]
fn i4_a_header_in_the_index_that_is_no_record() {
    sees(4, |heap| {
        let copy = Box::leak(Box::new(MaybeUninit::<Header>::uninit()));
        let address = core::ptr::from_mut(copy).expose_provenance();
        // SAFETY: the copy is as long and as aligned as a record, and is never freed.
        let forged = unsafe { Span::at(address) };
        forged.init(Kind::Free, address_of(tree_span(heap)), tree_span(heap).page_count(), 0);
        tree_span(heap).links().left.set(Some(forged));
    });
}

#[test]
fn i4_a_link_to_no_memory_at_all_is_not_followed() {
    // SAFETY: no record is there; the check may compare the handle with others, and no more.
    let wild = || Some(unsafe { Span::at(0x1000) });
    sees(4, |heap| tree_span(heap).links().left.set(wild()));
    sees(4, |heap| heap.spans.fit.lists[40] = wild());
    sees(4, |heap| {
        let span = find(heap, |span| span.is(Kind::Free) && span.page_count() <= 64 && heap.spans.top != Some(span));
        span.links().left.set(wild());
    });
}

#[test]
fn i4_a_list_and_its_bit_that_disagree() {
    sees(4, |heap| heap.spans.fit.occupied |= 1 << 40);
    sees(4, |heap| heap.spans.fit.occupied = 0);
}

#[test]
fn i4_a_ring_of_free_spans_that_no_list_has() {
    sees(4, |heap| {
        let span = find(heap, |span| span.is(Kind::Free) && span.page_count() <= 64 && heap.spans.top != Some(span));
        span.links().left.set(Some(span));
        span.links().right.set(Some(span));
    });
}

#[test]
fn i4_a_tree_out_of_order() {
    // A second tree of the same spans would have the same seed only by chance; this one is a loop.
    sees(4, |heap| tree_span(heap).links().right.set(Some(tree_span(heap))));
}

#[test]
fn i5_an_interior_page_that_has_an_owner() {
    sees(5, |heap| heap.spans.map.set(address_of(a_large(heap)) + PAGE, Some(a_large(heap))));
}

#[test]
fn i5_a_later_page_of_a_slab_that_has_none() {
    sees(5, |heap| {
        let long = find(heap, |span| span.is(Kind::Slab) && span.page_count() > 1);
        heap.spans.map.set(address_of(long) + PAGE, None);
    });
}

#[test]
fn i5_a_page_of_a_slab_that_has_none() {
    sees(5, |heap| heap.spans.map.set(full_slab(heap).start(), None));
}

#[test]
fn i5_a_page_beyond_the_end_that_has_an_owner() {
    sees(5, |heap| heap.spans.map.handle_in(None, heap.spans.map.pages()).set(heap.spans.first));
    sees_in(shrunk(), 5, |heap| heap.spans.map.handle_in(None, heap.spans.map.pages() + 9).set(heap.spans.first));
}

#[test]
fn i5_an_older_array_of_handles_that_is_not_true() {
    sees(5, |heap| heap.spans.map.handle_in(Some(0), 0).set(None));
    sees(5, |heap| heap.spans.map.handle_in(Some(0), 59).set(heap.spans.first));
    sees_in(shrunk(), 5, |heap| heap.spans.map.handle_in(Some(0), heap.spans.map.pages()).set(heap.spans.first));
}

#[test]
fn i5_an_array_of_handles_in_no_use_that_is_not_empty() {
    let mut heap = shrunk();
    heap.trim(0);
    let (map, brk) = (&mut heap.spans.map, &mut heap.spans.brk);
    let aside_from = map.first_aside(200, true, brk);
    assert_eq!((map.aside_bytes(), map.grow_aside(200, aside_from, brk, |_| Ok(()))), (0, Ok(())));
    heap.spans.note_peak();
    assert_eq!(heap.check(), Ok(()), "it is only mapped");
    sees_in(heap, 5, |heap| heap.spans.map.handle_in(None, 0).set(heap.spans.first));
}

#[test]
fn i2_an_array_of_handles_that_is_not_the_longest() {
    sees(2, |heap| heap.spans.map.use_first());
    sees_in(shrunk(), 2, |heap| heap.spans.map.use_first());
}

#[test]
fn i2_metadata_aside_that_does_not_stand() {
    sees(2, |heap| heap.spans.map.lose_aside());
}

#[test]
fn i6_a_size_class_that_is_not_the_slabs() {
    sees(6, |heap| full_slab(heap).fields().slot_size.set(SizeClass::from_index(0).slot_size() as u16));
}

#[test]
fn i6_a_wrong_reciprocal_or_size() {
    sees(6, |heap| full_slab(heap).fields().reciprocal.update(|reciprocal| reciprocal - 1));
    sees(6, |heap| full_slab(heap).fields().slot_size.update(|size| size + 16));
    sees(6, |heap| full_slab(heap).fields().slack_max.update(|slack| slack + 1));
}

#[test]
fn i7_a_flipped_bit() {
    sees(7, |heap| full_slab(heap).live()[0].update(|bits| bits ^ 1));
}

#[test]
fn i7_a_bit_beyond_the_last_slot() {
    sees(7, |heap| full_slab(heap).live()[MAX_SLOTS / 64 - 1].set(1 << 63));
}

#[test]
fn i7_a_wrong_count() {
    sees(7, |heap| listed_slab(heap).set_until_review(listed_slab(heap).until_review() - 1));
}

/// A slab some of whose slots were never opened: it lies in fresh memory.
fn partly_opened(heap: &mut Subject) -> Slab {
    loop {
        let payload = heap.allocate(Layout::from_size_align(512, 16).unwrap()).unwrap();
        let slab = heap.spans.map.find(payload.addr().get()).and_then(Span::as_slab).unwrap();
        if (2..slab.capacity().min(64)).contains(&slab.opened()) {
            return slab;
        }
    }
}

#[test]
fn i7_a_live_slot_that_was_never_opened() {
    sees(7, |heap| {
        let slab = partly_opened(heap);
        slab.live()[0].update(|bits| bits | 1 << slab.opened());
    });
}

#[test]
fn i7_more_slots_opened_than_there_are() {
    sees(7, |heap| {
        let slab = full_slab(heap);
        slab.forge(slab.capacity() + 1, slab.place(), slab.until_review());
    });
    sees(7, |heap| {
        let slab = partly_opened(heap);
        slab.forge(slab.capacity() + 1, slab.place(), slab.until_review());
    });
}

#[test]
fn i8_a_slot_that_is_taken_over_but_was_never_opened() {
    sees(8, |heap| {
        let slab = partly_opened(heap);
        heap.tier.classes[slab.size_class().index()].word |= 1 << slab.opened();
    });
}

#[test]
fn i8_a_slab_that_is_not_the_classs() {
    sees(8, |heap| {
        let unused = heap.tier.classes.iter().position(|class| class.slab.is_none()).unwrap();
        heap.tier.classes[unused].slab = Some(listed_slab(heap));
    });
    sees(8, |heap| {
        let index = current_slab(heap).size_class().index();
        heap.tier.classes[index].slab = Some(a_large(heap).as_slab_by_reciprocal());
    });
}

#[test]
fn i8_a_word_of_another_slab() {
    sees(8, |heap| {
        let (index, other) = (current_slab(heap).size_class().index(), listed_slab(heap));
        heap.tier.classes[index].live = &raw const other.live()[0];
    });
}

#[test]
fn i8_a_step_that_is_another_classs() {
    sees(8, |heap| {
        let index = current_slab(heap).size_class().index();
        heap.tier.classes[index].slot_size += 16;
    });
}

#[test]
fn i8_a_slot_that_is_both_taken_over_and_live() {
    sees(8, |heap| {
        let slab = current_slab(heap);
        let class = &heap.tier.classes[slab.size_class().index()];
        let word = slab.live().iter().find(|&word| core::ptr::from_ref(word) == class.live).unwrap();
        // One more is live here and one less there, so that the count stays.
        let other = slab.live().iter().find(|word| word.get() != 0).unwrap();
        other.set(other.get() & (other.get() - 1));
        word.set(word.get() | class.word & class.word.wrapping_neg());
    });
}

#[test]
fn i8_a_word_without_a_slab() {
    sees(8, |heap| {
        let unused = heap.tier.classes.iter().position(|class| class.slab.is_none()).unwrap();
        heap.tier.classes[unused].word = 1;
    });
}

#[test]
fn i8_a_base_that_is_another_words() {
    sees(8, |heap| {
        let index = current_slab(heap).size_class().index();
        heap.tier.classes[index].base += 16;
    });
    sees(8, |heap| {
        let class = &mut heap.tier.classes[current_slab(heap).size_class().index()];
        class.next_slot += class.slot_size as usize;
    });
}

#[test]
fn i9_a_place_that_is_another() {
    let move_to = |slab: Slab, place| slab.set_place(place, slab.live_slots());
    sees(9, |heap| move_to(listed_slab(heap), Place::Current));
    sees(9, |heap| move_to(current_slab(heap), Place::Listed));
    sees(9, |heap| current_slab(heap).set_until_review(100));
}

#[test]
fn i9_a_list_that_has_lost_its_slabs() {
    sees(9, |heap| {
        let index = listed_slab(heap).size_class().index();
        heap.tier.classes[index].listed = None;
    });
}

#[test]
fn i9_a_slab_that_is_on_no_list_and_says_it_is() {
    sees(9, |heap| {
        let slab = full_slab(heap);
        slab.set_place(Place::Listed, slab.live_slots());
    });
}

#[test]
fn i9_a_link_back_that_is_wrong() {
    sees(9, |heap| {
        let first = heap.tier.classes[listed_slab(heap).size_class().index()].listed.unwrap();
        first.links().left.set(Some(full_slab(heap)));
    });
}

#[test]
fn i9_a_slab_on_the_list_of_another_class() {
    sees(9, |heap| {
        let index = listed_slab(heap).size_class().index();
        let listed = heap.tier.classes[index].listed.take();
        heap.tier.classes[(index + 1) % CLASSES].listed = listed;
    });
}

#[test]
fn i9_a_link_to_no_memory_at_all_is_not_followed() {
    // SAFETY: no record is there; the check may compare the handle with others, and no more.
    sees(9, |heap| listed_slab(heap).links().right.set(Some(unsafe { Span::at(0x1000) }.as_slab_by_reciprocal())));
}

#[test]
fn i10_a_slab_that_is_missing_among_the_empty_ones() {
    sees(10, |heap| heap.tier.empties.slabs[0] = None);
}

#[test]
fn i10_a_slab_in_use_among_the_empty_ones() {
    sees(10, |heap| heap.tier.empties.slabs[0] = Some(listed_slab(heap)));
    sees(10, |heap| {
        let slab = listed_slab(heap);
        slab.set_place(Place::Empty, slab.until_review());
        heap.tier.empties.slabs[0] = Some(slab);
    });
}

#[test]
fn i10_a_slab_that_says_it_is_empty_and_is_not_remembered() {
    sees(10, |heap| {
        let slab = listed_slab(heap);
        slab.set_place(Place::Empty, slab.until_review());
    });
    sees(10, |heap| heap.tier.empties.count = 0);
}

#[test]
fn i10_a_slab_that_is_remembered_twice() {
    sees(10, |heap| {
        heap.tier.empties.slabs[1] = heap.tier.empties.slabs[0];
        heap.tier.empties.count = 2;
    });
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
fn i11_a_forgotten_top() {
    sees(11, |heap| heap.spans.top = None);
}

#[test]
fn i11_a_top_that_is_not_the_last_span() {
    sees(11, |heap| heap.spans.top = Some(indexed_free(heap)));
    sees(11, |heap| heap.spans.top = Some(a_large(heap)));
}

#[test]
fn i11_a_last_span_that_is_not_the_last() {
    sees(11, |heap| heap.spans.last = heap.spans.first);
}

#[test]
fn i12_a_counter_that_is_off() {
    sees(12, |heap| heap.spans.counters.foreign_pages += 1);
    sees(12, |heap| heap.spans.counters.region_pages -= 1);
    sees(12, |heap| heap.spans.counters.slab_pages -= 1);
    sees(12, |heap| heap.spans.counters.peak_bytes = 1);
    sees(12, |heap| heap.spans.fit.pages += 1);
    sees(12, |heap| heap.spans.fit.dirty += 1);
    sees(12, |heap| {
        let index = full_slab(heap).size_class().index();
        heap.tier.classes[index].pages += 1;
    });
}

#[test]
fn i13_a_reciprocal_where_there_are_no_slots() {
    sees(13, |heap| a_large(heap).fields().reciprocal.set(1));
}

#[test]
fn i14_a_byte_in_a_page_known_to_be_zero() {
    sees(14, |heap| {
        let span = find(heap, |span| span.is(Kind::Free) && span.zero_end() > 0);
        // SAFETY: the last page of a free span belongs to the heap and is not part of a payload.
        unsafe { core::ptr::with_exposed_provenance_mut::<u8>(span.end() - PAGE).write(1) };
    });
}

#[test]
fn i14_a_byte_in_a_unit_known_to_be_zero() {
    sees(14, |heap| {
        let slab = partly_opened(heap);
        let unit = slab.zero_units().trailing_zeros() as usize;
        let at = core::ptr::with_exposed_provenance_mut::<u8>(slab.start() + unit * UNIT);
        // SAFETY: the unit belongs to the heap, and no block lies in it.
        unsafe { at.write(1) };
    });
}

#[test]
fn i14_a_unit_known_to_be_zero_in_which_a_slot_lives() {
    sees(14, |heap| full_slab(heap).forge_zero_units(full_slab(heap).live_units() & 0b10));
    // A slot at hand may be written, too.
    sees(14, |heap| {
        let slab = current_slab(heap);
        let class = &heap.tier.classes[slab.size_class().index()];
        let at_hand = slab.units_of_word((class.base - slab.start()) / class.slot_size as usize / 64, class.word);
        slab.add_zero_units(at_hand);
    });
}

#[test]
fn i14_units_known_to_be_zero_past_the_end_of_a_slab() {
    sees(14, |heap| {
        let slab = find_slab(heap, |slab| slab.span().page_count() < 8);
        slab.add_zero_units(!slab.units());
    });
}

#[test]
fn i14_more_pages_known_to_be_zero_than_there_are() {
    sees(14, |heap| indexed_free(heap).set_zero_end(indexed_free(heap).page_count() + 1));
    sees(14, |heap| indexed_free(heap).fields().dirty.set(indexed_free(heap).page_count() as u32 + 1));
}

#[test]
fn i15_a_heap_that_does_not_start_with_metadata() {
    sees(15, |heap| heap.spans.first.unwrap().forge_kind(Kind::Large));
    sees(15, |heap| {
        let start = heap.spans.map.regions().iter().next().unwrap().start;
        heap.spans.map.find(start).unwrap().forge_kind(Kind::Large);
    });
}

#[test]
fn i16_a_heap_that_ends_above_the_break() {
    // SAFETY: the heap is only checked after this, not used.
    sees(16, |heap| unsafe { heap.brk_mut().foreign_move_below(-1) });
}

#[test]
fn a_corruption_says_what_is_wrong_and_where() {
    use std::string::ToString;
    let texts: Vec<_> = (1..=16).map(|invariant| Corruption { invariant, address: 0x1000 }.to_string()).collect();
    for (index, text) in texts.iter().enumerate() {
        assert!(text.starts_with(&std::format!("I{} at 0x1000: ", index + 1)) && !text.contains("unknown"));
    }
}
