//! Checked mode: each kind of damage is found and named, to the byte; what is right is not.

use hmalloc::brk::Automatic;
use hmalloc::{BlockState, Checks, Damage, Futex, Hmalloc, Misuse, MisuseKind, Policy};
use std::alloc::{GlobalAlloc, Layout};
use std::collections::BTreeSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

type Heap = Hmalloc<Futex, Automatic>;

/// A heap of a test's own, which is told of what it finds by its answers.
fn heap(checks: Checks) -> &'static Heap {
    Box::leak(Box::new(Hmalloc::with_policy(Policy::Ignore).with_checks(checks)))
}

fn both() -> [&'static Heap; 2] {
    [heap(Checks::new()), heap(Checks::new().zeroing())]
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).unwrap()
}

fn block(heap: &Heap, size: usize) -> *mut u8 {
    let block = heap.allocate(layout(size)).expect("memory").as_ptr();
    // SAFETY: a block of so many bytes.
    unsafe { block.write_bytes(7, size) };
    block
}

fn free(heap: &Heap, block: *mut u8, size: usize) -> Result<(), Misuse> {
    // SAFETY: no block is used after it was freed, but where that is the mistake.
    unsafe { heap.free_sized(block, layout(size)) }
}

/// Makes the mistake of writing one byte.
fn write(block: *mut u8, at: isize) {
    // SAFETY: none. The byte lies in the heap's memory, and no block of the test's has it.
    unsafe { block.wrapping_offset(at).write(1) };
}

fn damage(misuse: Misuse) -> Damage {
    match misuse.kind {
        MisuseKind::Overwritten(damage) => damage,
        kind => panic!("{kind:?}: {misuse}"),
    }
}

/// On both sides of each class's edge, up to large blocks.
fn sizes() -> impl Iterator<Item = usize> {
    let edges = (1..=64).map(|step| step * 16).chain((5..=28).map(|step| step * 2048));
    let large = [57_343, 57_344, 60_000, 65_535, 65_536, 100_000, 1 << 20];
    edges.flat_map(|edge| [edge - 1, edge, edge + 1]).chain(large)
}

#[test]
fn a_byte_behind_a_block_of_any_size_is_found() {
    for heap in both() {
        for size in sizes() {
            let (first, second) = (block(heap, size), block(heap, size));
            write(first, size as isize);
            let misuse = free(heap, first, size).unwrap_err();
            let found = damage(misuse);
            assert_eq!((found.first, found.bytes), (size as isize, 1), "{size}");
            let found = misuse.found.expect("the block");
            assert_eq!((found.address, found.size, found.state), (first.addr(), size, BlockState::Used));
            assert_eq!(free(heap, second, size), Ok(()), "the one beside it, of {size}");
            assert!(free(heap, first, size).is_err(), "it stays as it was found");
        }
        assert_eq!(heap.check(), Ok(()));
    }
}

#[test]
fn a_byte_before_a_block_of_any_size_is_found() {
    for heap in both() {
        let mut damaged = BTreeSet::new();
        // Between them, a block may be alone in its slab, and then nothing of the heap's is before it.
        for size in sizes().filter(|size| !(8192..57_344).contains(size)) {
            // What was found damaged is not looked at again: not right behind such a block.
            let block = loop {
                let block = block(heap, size);
                if damaged.range(block.addr().saturating_sub(2 * size + 64)..block.addr()).next().is_none() {
                    break block;
                }
            };
            write(block, -1);
            let found = damage(free(heap, block, size).expect_err(&format!("{size} bytes at {block:?}")));
            assert!(found.first == -1 && found.bytes == 1, "{size}: {found:?}");
            damaged.insert(block.addr());
        }
    }
}

#[test]
fn a_longer_write_is_measured() {
    let heap = heap(Checks::new());
    let block = block(heap, 20);
    (20..27).filter(|at| at % 2 == 0).for_each(|at| write(block, at));
    let misuse = free(heap, block, 20).unwrap_err();
    assert_eq!((damage(misuse).first, damage(misuse).bytes), (20, 4));
    let text = format!(
        "4 bytes after the block of 20 bytes at {block:?} were overwritten (the first at offset 20), allocated by the first thread"
    );
    assert_eq!(misuse.to_string(), text);
}

#[test]
fn a_write_into_a_freed_block_is_found() {
    for heap in both() {
        for size in [1, 24, 100, 1000, 5000] {
            let (kept, freed) = (block(heap, size), block(heap, size));
            assert_eq!(free(heap, freed, size), Ok(()));
            assert_eq!(heap.check_contents(), Ok(()), "{size}");
            write(freed, size as isize / 2);
            let misuse = heap.check_contents().unwrap_err();
            assert_eq!((damage(misuse).first, damage(misuse).bytes), (size as isize / 2, 1));
            assert_eq!(misuse.found.map(|found| (found.address, found.state)), Some((freed.addr(), BlockState::Free)));
            // It is met again when slots are handed out, and nobody gets it.
            let more: Vec<_> = (0..3000).map(|_| heap.allocate(layout(size)).expect("memory").as_ptr()).collect();
            assert!(!more.contains(&freed), "{size}");
            assert_eq!(heap.check_contents(), Ok(()), "it was told of");
            more.into_iter().chain([kept]).for_each(|block| free(heap, block, size).unwrap());
        }
    }
}

#[test]
fn sizes_and_alignments_are_exact() {
    let heap = heap(Checks::new());
    for size in [1, 16, 31, 300, 5000, 70_000] {
        let block = block(heap, size);
        assert_eq!(heap.usable_size(block), Ok(size));
        for wrong in [size - 1, size + 1] {
            assert_eq!(free(heap, block, wrong).unwrap_err().kind, MisuseKind::WrongLayout, "{wrong} for {size}");
        }
        let aligned = Layout::from_size_align(size, 8).unwrap();
        // SAFETY: a mistake, which the heap notices.
        let refused = unsafe { heap.free_sized(block, aligned) };
        assert_eq!(refused.unwrap_err().kind, MisuseKind::WrongLayout);
        assert_eq!(free(heap, block, size), Ok(()));
        assert_eq!(free(heap, block, size).unwrap_err().kind, MisuseKind::AlreadyFree, "{size}");
    }
}

#[test]
fn a_resized_block_is_checked_to_its_new_end() {
    for heap in both() {
        let sizes = [1_usize, 5, 30, 33, 20, 2, 500, 400, 60_000, 60_010, 59_000, 200_000, 100, 0, 17];
        let mut now = block(heap, 10);
        let mut size = 10_usize;
        for new in sizes {
            // SAFETY: the old address is not used any more.
            now = unsafe { heap.resize(now, layout(new)) }.expect("memory").as_ptr();
            // SAFETY: a block of so many bytes, of which the first are what they were.
            let kept = (0..size.min(new)).all(|at| unsafe { now.add(at).read() } == 7);
            assert!(kept && heap.usable_size(now) == Ok(new), "{size} -> {new}");
            // SAFETY: as above.
            unsafe { now.write_bytes(7, new) };
            assert_eq!(heap.check_contents(), Ok(()), "{size} -> {new}");
            size = new;
        }
        write(now, size as isize);
        // SAFETY: as above.
        let refused = unsafe { heap.resize(now, layout(18)) };
        assert!(matches!(refused, Err(hmalloc::ResizeError::Misuse(misuse)) if damage(misuse).first == size as isize));
        // SAFETY: the block is not used any more.
        assert!(unsafe { heap.realloc(now, layout(size), 300) }.is_null());
    }
}

#[test]
fn nobody_reads_what_another_block_held() {
    for (heap, zeroing) in both().into_iter().zip([false, true]) {
        for size in [8, 40, 200, 3000, 30_000, 80_000] {
            for _ in 0..200 {
                let block = block(heap, size);
                free(heap, block, size).unwrap();
                let next = heap.allocate(layout(size)).expect("memory").as_ptr();
                // SAFETY: in this mode all bytes of a slot are initialised, and those of a large block by the kernel.
                let read: BTreeSet<u8> = (0..size).map(|at| unsafe { next.add(at).read_volatile() }).collect();
                assert!(!read.contains(&7), "{size}");
                assert!(!zeroing || read.iter().all(|&byte| byte == 0), "{size}");
                free(heap, next, size).unwrap();
                let zeroed = heap.allocate_zeroed(layout(size)).expect("memory").as_ptr();
                // SAFETY: a block of so many bytes.
                assert!((0..size).all(|at| unsafe { zeroed.add(at).read() } == 0));
                free(heap, zeroed, size).unwrap();
            }
        }
    }
}

#[test]
fn blocks_of_no_bytes_are_addresses() {
    let heap = heap(Checks::new());
    let mut all: Vec<_> = (0..1000).map(|_| heap.allocate(layout(0)).expect("an address").as_ptr()).collect();
    let addresses: BTreeSet<_> = all.iter().collect();
    assert!(addresses.len() == 1000 && all.iter().all(|block| heap.usable_size(*block) == Ok(0)));
    assert_eq!(heap.stats().live_blocks, 1000);
    let last = all.pop().unwrap();
    assert_eq!(free(heap, last, 1).unwrap_err().kind, MisuseKind::WrongLayout);
    assert_eq!(free(heap, last, 0), Ok(()));
    assert_eq!(free(heap, last, 0).unwrap_err().kind, MisuseKind::AlreadyFree);
    assert_eq!(heap.usable_size(last).unwrap_err().kind, MisuseKind::AlreadyFree);
    all.into_iter().for_each(|block| free(heap, block, 0).unwrap());
}

#[test]
fn slots_come_in_an_order_that_cannot_be_foreseen() {
    let orders: BTreeSet<Vec<usize>> = (0..4)
        .map(|_| {
            let heap = heap(Checks::new());
            let blocks: Vec<_> = (0..30).map(|_| block(heap, 40).addr()).collect();
            blocks.iter().map(|block| block.wrapping_sub(blocks[0])).collect()
        })
        .collect();
    assert!(orders.len() > 1 && !orders.iter().any(|order| order.is_sorted()), "{orders:?}");
}

#[test]
fn a_block_of_another_thread_is_looked_at_when_it_is_freed() {
    let heap = heap(Checks::new());
    let blocks: Vec<_> = (0..100).map(|_| block(heap, 50).expose_provenance()).collect();
    let [damaged, rest @ ..] = &blocks[..] else { unreachable!() };
    thread::scope(|scope| {
        scope.spawn(|| {
            let block = |address: &usize| std::ptr::with_exposed_provenance_mut::<u8>(*address);
            write(block(damaged), 50);
            assert_eq!(damage(free(heap, block(damaged), 50).unwrap_err()).first, 50);
            rest.iter().for_each(|address| free(heap, block(address), 50).unwrap());
            let again = free(heap, block(&rest[0]), 50).unwrap_err();
            assert_eq!(again.kind, MisuseKind::AlreadyFree);
        });
    });
    assert!((0..1000).all(|_| block(heap, 50).addr() != *damaged));
    assert_eq!(heap.check_contents(), Ok(()));
}

/// Of two threads that free the same block one is told, and what the other one got meanwhile is not touched.
#[test]
fn two_threads_free_the_same_checked_block() {
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    const ROUNDS: usize = 2000;
    let heap = heap(Checks::new());
    let (barrier, shared) = (Barrier::new(2), AtomicUsize::new(0));
    let round = |own: bool| {
        for size in (0..ROUNDS).map(|round| 20 + round % 3 * 40) {
            if own {
                shared.store(block(heap, size).expose_provenance(), Relaxed);
            }
            barrier.wait();
            let block = std::ptr::with_exposed_provenance_mut(shared.load(Relaxed));
            let told = usize::from(free(heap, block, size).is_err());
            TOLD.fetch_add(told, Relaxed);
            let mine = self::block(heap, size);
            barrier.wait();
            // SAFETY: a block of so many bytes.
            assert!((0..size).all(|at| unsafe { mine.add(at).read() } == 7));
            assert_eq!(free(heap, mine, size), Ok(()));
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| round(true));
        scope.spawn(|| round(false));
    });
    assert_eq!((TOLD.load(Relaxed), heap.check_contents(), heap.check()), (ROUNDS, Ok(()), Ok(())));
}

/// Threads that hand blocks on to each other, resize and look: nobody is accused.
#[test]
fn a_storm_in_checked_mode_accuses_nobody() {
    const SLOTS: usize = 64;
    for heap in both() {
        let shelf: Vec<AtomicUsize> = (0..SLOTS).map(|_| AtomicUsize::new(0)).collect();
        let work = |seed: usize| {
            let mut random = seed;
            for round in 0..4000 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let size = random >> 40 & if round % 64 == 0 { 0x3_ffff } else { 0x1ff };
                let mut mine = block(heap, size);
                if random >> 30 & 3 == 0 {
                    // SAFETY: the old address is not used any more.
                    mine = unsafe { heap.resize(mine, layout(size + 9)) }.expect("memory").as_ptr();
                }
                let other = shelf[random >> 33 & (SLOTS - 1)].swap(mine.expose_provenance(), Relaxed);
                let other = std::ptr::with_exposed_provenance_mut::<u8>(other);
                if !other.is_null() {
                    let size = heap.usable_size(other).expect("a live block");
                    assert_eq!(free(heap, other, size), Ok(()));
                }
                if round % 512 == 0 {
                    assert_eq!((heap.check_contents(), heap.check()), (Ok(()), Ok(())));
                }
            }
        };
        thread::scope(|scope| (1..5).for_each(|seed| drop(scope.spawn(move || work(seed)))));
        for block in shelf.into_iter().map(|block| std::ptr::with_exposed_provenance_mut::<u8>(block.into_inner())) {
            let size = heap.usable_size(block).expect("a live block");
            assert_eq!(free(heap, block, size), Ok(()));
        }
        assert_eq!((heap.check_contents(), heap.stats().live_blocks), (Ok(()), 0));
    }
}

/// What the program's own code does to a heap that it was lent is no damage.
#[test]
fn a_heap_that_was_lent_accuses_nobody() {
    let heap = heap(Checks::new());
    let (small, large) = (block(heap, 40), block(heap, 90_000));
    let more: Vec<_> = (0..100).map(|_| block(heap, 40)).collect();
    more.iter().for_each(|block| free(heap, *block, 40).unwrap());
    let lent = heap.with(|heap| {
        // SAFETY: not used any more.
        unsafe { heap.free(small) }.unwrap();
        // SAFETY: as above.
        unsafe { heap.free(large) }.unwrap();
        let blocks: Vec<_> = (0..50).map(|_| heap.allocate(layout(41)).unwrap().as_ptr()).collect();
        // SAFETY: blocks of 48 bytes.
        blocks.iter().for_each(|block| unsafe { block.write_bytes(1, 48) });
        blocks
    });
    assert_eq!((heap.check_contents(), heap.check()), (Ok(()), Ok(())));
    lent.into_iter().for_each(|block| free(heap, block, 41).unwrap());
    let again: Vec<_> = (0..200).map(|_| block(heap, 40)).collect();
    again.into_iter().for_each(|block| free(heap, block, 40).unwrap());
    assert_eq!((heap.check_contents(), heap.stats().live_blocks), (Ok(()), 0));
}

#[test]
fn what_is_older_than_the_mode_is_not_checked() {
    let heap: &Heap = Box::leak(Box::new(Hmalloc::with_policy(Policy::Ignore)));
    let old: Vec<_> = sizes().map(|size| (block(heap, size), size)).collect();
    assert!(heap.set_checks(Checks::new()) && heap.set_checks(Checks::new()));
    for (block, size) in old {
        // SAFETY: the old address is not used any more.
        let moved = unsafe { heap.resize(block, layout(size + 1)) }.expect("memory").as_ptr();
        assert_eq!((heap.usable_size(moved), free(heap, moved, size + 1)), (Ok(size + 1), Ok(())));
    }
    let new = block(heap, 20);
    write(new, 20);
    assert_eq!(damage(free(heap, new, 20).unwrap_err()).first, 20);
    assert_eq!(heap.check(), Ok(()));
}
