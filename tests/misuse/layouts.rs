//! With which layouts a block can be freed and resized, at the edges of every size class, by `Hmalloc` and by `Heap`.

use hmalloc::{Heap, Hmalloc, MisuseKind, Policy, ResizeError};
use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;
use support::arena::Arena;
use support::calls::{MIB, layout};
use support::child::observe;
use support::classes::{ENOUGH, LARGEST, classes};
use support::subject::EmulatedHeap;

/// What guests of the last doubling get, as it has no power of two.
const COARSE_LAST: usize = 48 << 10;

#[test]
fn the_table_has_every_class() {
    let slots = classes();
    assert!(slots.is_sorted() && slots[0] == 16 && slots[slots.len() - 1] == LARGEST);
    assert!(slots.len() > 40, "{slots:?}");
    assert!(slots.windows(2).all(|pair| pair[1] - pair[0] <= 16.max(pair[0] / 4)), "{slots:?}");
}

/// Sizes that a caller may name for a block of `slot` bytes, and whether it can be that block's. In the smallest class
/// every size up to the slot can; in others none of at most half of it. All bits of a size count.
fn edges(slot: usize) -> Vec<(usize, bool)> {
    let longer = [16, usize::BITS / 2].map(|bits| (slot + (1 << bits), false));
    if slot == 16 {
        return (0..=16).map(|size| (size, true)).chain([(17, false), (32, false)]).chain(longer).collect();
    }
    let sizes = [(0, false), (1, false), (slot / 2 - 1, false), (slot / 2, false), (slot / 2 + 1, true)];
    let around = [(slot - 1, true), (slot, true), (slot + 1, false), (2 * slot, false)];
    sizes.into_iter().chain(around).chain(longer).collect()
}

/// A block of exactly `slot` bytes: of the class' own, or a guest's.
fn block(heap: &mut EmulatedHeap<'_>, size: usize, slot: usize) -> NonNull<u8> {
    for _ in 0..=ENOUGH {
        let payload = heap.allocate(layout(size, 1)).expect("room");
        if heap.usable_size(payload.as_ptr()) == Ok(slot) {
            return payload;
        }
    }
    panic!("no request of {size} bytes gets {slot}");
}

#[test]
fn free_sized_takes_a_block_at_its_word_or_not_at_the_edges() {
    for slot in classes() {
        for (named, right) in edges(slot) {
            let mut arena = Arena::new(2 * MIB);
            let mut heap = Heap::new(arena.brk());
            // The smallest request that can be a guest of this class, and the largest of its own.
            let smallest = if slot == COARSE_LAST { (32 << 10) + 1 } else { slot / 2 + 1 };
            for size in [smallest, slot] {
                if size == slot || slot.is_power_of_two() || slot == COARSE_LAST {
                    let payload = block(&mut heap, size, slot);
                    // SAFETY: the block is not used.
                    let answer = unsafe { heap.free_sized(payload.as_ptr(), layout(named, 1)) };
                    let kind = answer.map_err(|misuse| misuse.kind);
                    let expected = if right { Ok(()) } else { Err(MisuseKind::WrongLayout) };
                    assert_eq!(kind, expected, "a block of {slot} for {size} bytes, freed as {named}");
                    assert_eq!(heap.usable_size(payload.as_ptr()).is_ok(), !right);
                }
            }
            assert_eq!(heap.check(), Ok(()));
        }
    }
}

#[test]
fn resize_sized_takes_a_block_at_its_word_or_not_at_the_edges() {
    for slot in classes() {
        for (named, right) in edges(slot) {
            for new in [slot / 2 + 1, slot, slot + 1] {
                let mut arena = Arena::new(2 * MIB);
                let mut heap = Heap::new(arena.brk());
                let payload = block(&mut heap, slot, slot);
                // SAFETY: what comes back is not used.
                let answer = unsafe { heap.resize_sized(payload.as_ptr(), layout(named, 1), layout(new, 1)) };
                match answer {
                    Ok(moved) => assert!(right && (moved == payload) == (new <= slot), "{slot}: {named} to {new}"),
                    Err(ResizeError::Misuse(misuse)) => {
                        assert!(!right && misuse.kind == MisuseKind::WrongLayout, "{slot}: {named} to {new}");
                        assert_eq!(heap.usable_size(payload.as_ptr()), Ok(slot));
                    }
                    Err(ResizeError::OutOfMemory) => panic!("{slot}: {named} to {new}: there is room"),
                }
                assert_eq!(heap.check(), Ok(()));
            }
        }
    }
}

/// A layout whose alignment exceeds its size is that of a class chosen by the alignment.
#[test]
fn a_small_layout_of_large_alignment_is_its_blocks() {
    let mut arena = Arena::new(8 * MIB);
    let mut heap = Heap::new(arena.brk());
    for align in (5..=14).map(|log| 1 << log) {
        for size in [0, 1, align / 2, align] {
            let payload = heap.allocate(layout(size, align)).expect("room");
            assert_eq!(heap.usable_size(payload.as_ptr()), Ok(align));
            if size <= align / 2 {
                // SAFETY: refused.
                let answer = unsafe { heap.free_sized(payload.as_ptr(), layout(size, 16)) };
                assert_eq!(answer.map_err(|misuse| misuse.kind), Err(MisuseKind::WrongLayout), "{size} at {align}");
            }
            // SAFETY: the block is not used.
            assert_eq!(unsafe { heap.free_sized(payload.as_ptr(), layout(size, align)) }, Ok(()), "{size} at {align}");
        }
    }
}

static POLITE: Hmalloc = Hmalloc::with_policy(Policy::Report);

fn usable(payload: *mut u8) -> Option<usize> {
    POLITE.inspect(|heap| heap.usable_size(payload).ok())
}

fn program_block(size: usize) -> *mut u8 {
    // SAFETY: no size here is 0.
    let payload = unsafe { POLITE.alloc(layout(size, 1)) };
    assert!(usable(payload).is_some_and(|usable| usable >= size));
    payload
}

/// Frees and resizes blocks of every class by layouts at the edges. Returns how often that was a misuse, and how many of
/// the blocks were guests'.
fn use_the_programs_heap() -> (usize, usize) {
    let (mut misuses, mut guests) = (0, 0);
    // Downwards: a class that comes later has few requests yet, which are guests of those before.
    for slot in classes().into_iter().rev() {
        for (named, right) in edges(slot) {
            let named = layout(named, 1);
            // The smallest request that can be a guest of this class is one for as long as its own class has no slab.
            let guest = program_block(slot / 2 + 1);
            let is_guest = usable(guest) == Some(slot);
            guests += usize::from(is_guest && slot > 16);
            let own = || (0..=ENOUGH).map(|_| program_block(slot)).find(|&own| usable(own) == Some(slot)).expect("own");
            let freed = if is_guest { guest } else { own() };
            // SAFETY: the block is live, or the call is refused.
            unsafe { POLITE.dealloc(freed, named) };
            misuses += usize::from(!right);
            assert_eq!(usable(freed).is_some(), !right, "a block of {slot} bytes freed as {named:?}");

            let resized = own();
            // SAFETY: as above; what comes back is not used.
            let answer = unsafe { POLITE.realloc(resized, named, slot / 2 + 1) };
            misuses += usize::from(!right);
            assert_eq!(answer, if right { resized } else { std::ptr::null_mut() }, "{slot} as {named:?}");
            assert_eq!(usable(resized), Some(slot));
        }
    }
    (misuses, guests)
}

/// `GlobalAlloc` decides most blocks on a path of its own; it has to come to the same answers, and to report each misuse.
#[test]
fn the_programs_heap_takes_a_block_at_its_word_or_not_at_the_edges() {
    let ended = observe(&the_programs_heap_takes_a_block_at_its_word_or_not_at_the_edges, "", &[], |_| {
        let (misuses, guests) = use_the_programs_heap();
        assert!(guests >= 50, "only {guests} guests");
        println!("\nmisuses {misuses}");
        assert_eq!(POLITE.check(), Ok(()));
    });
    assert!(ended.finished, "{ended:#?}");
    let said = ended.stdout.lines().find_map(|line| line.strip_prefix("misuses ")).expect("the count");
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert!(lines.len() > 400 && said == lines.len().to_string(), "{said} misuses, {} lines", lines.len());
    let as_expected = |line: &&str| line.contains(" is not of the given layout: 0 bytes into ");
    assert!(lines.iter().all(as_expected), "{:?}", lines.iter().find(|line| !as_expected(line)));
}

/// A request of size 0 gets a block like others.
#[test]
fn the_smallest_class_takes_every_size_it_serves() {
    let mut arena = Arena::new(MIB);
    let mut heap = Heap::new(arena.brk());
    for asked in 0..=16 {
        for named in 0..=16 {
            let payload = heap.allocate(Layout::from_size_align(asked, 16).expect("a layout")).expect("room");
            // SAFETY: the block is not used.
            assert_eq!(unsafe { heap.free_sized(payload.as_ptr(), layout(named, 1)) }, Ok(()), "{asked} as {named}");
        }
    }
}
