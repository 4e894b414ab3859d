//! Checked mode: each kind of damage is found and named, to the byte; what is right is not.

use hmalloc::brk::Automatic;
use hmalloc::{BlockState, Checks, Damage, Futex, Hmalloc, Misuse, MisuseKind, Policy, Sampling};
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
        let (mut damaged, mut firsts) = (BTreeSet::new(), 0);
        // Between them, a block may be alone in its slab, and then nothing of the heap's is before it.
        for size in sizes().filter(|size| !(8192..57_344).contains(size)) {
            // What was found damaged is not looked at again: not right behind such a block.
            let block = loop {
                let block = block(heap, size);
                // Nor is there before a slab's first slot, which is handed out only where the others that are open are taken.
                if size < 8192 && block.addr().is_multiple_of(hmalloc::PAGE) {
                    firsts += 1;
                    continue;
                }
                if damaged.range(block.addr().saturating_sub(2 * size + 64)..block.addr()).next().is_none() {
                    break block;
                }
            };
            write(block, -1);
            let found = damage(free(heap, block, size).expect_err(&format!("{size} bytes at {block:?}")));
            assert!(found.first == -1 && found.bytes == 1, "{size}: {found:?}");
            damaged.insert(block.addr());
        }
        assert!(firsts <= 20, "{firsts} blocks in first slots, as if those did not stay free");
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
fn a_freed_block_that_was_written_to_is_met_by_its_own_thread() {
    for heap in both() {
        for size in [1, 24, 100, 1000] {
            let blocks: Vec<_> = (0..40).map(|_| block(heap, size)).collect();
            blocks.iter().for_each(|&block| free(heap, block, size).unwrap());
            write(blocks[20], size as isize / 2);
            // No other look at it than that before it is handed out.
            let more: Vec<_> = (0..3000).map(|_| heap.allocate(layout(size)).expect("memory").as_ptr()).collect();
            assert!(!more.contains(&blocks[20]) && more.contains(&blocks[21]), "{size}");
            assert_eq!(heap.check_contents(), Ok(()), "it was told of");
            more.into_iter().for_each(|block| free(heap, block, size).unwrap());
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
            // A free after this could be one of the next block there.
            barrier.wait();
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

/// The second free of a damaged block says the same as the first, or that it was freed, whatever its size.
#[test]
fn a_damaged_block_is_accused_of_the_same_twice() {
    for (size, at) in [(40, 40), (40, -1), (100_000, 100_000), (100_000, -1)] {
        let heap = heap(Checks::new());
        // Of a slot that begins a slab, nothing stands before it.
        let begins = |block: &*mut u8| size == 40 && block.addr().is_multiple_of(16_384);
        let wrong = std::iter::repeat_with(|| block(heap, size)).find(|block| !begins(block)).unwrap();
        write(wrong, at);
        let [first, second] = [(); 2].map(|()| free(heap, wrong, size).unwrap_err());
        // What was written before a block is told once.
        assert!(second == first || at < 0 && second.kind == MisuseKind::AlreadyFree, "{second}");
        assert_eq!((damage(first).first, damage(first).bytes), (at, 1), "{first}");
        // What was written is gone again: then nothing was overwritten, and the free is the second one.
        if at > 0 {
            let other = self::heap(Checks::new());
            let wrong = block(other, size);
            let byte = wrong.wrapping_offset(at);
            // SAFETY: as in `write`.
            let before = unsafe { byte.replace(1) };
            assert!(free(other, wrong, size).is_err());
            // SAFETY: as in `write`.
            unsafe { byte.write(before) };
            assert_eq!(free(other, wrong, size).map_err(|misuse| misuse.kind), Err(MisuseKind::AlreadyFree));
        }
    }
}

#[test]
fn what_a_large_block_grows_by_in_place_is_zeroed() {
    let heap = heap(Checks::new().zeroing());
    let old = block(heap, 100_000);
    // SAFETY: the old address is not used any more.
    let new = unsafe { heap.resize(old, layout(106_000)) }.expect("memory").as_ptr();
    assert_eq!(new, old, "in place");
    // SAFETY: a block of so many bytes.
    let grown = unsafe { std::slice::from_raw_parts(new.add(100_000), 6_000) };
    assert_eq!(grown.iter().position(|&byte| byte != 0), None);
    assert_eq!(free(heap, new, 106_000), Ok(()));
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

/// Also in slabs that are older than the mode, in which some blocks live on.
#[test]
fn what_is_younger_than_the_mode_is_checked_wherever_it_lies() {
    let heap: &Heap = Box::leak(Box::new(Hmalloc::with_policy(Policy::Ignore)));
    let sizes = [20, 200, 1500, 20_000, 70_000];
    let old: Vec<_> = sizes.iter().flat_map(|&size| (0..40).map(move |_| (block(heap, size), size))).collect();
    old.iter().step_by(2).for_each(|&(block, size)| free(heap, block, size).unwrap());
    assert!(heap.set_checks(Checks::new()));
    for size in sizes {
        let new: Vec<_> = (0..200).map(|_| block(heap, size)).collect();
        for block in new {
            write(block, size as isize);
            assert_eq!(damage(free(heap, block, size).expect_err(&format!("{size}"))).first, size as isize);
        }
    }
    old.iter().skip(1).step_by(2).for_each(|&(block, size)| free(heap, block, size).unwrap());
    assert_eq!(heap.check(), Ok(()));
}

/// A handle of a heap in checked mode has no tier, and all its calls are checked.
#[test]
fn handles_are_checked() {
    let heap = heap(Checks::new());
    let mine = heap.thread();
    for size in [20, 1000, 100_000] {
        let new = || mine.allocate_zeroed(layout(size)).expect("memory").as_ptr();
        let (right, wrong) = (new(), new());
        assert_eq!(mine.usable_size(right), Ok(size));
        write(wrong, size as isize);
        // SAFETY: a mistake, which the heap notices.
        assert_eq!(damage(unsafe { mine.free(wrong) }.unwrap_err()).first, size as isize);
        // SAFETY: as above.
        assert_eq!(unsafe { mine.free_sized(right, layout(size + 1)) }.unwrap_err().kind, MisuseKind::WrongLayout);
        // SAFETY: the old address is not used any more.
        let moved = unsafe { mine.resize(right, layout(size + 1)) }.expect("memory").as_ptr();
        assert_eq!(mine.usable_size(moved), Ok(size + 1));
        // SAFETY: not used any more.
        assert_eq!(unsafe { mine.free_sized(moved, layout(size + 1)) }, Ok(()));
    }
}

/// What the heap knows to be zero must be so: also before a slot that is handed out, where checked mode writes. Whoever is lent the
/// heap gets such memory unfilled.
#[test]
fn what_is_known_to_be_zero_is_zero_in_checked_mode() {
    for size in [512, 1024, 2048, 4096] {
        let heap: &Heap = Box::leak(Box::new(Hmalloc::with_policy(Policy::Ignore)));
        let old: Vec<_> = (0..64).map(|_| block(heap, size)).collect();
        old.iter().enumerate().filter(|(at, _)| at % 9 != 8).for_each(|(_, block)| free(heap, *block, size).unwrap());
        heap.trim(0);
        assert!(heap.set_checks(Checks::new()));
        (0..8).for_each(|_| _ = block(heap, size - 1));
        assert_eq!((heap.check(), heap.check_contents()), (Ok(()), Ok(())), "{size}");
        heap.with(|heap| {
            for at in 0..100 {
                let zeroed = heap.allocate_zeroed(layout(size)).expect("memory").as_ptr();
                // SAFETY: a block of so many bytes.
                assert!((0..size).all(|byte| unsafe { zeroed.add(byte).read() } == 0), "{size}, {at}");
            }
        });
    }
}

#[test]
fn checked_mode_and_sampling_exclude_each_other() {
    let heap = heap(Checks::new());
    assert!(heap.start_profile(Sampling::new().every(1).guarded()).is_err() && heap.profile().is_none());
    let block = block(heap, 100);
    write(block, 100);
    assert_eq!(damage(free(heap, block, 100).unwrap_err()).first, 100);
    let sampled: &Heap = Box::leak(Box::new(Hmalloc::with_policy(Policy::Ignore)));
    sampled.start_profile(Sampling::new().every(1)).expect("memory");
    assert!(!sampled.set_checks(Checks::new()) && sampled.profile().is_some());
    assert_eq!(sampled.allocate(layout(20)).map(|block| sampled.usable_size(block.as_ptr())), Ok(Ok(32)));
}

/// Two blocks of `size` bytes of which the second begins where the first one's slot of `slot` bytes ends.
fn neighbours(heap: &Heap, size: usize, slot: usize) -> [*mut u8; 2] {
    let mut all: Vec<_> = (0..40).map(|_| block(heap, size)).collect();
    all.sort();
    let pair = all.windows(2).find(|pair| pair[1].addr() - pair[0].addr() == slot).expect("neighbours");
    [pair[0], pair[1]]
}

#[test]
fn a_write_into_a_freed_block_is_not_its_neighbours() {
    for heap in both() {
        let [freed, beside] = neighbours(heap, 10, 16);
        assert_eq!(free(heap, freed, 10), Ok(()));
        write(freed, 1);
        assert_eq!(free(heap, beside, 10), Ok(()), "nothing was written before it");
        let misuse = heap.check_contents().unwrap_err();
        assert_eq!((damage(misuse).first, misuse.found.unwrap().address), (1, freed.addr()), "{misuse}");
    }
}

#[test]
fn a_byte_that_may_be_two_blocks_is_said_of_both() {
    for heap in both() {
        for size in [15, 31, 63, 127, 255] {
            let [before, behind] = neighbours(heap, size, size + 1);
            write(before, size as isize);
            let misuse = free(heap, behind, size).unwrap_err();
            let text = format!("; or after the block of {size} bytes at {before:?}");
            assert!(misuse.to_string().ends_with(&text) && damage(misuse).first == -1, "{misuse}");
            assert_eq!(heap.check_contents(), Ok(()), "{size}: it was told of");
        }
    }
}

#[test]
fn what_was_written_before_a_block_is_told_once() {
    for heap in both() {
        let [before, behind] = neighbours(heap, 24, 32);
        assert_eq!(free(heap, before, 24), Ok(()));
        write(behind, -1);
        let misuse = heap.check_contents().unwrap_err();
        let found = misuse.found.unwrap();
        assert_eq!(
            (found.address, found.state, damage(misuse).first),
            (behind.addr(), BlockState::Used, -1),
            "{misuse}"
        );
        assert_eq!(damage(free(heap, behind, 24).unwrap_err()).first, -1);
        assert_eq!(heap.check_contents(), Ok(()), "it was told of");
        let more = (0..3000).map(|_| block(heap, 24)).filter(|block| *block == before || *block == behind);
        assert_eq!(more.count(), 0);
    }
}

#[test]
fn a_write_beyond_what_is_looked_at_is_at_least_so_long() {
    let heap = heap(Checks::new());
    let block = block(heap, 1);
    (1..16).for_each(|at| write(block, at));
    let misuse = free(heap, block, 1).unwrap_err();
    assert!(misuse.to_string().starts_with("at least 15 bytes after the block of 1 bytes at"), "{misuse}");
}
