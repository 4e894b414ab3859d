//! Safe code only, which takes every liberty that the crate's safe functions give it: nothing may fault, and no two heaps
//! may have the same memory.
//!
//!     safe foreign | pages | swapped | many | nested
#![forbid(unsafe_code)]

use company::{HEAP, KIB, MIB, Random, finish, fork, word};
use hmalloc::brk::{Arena, Automatic, Brk, Bytes, Emulated, Linux, OwnBreak};
use hmalloc::{BlockState, Heap, Hmalloc, Policy};
use std::alloc::Layout;
use std::mem::{self, MaybeUninit};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

fn main() {
    match word(1).as_str() {
        "foreign" => foreign(),
        "pages" => pages(),
        "swapped" => swapped(),
        "many" => many(),
        "nested" => nested(),
        other => panic!("no such program: {other}"),
    }
    finish();
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).expect("a layout")
}

fn arena(bytes: usize) -> Vec<MaybeUninit<u8>> {
    vec![MaybeUninit::uninit(); bytes]
}

/// Everything that belongs to one heap alone, as ranges of addresses.
fn owned<B: Brk>(heap: &Heap<B>) -> Vec<(usize, usize)> {
    let mine = heap.blocks().filter(|block| block.state != BlockState::Foreign);
    mine.map(|block| (block.address, block.address + block.size)).collect()
}

fn assert_disjoint(mut ranges: Vec<(usize, usize)>) {
    ranges.sort();
    for pair in ranges.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "two heaps have {:#x?}", pair);
    }
}

/// Others move the break to its extremes, between all kinds of calls.
fn foreign() {
    let moves = [isize::MIN, isize::MAX, -1, 1, 0, -4096, 4096, isize::MIN + 1, 70_000, -70_000, 1 << 40, -(1 << 40)];
    for seed in 0..200 {
        let mut bytes = arena(4 * MIB);
        let mut heap = Heap::with_policy(Emulated::new(&mut bytes), [Policy::Ignore, Policy::Abort][seed % 2]);
        let mut random = Random::new(seed);
        heap.brk_mut().set_dirty(seed % 3 == 0);
        heap.brk_mut().allow_mappings(seed % 4 * MIB / 2);
        for _ in 0..200 {
            match random.below(4) {
                0 => heap.brk_mut().foreign_move(moves[random.below(moves.len())]),
                1 => drop(heap.trim(random.below(100 * KIB))),
                _ => drop(heap.allocate(layout(random.below(60 * KIB)))),
            }
            if let Some(block) = heap.blocks().find(|block| block.state == BlockState::Used) {
                assert!(heap.usable_size(std::ptr::without_provenance(block.address)).is_ok());
            }
            assert_eq!(heap.check(), Ok(()));
        }
        assert_disjoint(owned(&heap));
    }
}

/// The size of the emulated kernel's pages is changed when there are mappings already.
fn pages() {
    for page in [1, 4 * KIB, 64 * KIB, MIB, 1 << 40] {
        for capped in [true, false] {
            let mut bytes = arena(8 * MIB);
            let mut heap = Heap::new(Emulated::new(&mut bytes));
            heap.brk_mut().allow_mappings(7 * MIB + 5000);
            heap.brk_mut().set_cap(if capped { 0 } else { usize::MAX });
            let early = catch_unwind(AssertUnwindSafe(|| heap.brk_mut().set_page_size(page)));
            let blocks: Vec<_> = (0..9).map_while(|_| heap.allocate(layout(200 * KIB)).ok()).collect();
            assert!(early.is_err() || !blocks.is_empty() || page > MIB / 2, "a page size as any other: {page}");
            let late = catch_unwind(AssertUnwindSafe(|| heap.brk_mut().set_page_size(2 * MIB)));
            assert!(late.is_err() || blocks.is_empty(), "the heap's memory is not to be scribbled over");
            heap.brk_mut().set_cap(usize::MAX);
            while heap.allocate(layout(10 * KIB)).is_ok() {}
            assert_eq!(heap.check(), Ok(()));
            assert_disjoint(owned(&heap));
        }
    }
}

/// Heaps of one kind exchange what is under them, again and again.
fn swapped() {
    static ARENAS: [Arena<{ 2 << 20 }>; 3] = [const { Arena::new() }; 3];
    let mut bytes = arena(12 * MIB);
    let mut parts = bytes.chunks_mut(4 * MIB);
    let emulated = [(); 3].map(|()| {
        let mut brk = Emulated::new(parts.next().expect("a part"));
        brk.allow_mappings(MIB);
        brk
    });
    exchange(emulated, tease);
    let mut arenas = ARENAS.iter();
    exchange([(); 3].map(|()| Bytes::new(arenas.next().expect("an arena"))), |_, _| ());
    exchange([(); 3].map(|()| OwnBreak::new()), |_, _| ());
    exchange([(); 3].map(|()| Automatic::new()), |_, _| ());
    exchange([Linux; 3], |_, _| ());
}

/// Does something to an emulated break that its safe functions allow.
fn tease(brk: &mut Emulated<'_>, random: &mut Random) {
    let flag = random.below(2) == 0;
    match random.below(9) {
        0 => brk.set_dirty(flag),
        1 => brk.allow_discard(flag),
        2 => brk.refuse_lowering(flag),
        3 => brk.set_cap(if flag { usize::MAX } else { random.below(4 * MIB) }),
        4 => brk.fail_once(random.below(4)),
        5 => brk.fail_after(if flag { usize::MAX } else { random.below(20) }),
        6 => brk.foreign_move(random.below(200 * KIB) as isize - 100 * KIB as isize),
        7 => drop(brk.map(random.below(100 * KIB))),
        _ => drop(catch_unwind(AssertUnwindSafe(|| brk.allow_mappings(random.below(2 * MIB))))),
    }
}

fn exchange<B: Brk>(sources: [B; 3], tease: impl Fn(&mut B, &mut Random)) {
    // A heap that finds another break below its blocks goes on without its content, as the policy says.
    let mut heaps = sources.map(|source| Heap::with_policy(source, Policy::Ignore));
    let mut random = Random::new(11);
    for step in 0..1000 {
        let (one, other) = (random.below(3), random.below(3));
        match random.below(8) {
            0 if one != other => {
                let [one, other] = heaps.get_disjoint_mut([one, other]).expect("two of them");
                mem::swap(one.brk_mut(), other.brk_mut());
            }
            1 => drop(heaps[one].trim(random.below(100 * KIB))),
            2 => drop(heaps[one].allocate_zeroed(layout(random.below(100 * KIB)))),
            3 if one != other => heaps.swap(one, other),
            4 => tease(heaps[one].brk_mut(), &mut random),
            _ => drop(heaps[one].allocate(layout(random.below(20 * KIB)))),
        }
        if step % 50 == 0 {
            assert_disjoint(heaps.iter().flat_map(owned).collect());
        }
    }
}

/// More heaps than there are locks, all at once; then they move, go, and the process forks.
fn many() {
    let mut heaps: Vec<Hmalloc> = (0..40).map(|_| Hmalloc::new()).collect();
    for heap in &heaps {
        assert!(heap.allocate(layout(1)).is_ok());
        assert_eq!(heap.stats().mapped_bytes, 0, "each has a break of its own");
    }
    for round in 0..4 {
        thread::scope(|scope| {
            for start in 0..4 {
                let heaps = &heaps;
                scope.spawn(move || {
                    for at in 0..2000 {
                        let heap = &heaps[(start + at) % heaps.len()];
                        assert!(heap.allocate(layout(at % 3000)).is_ok());
                    }
                });
            }
        });
        fork(|| heaps.iter().for_each(|heap| assert!(heap.allocate(layout(99)).is_ok() && heap.check().is_ok())));
        // Some go and others come; all move.
        heaps.truncate(20 + round);
        heaps.reverse();
        heaps.extend((heaps.len()..40).map(|_| Hmalloc::with_policy(Policy::Report)));
        let moved: Vec<Box<Hmalloc>> = heaps.into_iter().map(Box::new).collect();
        fork(|| moved.iter().for_each(|heap| assert!(heap.allocate(layout(99)).is_ok() && heap.check().is_ok())));
        heaps = moved.into_iter().map(|heap| *heap).collect();
    }
    assert_disjoint(heaps.iter().flat_map(|heap| heap.inspect(owned)).collect());
}

/// One heap inside of another's `with`, and heaps that change places there.
fn nested() {
    let (one, other) = (Hmalloc::new(), Hmalloc::new());
    for size in [1, 100, 5000, 100 * KIB] {
        one.with(|outer| {
            let first = outer.allocate(layout(size)).expect("memory").as_ptr();
            other.with(|inner| {
                assert!(inner.allocate(layout(size)).is_ok());
                // This program's own heap is a third one.
                assert!(vec![0_u8; size].iter().all(|&byte| byte == 0));
                mem::swap(outer, inner);
                assert!(inner.usable_size(first).is_ok() && outer.usable_size(first).is_err());
            });
        });
        assert_eq!((one.check(), other.check()), (Ok(()), Ok(())));
        fork(|| assert!(one.allocate(layout(1)).is_ok() && other.allocate(layout(1)).is_ok()));
    }
    let taken = one.with(|heap| mem::replace(heap, Heap::new(Automatic::new())));
    assert!(one.allocate(layout(1)).is_ok() && taken.check().is_ok() && taken.stats().live_blocks > 0);
    // After a panic inside, the heap can be used by the next.
    assert!(catch_unwind(AssertUnwindSafe(|| one.with(|_| panic!("on purpose")))).is_err());
    assert!(one.allocate(layout(1)).is_ok() && HEAP.check().is_ok());
}
