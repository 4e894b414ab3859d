//! Spans, the index of free ones, handles, counters and the heap as a whole.

use super::*;

fn address_of(span: Span) -> usize {
    span.start()
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
    sees(12, |heap| heap.spans.fit.clean += 1);
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
