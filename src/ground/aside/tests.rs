//! Records of all pages in a room: their addresses, and how many kernel pages they touch.

use super::*;
use crate::ground::header::{PAGE, Span};
use crate::kernel::brk::Emulated;
use std::boxed::Box;
use std::collections::BTreeSet;
use std::vec::Vec;

const FIRST: usize = 60;
/// Where the leaves of a page map end.
const LEAVES: [usize; 7] = [FIRST, 128, 256, 512, 1024, 2048, 4096];

/// Each page's record lies in mapped memory, is no other page's, and leads back to the page; nothing else leads to a
/// page.
fn records_have_addresses(aside: &Aside, pages: usize) {
    let (mut taken, mapped) = (BTreeSet::new(), aside.records.start..aside.records.mapped);
    for range in LEAVES.windows(2).map(|ends| ends[0]..ends[1]) {
        let leaf = aside.leaf(&range);
        // SAFETY: never followed.
        let page_of = |address| leaf.page_of(unsafe { Span::at(address) }, range.clone());
        for page in range.clone().take_while(|&page| page < pages) {
            let address = leaf.record_address(page);
            assert!(mapped.contains(&address) && mapped.contains(&(address + RECORD - 1)), "page {page} of {pages}");
            assert!(taken.insert(address), "the record of page {page} is another's");
            assert_eq!(page_of(address), Some(page));
        }
        for address in mapped.clone().step_by(if cfg!(miri) { 64 * 7 } else { 16 }) {
            assert!(page_of(address).is_none_or(|page| leaf.record_address(page) == address && range.contains(&page)));
        }
    }
    assert_eq!(taken.len(), pages - FIRST);
    // A record is as far from the next as it is long.
    assert!(taken.iter().zip(taken.iter().skip(1)).all(|(low, high)| low + RECORD <= *high));
}

#[test]
fn a_room_has_a_place_for_the_record_of_each_page_of_its_arena() {
    let arenas = [(4096, 300), (4096, 700), (4096, 1024), (4096, 1700), (1 << 14, 2100), (1 << 16, 1100)];
    for (kernel_page, arena) in if cfg!(miri) { &arenas[1..2] } else { &arenas[..] }.iter().copied() {
        let mut brk = Emulated::new(Box::leak(Box::new_uninit_slice(arena * PAGE)));
        brk.set_page_size(kernel_page);
        let room = brk.room().expect("room");
        let mut aside = Aside::new(&room, FIRST, kernel_page).expect("room for many pages");
        let capacity = aside.capacity();
        assert!(capacity >= arena && capacity < LEAVES[6], "{capacity} pages for {arena}");
        let steps = [capacity, 513, 129, 512, 700, 1024, 1025, 1600];
        let mut steps: Vec<_> = steps.into_iter().take(if cfg!(miri) { 2 } else { 8 }).collect();
        steps.retain(|&pages| pages <= capacity);
        steps.sort();
        for &pages in &steps {
            assert_eq!(aside.grow(pages, &mut brk), Ok(()), "{pages} of {arena} pages");
            assert!(aside.serves(pages, pages) && aside.records.mapped <= room.end);
            records_have_addresses(&aside, pages);
        }
        assert_eq!(aside.grow(capacity + 1, &mut brk), Err(Refused));
        for &pages in steps.iter().rev() {
            // SAFETY: nothing uses them.
            unsafe { aside.truncate(aside.shrunk(pages, pages, kernel_page), &mut brk) };
            assert!(aside.serves(pages, pages));
            records_have_addresses(&aside, pages);
        }
    }
}

#[test]
fn slabs_of_four_pages_have_a_quarter_of_the_records() {
    let room = 1 << 30..2 << 30;
    let aside = Aside::new(&room, FIRST, 4096).expect("room for many pages");
    let leaf = aside.leaf(&(1024..2048));
    for pages in [1, 2, 4, 8] {
        let records = (0..2048 - 1024).step_by(pages).map(|page| leaf.record_address(1024 + page));
        let touched: BTreeSet<_> = records.flat_map(|at| [at >> 12, (at + RECORD - 1) >> 12]).collect();
        assert_eq!(touched.len(), 1024 * RECORD / 4096 / pages, "slabs of {pages} pages");
    }
}

/// A long array that shrinks with its heap is returned in short pieces, none of which takes long, and in the end nearly all of
/// it is.
#[test]
fn a_long_array_is_returned_in_short_pieces() {
    let (start, used) = (1 << 30, 180 << 20);
    let mut array = Array { start, mapped: start, end: start + (256 << 20), step: RECORDS_STEP };
    array.mapped = start + array.with_reserve(used);
    let (mut pieces, mut longest) = (0, 0);
    for used in (0..used).rev().step_by(12 << 10) {
        let to = array.shrunk(used, 4096);
        longest = longest.max(array.mapped - to);
        pieces += usize::from(to < array.mapped);
        array.mapped = to;
    }
    assert!(longest <= RETURN_MOST + (16 << 10), "{longest} bytes in one piece");
    assert!((80..=110).contains(&pieces), "{pieces} pieces");
    assert!(array.mapped - start <= 2 * KEPT, "{} bytes stay", array.mapped - start);
}
