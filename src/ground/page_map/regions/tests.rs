//! The table against a model: every address is found or not, those who walk do so in order, and none changes its slot.

use super::*;
use std::collections::BTreeMap;
use std::vec::Vec;

/// Distance of two places where a region may lie, in bytes; each is shorter.
const APART: usize = 1 << 20;

fn region(place: usize, pages: usize) -> Region {
    let start = (place + 1) * APART;
    Region { start, pages, mapping: start, mapping_bytes: pages * PAGE, leaf: Leaf::NONE }
}

fn slot_of(regions: &Regions, start: usize) -> Option<usize> {
    regions.slots.iter().position(|region| region.pages > 0 && region.start == start)
}

/// Asks for the ends of each region, and for what is right beside them.
fn agrees(regions: &Regions, model: &BTreeMap<usize, (usize, usize)>) {
    let walked: Vec<_> = regions.iter().map(|region| (region.start, region.pages)).collect();
    assert_eq!(walked, model.iter().map(|(&start, &(pages, _))| (start, pages)).collect::<Vec<_>>());
    assert_eq!(regions.has_room(), model.len() < MAX_REGIONS);
    for place in 0..100 {
        let start = region(place, 0).start;
        let found = |address| regions.find(address).map(|region| region.start);
        let held = model.get(&start).map(|&(pages, slot)| {
            assert_eq!(slot_of(regions, start), Some(slot), "it stays in its slot");
            start..start + pages * PAGE
        });
        let last = held.as_ref().map_or(start, |held| held.end - 1);
        assert_eq!(found(start), held.as_ref().map(|_| start));
        assert_eq!(found(last), held.map(|_| start));
        assert_eq!((found(start - 1), found(last + 1)), (None, None));
    }
    assert_eq!((regions.find(0).is_none(), regions.find(usize::MAX).is_none()), (true, true));
}

#[test]
fn a_region_stays_in_its_slot_and_is_found_there() {
    let (mut regions, mut model) = (Regions::new(), BTreeMap::new());
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    for step in 0..if cfg!(miri) { 150 } else { 5000 } {
        random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(step | 1);
        let (place, pages) = ((random >> 40) as usize % 100, 1 + (random >> 33) as usize % 63);
        let start = region(place, 0).start;
        // First more and more, then fewer.
        match model.contains_key(&start) {
            true if step / 500 % 2 == 1 || random >> 60 == 0 => {
                regions.remove(start);
                model.remove(&start);
            }
            false if regions.has_room() => {
                regions.add(region(place, pages));
                model.insert(start, (pages, slot_of(&regions, start).expect("a slot")));
            }
            _ => {}
        }
        if step % if cfg!(miri) { 25 } else { 10 } == 0 || !cfg!(miri) && step % 500 > 400 {
            agrees(&regions, &model);
        }
    }
}

#[test]
fn as_many_as_there_are_slots() {
    let mut regions = Regions::new();
    (0..MAX_REGIONS).rev().for_each(|place| regions.add(region(place, 3)));
    assert!(!regions.has_room() && regions.iter().len() == MAX_REGIONS);
    assert!(regions.iter().is_sorted_by_key(|region| region.start));
    (0..MAX_REGIONS).for_each(|place| regions.remove(region(place, 0).start));
    assert!(regions.iter().len() == 0 && regions.find(region(5, 0).start).is_none());
}
