//! Collections of other crates over each of the heaps.

use allocator_api2::alloc::Allocator;
use allocator_api2::vec::Vec as HeapVec;
use hmalloc::brk::Emulated;
use hmalloc::{Hmalloc, LocalHeap, Policy, SharedHeap};
use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// The file alone: the package around it depends on others, which would take a third of this package's build.
#[path = "../../support/src/child.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is a module of that package, of which this one uses a part")]
mod child;
use child::{observe, scenario};

static HEAP: Hmalloc = Hmalloc::new();
/// Above that, blocks are large.
const SMALL: usize = 56 << 10;

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a layout")
}

/// A number that looks random.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

/// Uses collections with strings, maps and boxes of `$at::vec` and `$at::boxed`, and looks at what they hold.
macro_rules! collections {
    ($at:ident, $heap:expr) => {{
        let heap = $heap;
        let mut numbers = $at::vec::Vec::new_in(heap);
        (0..100_000_u64).for_each(|number| numbers.push(number * 3));
        let boxed = $at::boxed::Box::new_in([7_u8; 3000], heap);
        let nothing = $at::boxed::Box::new_in((), heap);
        assert!(numbers.iter().enumerate().all(|(at, &number)| number == at as u64 * 3));
        numbers.truncate(100);
        numbers.shrink_to_fit();
        assert_eq!((numbers.iter().sum::<u64>(), boxed[2999], *nothing), (14850, 7, ()));
    }};
}

fn hash(heap: impl Allocator + Copy) {
    let mut map = hashbrown::HashMap::new_in(heap);
    (0..50_000_u32).for_each(|key| _ = map.insert(key, key.wrapping_mul(7)));
    assert!((0..50_000_u32).all(|key| map.get(&key) == Some(&key.wrapping_mul(7))));
    map.retain(|key, _| key % 1000 == 0);
    map.shrink_to_fit();
    assert_eq!(map.len(), 50);
}

#[test]
fn collections_live_in_every_heap() {
    let (local, shared) = (LocalHeap::new(), SharedHeap::new());
    for _ in 0..3 {
        collections!(allocator_api2, &HEAP);
        collections!(allocator_api2_04, &HEAP);
        collections!(allocator_api2, &HEAP.thread());
        collections!(allocator_api2_04, &HEAP.thread());
        collections!(allocator_api2, &local);
        collections!(allocator_api2_04, &local);
        collections!(allocator_api2, &shared);
        hash(&HEAP);
        hash(&HEAP.thread());
        hash(&local);
        hash(&shared);
    }
    for (check, stats) in [(local.check(), local.stats()), (shared.check(), shared.stats())] {
        assert_eq!((check, stats.live_blocks), (Ok(()), 0));
    }
    assert_eq!(HEAP.check(), Ok(()));
}

/// Threads share a heap by its reference, and each frees what another has allocated.
#[test]
fn a_shared_heap_serves_threads() {
    let heap = SharedHeap::new();
    let mut vectors: Vec<_> = (0..4).map(|_| allocator_api2::vec::Vec::new_in(&heap)).collect();
    for round in 0..4 {
        std::thread::scope(|scope| {
            for vector in &mut vectors {
                scope.spawn(move || (0..10_000_u32).for_each(|number| vector.push(number + round)));
            }
        });
        vectors.rotate_left(1);
    }
    assert!(vectors.iter().all(|vector| vector.len() == 40_000 && vector[39_999] == 10_002));
    drop(vectors);
    assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 0));
}

/// What is handed out is a block of the heap's, all of the slice can be used, and no more is promised than there is.
fn exact(heap: impl Allocator, usable: impl Fn(*const u8) -> usize) {
    for size in (0..3000).chain((3000..200_000).step_by(97)) {
        for align in [1, 16, 64, 4096] {
            let layout = layout(size, align);
            let block = heap.allocate_zeroed(layout).expect("memory");
            let bytes = block.cast::<u8>().as_ptr();
            assert!(block.len() >= size && block.len() <= usable(bytes) && bytes.addr().is_multiple_of(align));
            // SAFETY: the block is so long, and zero.
            let content = unsafe { std::slice::from_raw_parts_mut(bytes, block.len()) };
            assert!(content.iter().all(|&byte| byte == 0), "{size} {align}");
            content.fill(0xa5);
            // The layout may name any size up to the slice's.
            let named = Layout::from_size_align(if size % 2 == 0 { size } else { block.len() }, align);
            // SAFETY: the block is not used any more.
            unsafe { heap.deallocate(block.cast(), named.expect("a layout")) };
        }
    }
}

#[test]
fn the_rest_of_a_block_is_handed_out() {
    let (local, shared, thread) = (LocalHeap::new(), SharedHeap::new(), HEAP.thread());
    exact(&HEAP, |payload| HEAP.usable_size(payload).expect("a block"));
    exact(&thread, |payload| HEAP.usable_size(payload).expect("a block"));
    exact(&local, |payload| local.usable_size(payload).expect("a block"));
    exact(&shared, |payload| shared.usable_size(payload).expect("a block"));
    // More than was asked for, where there is more.
    let lengths = [(100, 112), (2049, 2560), (SMALL + 1, 4 << 14)];
    for (size, length) in lengths {
        assert_eq!(local.allocate(layout(size, 8)).map(|block| block.addr().get() % 16), Ok(0));
        let block = Allocator::allocate(&&local, layout(size, 8)).expect("memory");
        assert_eq!(block.len(), length);
    }
}

/// Blocks grow and shrink at random, with zeros or without, and keep their content.
fn resizes(heap: impl Allocator, seed: u64, usable: impl Fn(*const u8) -> usize) {
    let mut state = seed;
    let mut blocks: Vec<(NonNull<u8>, Layout, u8)> = Vec::new();
    for step in 0..6000 {
        let most = [100, 1000, 20_000, 400_000][next(&mut state) % 4];
        let (size, align) = (next(&mut state) % most, 1 << (next(&mut state) % 8));
        let byte = step as u8 | 1;
        if blocks.len() < 20 {
            let made = layout(size, align);
            let block = heap.allocate(made).expect("memory");
            // SAFETY: so long is the block at least.
            unsafe { block.cast::<u8>().write_bytes(byte, size) };
            blocks.push((block.cast(), made, byte));
            continue;
        }
        let at = next(&mut state) % blocks.len();
        let (block, old, byte) = blocks.swap_remove(at);
        let new = layout(size, align);
        let kept = old.size().min(size);
        let zeroed = step % 2 == 0 && size >= old.size();
        // SAFETY: a live block with its layout, which is not used any more unless it stays.
        let resized = unsafe {
            match size >= old.size() {
                true if zeroed => heap.grow_zeroed(block, old, new),
                true => heap.grow(block, old, new),
                false => heap.shrink(block, old, new),
            }
        };
        let resized = resized.expect("memory");
        let start = resized.cast::<u8>();
        assert!(resized.len() >= size && resized.len() <= usable(start.as_ptr()), "{old:?} {new:?}");
        assert!(start.addr().get().is_multiple_of(align), "{old:?} {new:?}");
        // SAFETY: the block is so long; what was not kept is written here or zero.
        let content = unsafe { std::slice::from_raw_parts(start.as_ptr(), kept) };
        assert!(content.iter().all(|&found| found == byte), "{old:?} {new:?}");
        if zeroed {
            // SAFETY: zeroed up to its end.
            let rest =
                unsafe { std::slice::from_raw_parts(start.as_ptr().add(old.size()), resized.len() - old.size()) };
            assert!(rest.iter().all(|&found| found == 0), "{old:?} {new:?}");
        }
        // SAFETY: as above.
        unsafe { start.write_bytes(byte, resized.len()) };
        if step % 7 == 0 {
            // SAFETY: the block is not used any more.
            unsafe { heap.deallocate(start, new) };
        } else {
            blocks.push((start, new, byte));
        }
    }
    // SAFETY: the blocks are not used any more.
    blocks.into_iter().for_each(|(block, layout, _)| unsafe { heap.deallocate(block, layout) });
}

#[test]
fn blocks_grow_and_shrink() {
    let (local, shared, thread) = (LocalHeap::new(), SharedHeap::new(), HEAP.thread());
    for seed in 0..3 {
        resizes(&HEAP, seed, |payload| HEAP.usable_size(payload).expect("a block"));
        resizes(&thread, seed, |payload| HEAP.usable_size(payload).expect("a block"));
        resizes(&local, seed, |payload| local.usable_size(payload).expect("a block"));
        resizes(&shared, seed, |payload| shared.usable_size(payload).expect("a block"));
    }
    assert_eq!((local.check(), local.stats().live_blocks), (Ok(()), 0));
    assert_eq!((shared.check(), shared.stats().live_blocks), (Ok(()), 0));
    assert_eq!(HEAP.check(), Ok(()));
}

/// A block at the heap's end grows where it is, also with zeros, and what does not fit is refused without a change.
#[test]
fn growth_is_in_place_where_the_heap_can() {
    let mut arena = vec![MaybeUninit::uninit(); 64 << 20];
    let heap = LocalHeap::with_source(Emulated::new(&mut arena));
    let allocator = &heap;
    let (small, large) = (layout(100_000, 1), layout(30 << 20, 1));
    let block = Allocator::allocate(&allocator, small).expect("memory").cast::<u8>();
    // SAFETY: a live block, which stays.
    unsafe {
        block.write_bytes(9, small.size());
        let grown = allocator.grow(block, small, large).expect("memory");
        assert_eq!(grown.cast(), block);
        let zeroed = allocator.grow_zeroed(block, large, layout(40 << 20, 1)).expect("memory");
        assert_eq!((zeroed.cast(), zeroed.len()), (block, 40 << 20));
        let too_large = allocator.grow(block, layout(40 << 20, 1), layout(80 << 20, 1));
        assert!(too_large.is_err());
        let shrunk = allocator.shrink(block, layout(40 << 20, 1), small).expect("no memory is needed");
        assert_eq!(shrunk.cast(), block);
        assert!(std::slice::from_raw_parts(block.as_ptr(), 100_000).iter().all(|&byte| byte == 9));
        allocator.deallocate(block, small);
    }
    assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 0));
}

/// Passes the same block twice to `deallocate`, and a block of another layout; then to `grow`.
fn wrong(heap: impl Allocator) {
    let (right, other) = (layout(100, 8), layout(5000, 8));
    let block = heap.allocate(right).expect("memory").cast::<u8>();
    // SAFETY: mistakes, which the heap notices; and at last the block is not used any more.
    unsafe {
        heap.deallocate(block, other);
        assert!(heap.grow(block, other, layout(6000, 8)).is_err());
        heap.deallocate(block, right);
        heap.deallocate(block, right);
        assert!(heap.shrink(block, right, layout(50, 8)).is_err());
    }
}

#[test]
fn wrong_pointers_are_handled_as_the_policy_says() {
    let ended = observe(&wrong_pointers_are_handled_as_the_policy_says, "", &[], |_| {
        static REPORTING: Hmalloc = Hmalloc::with_policy(Policy::Report);
        wrong(&REPORTING);
        wrong(&REPORTING.thread());
        wrong(&LocalHeap::new().with_policy(Policy::Report));
        wrong(&SharedHeap::new().with_policy(Policy::Report));
        wrong(&LocalHeap::new().with_policy(Policy::Ignore));
    });
    assert!(ended.finished, "{ended:#?}");
    let lines: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("hmalloc: ")).collect();
    let words = ["free: ", "realloc: ", "free: ", "realloc: "];
    let kinds = ["not of the given layout", "not of the given layout", "already free", "already free"];
    assert_eq!(lines.len(), 16, "{lines:#?}");
    for (at, line) in lines.iter().enumerate() {
        let said = line.starts_with(&format!("hmalloc: {}0x", words[at % 4])) && line.contains(kinds[at % 4]);
        assert!(said, "{at}: {line}");
    }
}

#[test]
fn a_block_of_another_heap_is_a_misuse() {
    scenario(&a_block_of_another_heap_is_a_misuse, || {
        let (first, second) = (LocalHeap::new(), LocalHeap::new());
        for size in [1, 100, 3000, 50_000, 100_000, 10 << 20] {
            let block = first.allocate(layout(size, 1)).expect("memory").as_ptr();
            // SAFETY: a mistake, which the heap notices.
            let misuse = unsafe { second.free(block) }.expect_err("not a block of this heap");
            assert_eq!(misuse.kind, hmalloc::MisuseKind::OutsideHeap);
            // SAFETY: the block is not used any more.
            unsafe { first.free(block) }.expect("a block");
        }
    });
}

/// Thousands at a time: blocks keep their content, and are dropped in any order.
#[test]
fn thousands_of_heaps_live_at_a_time() {
    scenario(&thousands_of_heaps_live_at_a_time, || {
        for _ in 0..3 {
            let mut heaps: Vec<LocalHeap> = (0..4000).map(|_| LocalHeap::new()).collect();
            let blocks: Vec<_> = heaps
                .iter()
                .enumerate()
                .map(|(number, heap)| {
                    let mut vector = HeapVec::with_capacity_in(100, heap);
                    vector.extend((0..100).map(|at| at * 4000 + number));
                    vector
                })
                .collect();
            let right = |(number, vector): (usize, &HeapVec<usize, &LocalHeap>)| vector[99] == 99 * 4000 + number;
            assert!(blocks.iter().enumerate().all(right));
            drop(blocks);
            while !heaps.is_empty() {
                let at = heaps.len() * 7 / 11;
                assert_eq!(heaps[at].stats().live_blocks, 0);
                drop(heaps.swap_remove(at));
            }
        }
    });
}

/// Its program may return memory while it runs, and grows again.
#[test]
fn a_heap_shrinks_and_grows() {
    let heap = LocalHeap::new();
    for _ in 0..3 {
        let mut vectors: Vec<HeapVec<u8, _>> = Vec::new();
        for number in 0..200 {
            let mut vector = HeapVec::new_in(&heap);
            vector.resize(1 << 20, number);
            vectors.push(vector);
        }
        assert!(vectors.iter().enumerate().all(|(number, vector)| vector[(1 << 20) - 1] == number as u8));
        drop(vectors);
        heap.trim(0);
        let stats = heap.stats();
        assert!(stats.heap_bytes < 1 << 20 && heap.check().is_ok(), "{stats:?}");
    }
}
