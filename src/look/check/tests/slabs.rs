//! Slabs, their slots, and the lists and classes that slabs belong to.

use super::*;

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
