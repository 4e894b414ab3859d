//! Forged headers and links: each test forges one in a process of its own, which must end at once, by SIGABRT, with the
//! line that says what is wrong.

use super::*;
use crate::ground::header::{Header, Place, Slab, Span};
use crate::ground::list::Linked;
use crate::heap::Heap;
use crate::kernel::brk::Emulated;
use core::alloc::Layout;
use core::mem::MaybeUninit;
use std::boxed::Box;
use std::format;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::string::String;
use std::vec::Vec;

type Subject = Heap<Emulated<'static>>;

/// Set in the child only.
const CHILD: &str = "HMALLOC_TEST_CORRUPT";
const SIGABRT: i32 = 6;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).expect("a small layout")
}

fn get(heap: &mut Subject, size: usize) -> usize {
    heap.allocate(layout(size)).expect("room").addr().get()
}

fn free(heap: &mut Subject, address: usize) {
    // SAFETY: the tests never use what is in a block.
    let freed = unsafe { heap.free(core::ptr::with_exposed_provenance_mut(address)) };
    freed.expect("a live block");
}

/// A heap, and the addresses of 24 blocks of 100 KiB in a row.
fn subject() -> (Subject, Vec<usize>) {
    let arena = Box::leak(Box::new_uninit_slice(16 << 20));
    let mut emulated = Emulated::new(arena);
    emulated.allow_mappings(4 << 20);
    let mut heap = Heap::new(emulated);
    let blocks = (0..24).map(|_| get(&mut heap, 100 << 10)).collect();
    (heap, blocks)
}

fn span(heap: &Subject, address: usize) -> Span {
    heap.spans.map.find(address).expect("a span starts there")
}

/// A header where none belongs, as an overflow would leave it in a payload: a copy of `of`.
fn forged(of: Span) -> Span {
    let room = Box::leak(Box::new(MaybeUninit::<Header>::uninit()));
    let copy = core::ptr::from_mut(room).expose_provenance();
    // SAFETY: both are records' lengths, and do not overlap.
    unsafe {
        core::ptr::with_exposed_provenance_mut::<Header>(copy)
            .copy_from_nonoverlapping(core::ptr::with_exposed_provenance(of.address()), 1)
    };
    // SAFETY: the copy is as long and as aligned as a record, and is never freed.
    unsafe { Span::at(copy) }
}

/// Starts this binary again for `test` alone, and returns how that ended.
fn child(test: &str) -> (Option<i32>, String) {
    let mut command = Command::new(std::env::current_exe().expect("a test binary has a path"));
    command.args([&format!("ground::corrupt::tests::{test}"), "--exact", "--nocapture"]).env(CHILD, "1");
    let output = command.output().expect("the child starts");
    (output.status.signal(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// `forge` breaks something and then does an operation that must find it, and must not return.
fn dies(test: &str, invariant: u8, forge: impl FnOnce(&mut Subject, &[usize])) {
    if std::env::var_os(CHILD).is_some() {
        let (mut heap, blocks) = subject();
        return forge(&mut heap, &blocks);
    }
    let (signal, stderr) = child(test);
    let line = format!("hmalloc: the heap is corrupt: I{invariant} at 0x");
    assert!(signal == Some(SIGABRT) && stderr.lines().any(|said| said.starts_with(&line)), "{signal:?}: {stderr}");
}

/// One test for each operation that may find a forged header or link.
macro_rules! dies {
    ($($test:ident: $invariant:literal, $forge:expr;)*) => {
        $(
            #[test]
            #[cfg_attr(miri, ignore = "an interpreter starts no processes")]
            fn $test() {
                dies(stringify!($test), $invariant, $forge);
            }
        )*
    };
}

/// A full slab of 512-byte slots, and its blocks.
fn full_slab(heap: &mut Subject) -> (Slab, Vec<usize>) {
    let all: Vec<_> = (0..200).map(|_| get(heap, 512)).collect();
    let slab = heap.spans.iter().filter_map(Span::as_slab).find(|slab| slab.place() == Place::Full);
    let slab = slab.expect("so many blocks fill a slab");
    (slab, all.into_iter().filter(|&block| heap.spans.map.find(block) == Some(slab.span())).collect())
}

dies! {
    a_large_block_whose_handle_leads_to_a_forged_header: 2, |heap, blocks| {
        heap.spans.map.set(blocks[3], Some(forged(span(heap, blocks[3]))));
        free(heap, blocks[3]);
    };
    a_slab_whose_handle_leads_to_a_forged_header: 2, |heap, _| {
        let (slab, slots) = full_slab(heap);
        let other = forged(slab.span());
        (0..slab.span().page_count()).for_each(|page| heap.spans.map.set(slab.start() + page * crate::PAGE, Some(other)));
        slots.into_iter().for_each(|slot| free(heap, slot));
    };
    a_header_that_says_it_starts_elsewhere: 2, |heap, blocks| {
        let large = span(heap, blocks[3]);
        large.fields().start.set(0x10000);
        heap.work().free_live(crate::door::validate::Live::Large(large));
    };
    a_free_neighbour_that_is_forged: 2, |heap, blocks| {
        free(heap, blocks[4]);
        let next = span(heap, blocks[4]);
        span(heap, blocks[3]).set_next(Some(forged(next)));
        free(heap, blocks[3]);
    };
    a_free_neighbour_below_that_is_forged: 2, |heap, blocks| {
        free(heap, blocks[4]);
        let below = span(heap, blocks[4]);
        span(heap, blocks[5]).set_prev(Some(forged(below)));
        free(heap, blocks[5]);
    };
    a_forged_head_of_the_free_spans: 2, |heap, blocks| {
        free(heap, blocks[4]);
        let free = span(heap, blocks[4]);
        heap.spans.fit.lists[free.page_count() - 1] = Some(forged(free));
        get(heap, 100 << 10);
    };
    a_forged_head_of_the_listed_slabs: 2, |heap, _| {
        let (slab, slots) = full_slab(heap);
        slots.into_iter().for_each(|slot| free(heap, slot));
        let class = &mut heap.tier.classes[slab.size_class().index()];
        class.listed = Some(forged(slab.span()).as_slab_by_reciprocal());
        for _ in 0..200 {
            get(heap, 512);
        }
    };
    a_block_that_is_resized_and_forged: 2, |heap, blocks| {
        let large = forged(span(heap, blocks[3]));
        heap.spans.shorten(large, 2);
    };
    a_block_that_moves_and_is_forged: 2, |heap, blocks| {
        // Before the header is written to, and the content copied.
        heap.spans.map.set(blocks[3], Some(forged(span(heap, blocks[3]))));
        let _ = heap.work().begin_resize(blocks[3], layout(200 << 10));
    };
    a_block_that_becomes_small_and_is_forged: 2, |heap, blocks| {
        heap.spans.map.set(blocks[3], Some(forged(span(heap, blocks[3]))));
        let _ = heap.work().begin_resize(blocks[3], layout(100));
    };
    a_link_of_a_free_span_that_does_not_lead_back: 4, |heap, blocks| {
        [1, 4, 7].into_iter().for_each(|index| free(heap, blocks[index]));
        span(heap, blocks[4]).links().left.set(Some(span(heap, blocks[20])));
        free(heap, blocks[5]);
    };
    a_link_of_a_free_span_to_one_that_has_another_before_it: 4, |heap, blocks| {
        [1, 4, 7].into_iter().for_each(|index| free(heap, blocks[index]));
        span(heap, blocks[1]).links().left.set(Some(span(heap, blocks[7])));
        free(heap, blocks[2]);
    };
    a_free_span_that_is_not_the_head_and_says_so: 4, |heap, blocks| {
        [4, 8].into_iter().for_each(|index| free(heap, blocks[index]));
        span(heap, blocks[4]).links().left.set(None);
        free(heap, blocks[5]);
    };
    a_first_free_span_that_says_another_is_before_it: 4, |heap, blocks| {
        free(heap, blocks[4]);
        span(heap, blocks[4]).links().left.set(Some(span(heap, blocks[20])));
        free(heap, blocks[8]);
    };
    a_free_span_that_the_tree_does_not_have: 4, |heap, _| {
        let large = get(heap, 2 << 20);
        let next = get(heap, 2 << 20);
        free(heap, large);
        let start = span(heap, large);
        heap.spans.fit.tree = crate::central::treap::Treap::new();
        assert!(start.page_count() > 64);
        free(heap, next);
    };
    a_link_of_a_listed_slab_that_does_not_lead_back: 9, |heap, blocks| {
        let (slab, slots) = full_slab(heap);
        slots[1..].iter().for_each(|&slot| free(heap, slot));
        slab.links().right.set(Some(span(heap, blocks[2]).as_slab_by_reciprocal()));
        free(heap, slots[0]);
        heap.trim(0);
    };
    a_link_of_the_first_listed_slab_that_does_not_lead_back: 9, |heap, blocks| {
        let (slab, slots) = full_slab(heap);
        slots[1..].iter().for_each(|&slot| free(heap, slot));
        slab.links().right.set(Some(span(heap, blocks[2]).as_slab_by_reciprocal()));
        for _ in 0..200 {
            get(heap, 512);
        }
    };
    a_link_of_the_first_listed_slab_behind_which_another_is_put: 9, |heap, blocks| {
        let (slab, slots) = full_slab(heap);
        let other = heap.spans.iter().filter_map(Span::as_slab).find(|other| other.place() == Place::Full && *other != slab);
        let other = other.expect("so many blocks fill two slabs").start();
        slots.into_iter().take(slab.relist_at()).for_each(|slot| free(heap, slot));
        assert_eq!(slab.place(), Place::Listed);
        slab.links().right.set(Some(span(heap, blocks[2]).as_slab_by_reciprocal()));
        (0..slab.relist_at()).for_each(|number| free(heap, other + number * 512));
    };
    a_link_between_neighbours_that_does_not_lead_back: 1, |heap, blocks| {
        free(heap, blocks[4]);
        let elsewhere = span(heap, blocks[20]);
        span(heap, blocks[4]).set_prev(Some(elsewhere));
        free(heap, blocks[3]);
    };
    a_span_behind_that_knows_another_before_it: 1, |heap, blocks| {
        span(heap, blocks[5]).set_prev(Some(span(heap, blocks[20])));
        heap.spans.shorten(span(heap, blocks[4]), 2);
    };
    a_region_whose_neighbour_does_not_lead_back: 1, |heap, blocks| {
        heap.brk_mut().fail_after(0);
        let mut mapped = get(heap, 3 << 20);
        while heap.spans.map.regions().iter().len() == 0 {
            mapped = get(heap, 3 << 20);
        }
        let start = heap.spans.map.regions().iter().next().unwrap().start;
        span(heap, start).set_prev(Some(span(heap, blocks[2])));
        free(heap, mapped);
        heap.trim(0);
    };
    nothing_to_absorb: 1, |heap, blocks| {
        let last = span(heap, blocks[3]);
        last.set_next(None);
        heap.spans.absorb_next(last);
    };
    a_record_of_an_address_that_is_not_the_heaps: 2, |heap, _| {
        heap.spans.map.record(0x10000);
    };
}

/// The control: the same operations succeed in a sound heap.
#[test]
fn a_sound_heap_goes_on() {
    let (mut heap, blocks) = subject();
    let (_, slots) = full_slab(&mut heap);
    slots.into_iter().for_each(|slot| free(&mut heap, slot));
    blocks.iter().step_by(2).for_each(|&block| free(&mut heap, block));
    let large = span(&heap, blocks[3]);
    heap.spans.shorten(large, 2);
    assert_eq!(heap.check(), Ok(()));
    heap.trim(0);
    assert_eq!(heap.check(), Ok(()));
}

#[test]
#[cfg_attr(miri, ignore = "an interpreter starts no processes")]
fn the_line_says_what_check_would() {
    if std::env::var_os(CHILD).is_some() {
        corrupt(9, 0xABCD0);
    }
    let (signal, stderr) = child("the_line_says_what_check_would");
    let line = format!("hmalloc: the heap is corrupt: {}", Corruption { invariant: 9, address: 0xABCD0 });
    assert!(signal == Some(SIGABRT) && stderr.lines().any(|said| said == line), "{signal:?}: {stderr}");
}
