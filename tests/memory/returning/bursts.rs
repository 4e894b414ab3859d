//! Bursts: many blocks are allocated, written to, and freed. How much memory is left when nothing lives any more, without
//! a trim?

use hmalloc::Heap;
use hmalloc::brk::Brk;
use std::ptr::NonNull;
use support::arena::Arena;
use support::calls::{MIB, free, get};
use support::random::Random;
use support::watched::{WatchedHeap, watched};

/// Writes to a block, as a caller does.
fn fill(payload: NonNull<u8>, size: usize) {
    // SAFETY: the block is live and this long.
    unsafe { payload.write_bytes(7, size) };
}

/// Bytes in kernel pages from `start` to `end` that hold something: what would be resident.
fn touched(start: usize, end: usize) -> usize {
    const PAGE: usize = 4096;
    let pages = (start.next_multiple_of(PAGE)..end & !(PAGE - 1)).step_by(PAGE);
    let held = pages.filter(|&page| {
        let words = std::ptr::with_exposed_provenance::<u64>(page);
        // SAFETY: the page lies in the arena, in what the emulated break has cleared or the heap and its users have written.
        (0..PAGE / 8).any(|word| unsafe { words.add(word).read_volatile() } != 0)
    });
    held.count() * PAGE
}

/// The same in all that is the heap's.
fn resident<B: Brk>(heap: &Heap<B>) -> usize {
    heap.spans().map(|span| touched(span.address, span.address + span.bytes)).sum()
}

/// An order in which blocks are freed.
#[derive(Debug, Clone, Copy)]
enum Order {
    Same,
    Reverse,
    Random,
}

/// A burst of some `bytes` bytes.
fn burst<B: Brk>(heap: &mut Heap<B>, bytes: usize, order: Order, size: &mut dyn FnMut(usize) -> usize) {
    let (mut blocks, mut sum, mut random) = (Vec::new(), 0, Random::new(1));
    while sum < bytes {
        let size = size(blocks.len());
        let payload = get(heap, size).expect("room");
        fill(payload, size);
        blocks.push(payload);
        sum += size;
    }
    match order {
        Order::Same => {}
        Order::Reverse => blocks.reverse(),
        Order::Random => random.shuffle(&mut blocks),
    }
    blocks.into_iter().for_each(|payload| free(heap, payload));
}

/// Several bursts of each shape, one larger than the other, in every order.
fn bursts<B: Brk>(heap: &mut Heap<B>) {
    let (mut first, mut second) = (Random::new(1), Random::new(1));
    let shapes: [(&str, &mut dyn FnMut(usize) -> usize); 7] = [
        ("one class", &mut |_| 1000),
        ("all classes", &mut |_| 1 + first.below(16_384)),
        ("large and small in turn", &mut |index| [900_000, 40][index % 2]),
        ("one page and more", &mut |_| 16_385 + second.below(30_000)),
        ("five pages", &mut |_| 70_000),
        ("powers of two", &mut |index| 16 << (index * 7 % 18)),
        ("few", &mut |_| 7 * MIB),
    ];
    for (shape, size) in shapes {
        for order in [Order::Same, Order::Reverse, Order::Random] {
            for mib in [3, 12, 30] {
                burst(heap, mib * MIB, order, size);
                let (left, peak) = (resident(heap), heap.stats().peak_heap_bytes);
                assert!(
                    left <= 2 * MIB + peak / 64,
                    "{left} bytes left after {mib} MiB of {shape}, freed in {order:?} order"
                );
                assert_eq!(heap.check(), Ok(()));
            }
        }
    }
}

#[test]
fn bursts_leave_next_to_nothing_below_the_break() {
    let mut arena = Arena::new(64 * MIB);
    let mut brk = arena.brk();
    brk.allow_discard(true);
    bursts(&mut Heap::new(brk));
}

/// Where the break cannot be lowered, the pages are returned all the same.
#[test]
fn bursts_below_a_fence_leave_next_to_nothing() {
    let mut arena = Arena::new(128 * MIB);
    let mut brk = arena.brk();
    brk.allow_discard(true);
    let mut heap = Heap::new(brk);
    let large = get(&mut heap, 50 * MIB).expect("room");
    heap.brk_mut().foreign_move(5000);
    free(&mut heap, large);
    bursts(&mut heap);
}

#[test]
fn bursts_in_regions_leave_next_to_nothing() {
    let mut arena = Arena::new(500 * MIB);
    let mut brk = arena.brk();
    brk.allow_discard(true);
    brk.allow_mappings(499 * MIB);
    brk.fail_after(0);
    bursts(&mut Heap::new(brk));
}

/// After a thousand bursts no more is left than after one.
#[test]
fn a_history_of_bursts_changes_nothing() {
    let mut arena = Arena::new(16 * MIB);
    let start = arena.start();
    let mut heap = watched(&mut arena);
    heap.brk_mut().brk.allow_discard(true);
    for round in 0..1000 {
        let bytes = if round % 100 == 99 { 8 * MIB } else { 3 * MIB };
        burst(&mut heap, bytes, Order::Same, &mut |index| 100 << (index % 12));
        if round % 100 == 99 {
            let left = touched(start, heap.brk().brk.current());
            assert!(left <= 2 * MIB + heap.stats().peak_heap_bytes / 64, "{left} bytes left in round {round}");
        }
    }
}

/// Two thirds of the blocks are freed, the others stay: no free span is long, but their sum is.
#[test]
fn what_is_free_between_survivors_does_not_stay() {
    for size in [70_000, 300_000, 3 * MIB] {
        for shuffled in [false, true] {
            let mut arena = Arena::new(160 * MIB);
            let start = arena.start();
            let mut heap = watched(&mut arena);
            heap.brk_mut().brk.allow_discard(true);
            let count = 100 * MIB / size;
            let blocks: Vec<_> = (0..count).map(|_| get(&mut heap, size).expect("room")).collect();
            blocks.iter().for_each(|&payload| fill(payload, size));
            let mut dying: Vec<usize> = (0..count).filter(|index| index % 3 != 0).collect();
            let mut random = Random::new(1);
            if shuffled {
                random.shuffle(&mut dying);
            }
            heap.brk_mut().log.clear();
            dying.iter().for_each(|&index| free(&mut heap, blocks[index]));
            let (left, live) = (touched(start, heap.brk().brk.current()), heap.stats().live_bytes);
            let bound = live + live / 16 + 2 * MIB + heap.stats().peak_heap_bytes / 64;
            assert!(left <= bound, "{left} bytes left where {live} live, in blocks of {size}");
            let calls = heap.brk().log.len();
            assert!(calls <= dying.len() + 8, "{calls} calls for {} blocks of {size}", dying.len());
            assert_eq!(heap.check(), Ok(()));
        }
    }
}

/// The same in a heap that is left alone and then used a little.
#[test]
fn an_idle_heap_returns_nearly_all_it_keeps() {
    let mut arena = Arena::new(160 * MIB);
    let mut heap = watched(&mut arena);
    heap.brk_mut().brk.allow_discard(true);
    heap.brk_mut().brk.set_clock(1000);
    let blocks: Vec<_> = (0..1000).map(|_| get(&mut heap, 100_000).expect("room")).collect();
    blocks.iter().for_each(|&payload| fill(payload, 100_000));
    // As much as it may keep beside them.
    (0..60).for_each(|index| free(&mut heap, blocks[index * 16]));
    let use_a_little = |heap: &mut WatchedHeap<'_>, time| {
        heap.brk_mut().brk.set_clock(time);
        for _ in 0..70 {
            let payload = get(heap, 4 * hmalloc::PAGE).expect("room");
            free(heap, payload);
        }
    };
    use_a_little(&mut heap, 1000);
    let kept = resident(&heap);
    use_a_little(&mut heap, 1900);
    assert_eq!(resident(&heap), kept, "that is not idle");
    use_a_little(&mut heap, 3500);
    let returned = kept - resident(&heap);
    assert!(returned >= 60 * 100_000 / 10 * 9, "{returned} bytes of 60 blocks were returned");
}

/// Kernel pages larger than the heap's: what is asked about them is asked of whole ones, and memory is returned.
#[test]
fn bursts_over_large_kernel_pages_leave_little() {
    for page in [16_384, 65_536] {
        let mut arena = Arena::new(96 * MIB);
        let mut brk = arena.brk();
        brk.set_page_size(page);
        brk.allow_discard(true);
        let mut heap = Heap::new(brk);
        let mut dying = Vec::new();
        for index in 0..60 {
            let size = 500_000 + index * 20_000 % 90_000;
            let payload = get(&mut heap, size).expect("room");
            fill(payload, size);
            dying.push(payload);
            get(&mut heap, 60_000).expect("room");
        }
        dying.into_iter().for_each(|payload| free(&mut heap, payload));
        let left = resident(&heap);
        // At either end of each block there may be a part of a page that another block lies in.
        assert!(left <= 4 * MIB + 60 * 2 * page, "{left} bytes are left over pages of {page}");
        assert_eq!(heap.check(), Ok(()));
    }
}
