//! The first few requests of a size class are guests: they get slots of the power of two above. Which are, for how long,
//! and that their blocks are like others.

use hmalloc::{Heap, MisuseKind, PAGE, SpanKind};
use std::ptr::NonNull;
use support::arena::Arena;
use support::calls::{MIB, free, get, layout};
use support::pattern::first_other_than;
use support::subject::EmulatedHeap;

/// Requests of one class that are served as guests.
const GUESTS: usize = 16;
/// A class, and the power of two above it that its guests go to.
const OWN: usize = 80;
const COARSE: usize = 128;

fn usable(heap: &EmulatedHeap<'_>, payload: NonNull<u8>) -> usize {
    heap.usable_size(payload.as_ptr()).expect("a live block")
}

/// The slot sizes of the slabs, in order.
fn slabs(heap: &EmulatedHeap<'_>) -> Vec<usize> {
    let slots = heap.spans().filter_map(|span| match span.kind {
        SpanKind::Slab { slot, .. } => Some(slot),
        _ => None,
    });
    let mut slots: Vec<usize> = slots.collect();
    slots.sort_unstable();
    slots
}

/// The first requests of every class share the slabs of the power of two above, whatever the order.
#[test]
fn few_requests_of_many_sizes_share_slabs() {
    let mut arena = Arena::new(4 * MIB);
    let mut heap = Heap::new(arena.brk());
    for size in [130, 150, 170, 180, 200, 210, 230, 250, 260, 300, 340, 360, 400, 420, 470, 500] {
        for _ in 0..3 {
            get(&mut heap, size).expect("room");
        }
    }
    assert_eq!(slabs(&heap), [256, 512]);
    assert_eq!(heap.check(), Ok(()));
    // The last doubling has no power of two.
    for size in [17_000, 21_000, 25_000, 30_000, 33_000, 41_000, 50_000] {
        get(&mut heap, size).expect("room");
    }
    assert_eq!(slabs(&heap), [256, 512, 32 << 10, 32 << 10, 32 << 10, 32 << 10, 48 << 10, 48 << 10, 56 << 10]);
    assert_eq!(heap.check(), Ok(()));
}

/// How many of the requests of `OWN` bytes are guests, each freed at once if it is not `kept`.
fn guests(kept: bool) -> usize {
    let mut arena = Arena::new(4 * MIB);
    let mut heap = Heap::new(arena.brk());
    let mut guests = 0;
    loop {
        let payload = get(&mut heap, OWN).expect("room");
        if usable(&heap, payload) == OWN {
            break;
        }
        guests += 1;
        assert_eq!(usable(&heap, payload), COARSE);
        assert!(guests <= 1000, "the class never gets a slab of its own");
        if !kept {
            free(&mut heap, payload);
        }
    }
    assert_eq!(slabs(&heap), [OWN, COARSE]);
    // From now on the class uses its own slab, also when that is empty.
    for _ in 0..400 {
        let payload = get(&mut heap, OWN).expect("room");
        assert_eq!(usable(&heap, payload), OWN);
        free(&mut heap, payload);
    }
    heap.trim(0);
    let payload = get(&mut heap, OWN).expect("room");
    assert_eq!(usable(&heap, payload), OWN);
    assert_eq!(heap.check(), Ok(()));
    guests
}

#[test]
fn a_class_with_more_requests_gets_a_slab_of_its_own() {
    assert_eq!(guests(true), GUESTS);
    assert_eq!(guests(false), GUESTS);
}

/// A guest does not make its host touch another kernel page, if its class would fill a good part of one itself.
#[test]
fn a_class_with_half_a_page_of_guests_opens_a_page_of_its_own() {
    let mut arena = Arena::new(4 * MIB);
    let mut heap = Heap::new(arena.brk());
    let slots = |heap: &mut EmulatedHeap<'_>, size: usize, count: usize| -> Vec<usize> {
        let payloads: Vec<_> = (0..count).map(|_| get(heap, size).expect("room")).collect();
        payloads.into_iter().map(|payload| usable(heap, payload)).collect()
    };
    // Four slots of 1024 bytes fill a kernel page of 4 KiB.
    assert_eq!(slots(&mut heap, 544, 6), [1024, 1024, 1024, 1024, 576, 576]);
    // One that has had fewer guests goes on, in the host's next page; so do all that come while that has room.
    assert_eq!(slots(&mut heap, 700, 4), [1024; 4]);
    assert_eq!(slots(&mut heap, 800, 8), [1024; 8]);
    assert_eq!(slots(&mut heap, 700, 2), [704; 2]);
    assert_eq!(slabs(&heap), [576, 704, 1024]);
    assert_eq!(heap.check(), Ok(()));
}

#[test]
fn a_class_that_fills_its_doubling_is_nobodys_guest() {
    let mut arena = Arena::new(12 * MIB);
    let mut heap = Heap::new(arena.brk());
    for size in [16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16 << 10, 32 << 10, 48 << 10, 56 << 10] {
        for _ in 0..40 {
            let payload = get(&mut heap, size).expect("room");
            assert_eq!(usable(&heap, payload), size);
        }
    }
}

#[test]
fn a_block_is_less_than_twice_its_request() {
    let mut arena = Arena::new(4 * MIB);
    for first in 0..96 {
        let mut heap = Heap::new(arena.brk());
        // Over all starts, the steps meet every request of every class.
        for size in (first + 17..=56 << 10).step_by(96) {
            let payload = heap.allocate(layout(size, 1 << (size % 5))).expect("room");
            let usable = usable(&heap, payload);
            assert!((size..2 * size).contains(&usable), "{usable} bytes for {size}");
            free(&mut heap, payload);
        }
    }
}

#[test]
fn guests_are_freed_by_their_own_layout() {
    let mut arena = Arena::new(4 * MIB);
    let mut heap = Heap::new(arena.brk());
    for size in [
        33, 65, 80, 81, 112, 129, 192, 257, 480, 513, 1025, 1500, 2049, 4097, 8193, 12_000, 17_000, 28_000, 33_000,
        40_000,
    ] {
        let payload = get(&mut heap, size).expect("room");
        let slot = usable(&heap, payload);
        assert!((slot.is_power_of_two() || slot == 48 << 10) && slot > size, "{size} is no guest's");
        let mut as_if = |size, align| {
            // SAFETY: the block is given up, or the call is refused and it is freed later.
            unsafe { heap.free_sized(payload.as_ptr(), layout(size, align)) }.map_err(|misuse| misuse.kind)
        };
        for wrong in [0, 1, slot / 4, slot / 2, slot + 1, 2 * slot, 100_000] {
            assert_eq!(as_if(wrong, 1), Err(MisuseKind::WrongLayout), "{size} bytes freed as {wrong}");
        }
        assert_eq!(as_if(size, 2 << payload.addr().get().trailing_zeros()), Err(MisuseKind::WrongLayout));
        assert_eq!(as_if(size, 8), Ok(()));
        assert_eq!(as_if(size, 8), Err(MisuseKind::AlreadyFree));
    }
    assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 0));
}

/// A heap without any memory left, and its blocks of `OWN` bytes: guests first, then those of its own class.
fn full(arena: &mut Arena) -> (EmulatedHeap<'_>, Vec<NonNull<u8>>) {
    let mut heap = Heap::new(arena.brk());
    let mut payloads = Vec::new();
    while let Some(payload) = get(&mut heap, OWN) {
        let length = usable(&heap, payload);
        assert_eq!(length, if payloads.len() < GUESTS { COARSE } else { length });
        // SAFETY: the block is this long.
        unsafe { payload.write_bytes(0xEE, length) };
        payloads.push(payload);
    }
    assert_eq!(heap.check(), Ok(()));
    (heap, payloads)
}

#[test]
fn after_running_out_a_slot_that_a_guest_gave_back_can_be_had() {
    let mut arena = Arena::new(30 * PAGE);
    let (mut heap, payloads) = full(&mut arena);
    for &guest in &payloads[..GUESTS] {
        free(&mut heap, guest);
    }
    for _ in 0..GUESTS {
        let payload = get(&mut heap, OWN).expect("a slot that was freed");
        assert!(payloads[..GUESTS].contains(&payload));
    }
    assert_eq!(get(&mut heap, OWN), None);
    let own = *payloads.iter().find(|&&payload| usable(&heap, payload) == OWN).expect("a block of the class' own");
    free(&mut heap, own);
    assert_eq!(get(&mut heap, OWN), Some(own));
    assert_eq!(heap.check(), Ok(()));
}

/// The bytes of a block that is asked for zeroed.
fn assert_zeroed(heap: &mut EmulatedHeap<'_>, size: usize) -> NonNull<u8> {
    let payload = heap.allocate_zeroed(layout(size, 8)).expect("room");
    // SAFETY: the block is this long, and zero by promise.
    let bytes = unsafe { std::slice::from_raw_parts(payload.as_ptr(), size) };
    assert_eq!(first_other_than(bytes, 0), None, "in a zeroed block of {size} bytes at {payload:p}");
    payload
}

#[test]
fn zeroed_blocks_of_guests_are_zero_in_memory_that_was_used() {
    // In slots that others used before,
    let mut arena = Arena::new(4 * MIB);
    let mut heap = Heap::new(arena.brk());
    for coarse in [64, 128, 256, 512, 1024, 4096, 16 << 10, 32 << 10] {
        let used: Vec<_> = (0..60).map(|_| get(&mut heap, coarse).expect("room")).collect();
        for &payload in &used {
            // SAFETY: the block is this long.
            unsafe { payload.write_bytes(0xEE, coarse) };
            free(&mut heap, payload);
        }
        let mut again = 0;
        for round in 0..14 {
            let payload = assert_zeroed(&mut heap, coarse / 2 + 1 + round % 8);
            again += usize::from(used.contains(&payload));
        }
        assert!(again > 0, "no slot of {coarse} bytes was used again");
    }
    // in a slab cut from a span that was,
    let mut heap = Heap::new(arena.brk());
    let large = get(&mut heap, 20 * PAGE).expect("room");
    get(&mut heap, 2 * PAGE).expect("room");
    // SAFETY: the block is this long.
    unsafe { large.write_bytes(0xEE, 20 * PAGE) };
    free(&mut heap, large);
    for size in [40, 90, 150, 300, 600, 1100, 2100, 5000] {
        let payload = assert_zeroed(&mut heap, size);
        assert!((large..large.map_addr(|at| at.saturating_add(20 * PAGE))).contains(&payload));
    }
}

/// and in the last slots there are, when the class' own slots came from fresh memory.
#[test]
fn zeroed_blocks_of_guests_are_zero_when_memory_is_short() {
    let mut arena = Arena::new(30 * PAGE);
    let (mut heap, payloads) = full(&mut arena);
    for &guest in &payloads[..GUESTS] {
        free(&mut heap, guest);
    }
    for _ in 0..GUESTS {
        let payload = assert_zeroed(&mut heap, OWN);
        assert!(payloads[..GUESTS].contains(&payload));
    }
}
