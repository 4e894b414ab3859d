//! What a trim returns inside slabs: every kernel page in which nothing lives, each once, and nothing else.

mod scene;

use hmalloc::PAGE;
use scene::{Scene, bytes, fragmented};
use std::collections::BTreeSet;
use support::arena::Arena;
use support::calls::{MIB, layout};
use support::random::Random;
use support::watched::Call;

const SIZES: [(usize, usize); 7] = [(40, 300), (120, 100), (500, 64), (1500, 13), (5000, 10), (20_000, 2), (50_000, 2)];

#[test]
fn a_trim_says_exactly_what_it_gave_back() {
    for page in [4096, 8192, PAGE] {
        for (size, every) in SIZES {
            let mut arena = Arena::at(16 * MIB, 272);
            let mut scene = fragmented(&mut arena, page, size, every);
            let before = scene.used().len();
            let (pages, given) = scene.trim();
            let after = scene.used().len();
            let left = scene.live.len() * (size / page + 2) + 40;
            assert!(after <= left, "{after} of {before} pages are left, for {} of {size}", scene.live.len());
            assert!(pages > 0, "{size} bytes over {page}");
            assert_eq!((before - after) * page, given, "{size} bytes over {page}");
            scene.verify();
            // What is known to be zero is not asked for again.
            assert_eq!(scene.trim(), (0, 0), "{size} bytes over {page}");
            assert_eq!(scene.heap.brk().log, []);
        }
    }
}

/// Kernel pages longer than ours: only those that lie in a slab as a whole are returned.
#[test]
fn kernel_pages_of_several_pages() {
    for page in [32 << 10, 64 << 10, 128 << 10, 256 << 10] {
        for offset in [272, PAGE, 3 * PAGE] {
            for (size, every) in [(5000, 100), (500, 1200), (20_000, 20)] {
                let mut arena = Arena::at(16 * MIB, offset);
                let mut scene = fragmented(&mut arena, page, size, every);
                let (pages, _) = scene.trim();
                assert!(page > 64 << 10 || size != 5000 || pages > 0, "{page}, {size} from {offset}: {pages} pages");
                scene.verify();
                assert_eq!(scene.trim().0, 0);
            }
        }
    }
}

/// What was returned and is handed out again is returned again, and only that.
#[test]
fn each_trim_gives_back_what_was_used_since() {
    let mut arena = Arena::new(16 * MIB);
    let mut scene = fragmented(&mut arena, 4096, 500, 64);
    scene.trim();
    for round in 1..5 {
        let mut news: Vec<usize> = (0..round * 400).map(|_| scene.get(500, round % 2 == 0).expect("room")).collect();
        let used = scene.used().len();
        // Half of it stays, and is freed later.
        news.drain(..news.len() / 2).for_each(|at| scene.free(at));
        let (_, given) = scene.trim();
        assert_eq!((used - scene.used().len()) * 4096, given);
        news.into_iter().for_each(|at| scene.free(at));
        let used = scene.used().len();
        let (_, given) = scene.trim();
        assert_eq!((used - scene.used().len()) * 4096, given);
        assert!(given > 0);
        scene.verify();
    }
}

/// A class hands out slots that have memory first.
#[test]
fn slots_without_memory_come_last() {
    let mut arena = Arena::new(16 * MIB);
    let mut scene = fragmented(&mut arena, 4096, 120, 100);
    scene.trim();
    let used = scene.used().len();
    // Every page that is left holds one live block and 31 free slots, but the first that a class comes to are few.
    let more: Vec<usize> = (0..2000).map(|_| scene.get(120, false).expect("room")).collect();
    let grown = scene.used().len() - used;
    assert!(grown * 32 < more.len(), "{grown} more pages for {} blocks of 120 bytes", more.len());
}

/// A class prefers slots that have memory, but not for ever: its slab's count of frees is limited.
#[test]
fn blocks_that_come_and_go_after_a_trim() {
    for (size, every) in [(120, 100), (500, 64), (5000, 10), (20_000, 2)] {
        let mut arena = Arena::new(16 * MIB);
        let mut scene = fragmented(&mut arena, 4096, size, every);
        scene.trim();
        for many in [1, 3, 40] {
            for round in 0..70_000_usize / many {
                let blocks: Vec<usize> = (0..many).map(|_| scene.get(size, false).expect("room")).collect();
                blocks.into_iter().for_each(|at| scene.free(at));
                assert!(!round.is_multiple_of(1000) || scene.heap.check() == Ok(()), "round {round} of {many}");
            }
        }
        scene.verify();
    }
}

/// Zeroed blocks in memory that was returned are not written. A byte that is planted there shows it.
#[test]
fn what_went_back_is_not_zeroed_again() {
    for (size, every) in [(5000, 30), (1024, 100), (20_000, 6), (500, 300)] {
        let mut arena = Arena::new(16 * MIB);
        let mut scene = fragmented(&mut arena, 4096, size, every);
        let (pages, _) = scene.trim();
        let went: BTreeSet<usize> = scene
            .heap
            .brk()
            .log
            .iter()
            .flat_map(|call| match call {
                Call::Discarded(range) => range.clone().step_by(4096),
                _ => panic!("{call:?}"),
            })
            .collect();
        for at in &went {
            // SAFETY: none for the heap, which is not checked any more: it believes that this page is zero.
            unsafe { std::ptr::with_exposed_provenance_mut::<u8>(at + 4095).write(0xA7) };
        }
        let (mut planted, mut written) = (0, 0);
        for _ in 0..pages * 4096 / size / 2 {
            let block = scene.heap.allocate_zeroed(layout(size, 8)).expect("room").addr().get();
            let whole =
                (block.next_multiple_of(4096)..block + size).step_by(4096).filter(|at| at + 4096 <= block + size);
            for at in whole.filter(|at| went.contains(at)) {
                if bytes(at + 4095, 1)[0] == 0xA7 { planted += 1 } else { written += 1 }
            }
        }
        if size >= 4096 {
            assert!(planted > 4 * written, "{size}: {planted} pages were left alone, {written} written");
        }
    }
}

/// A kernel that refuses is not asked thousands of times, and the trim says that nothing was returned. When
/// it grants again, all is returned.
#[test]
fn a_refusal_leaves_everything_as_it_was() {
    let mut arena = Arena::new(16 * MIB);
    let mut scene = fragmented(&mut arena, 4096, 500, 64);
    let used = scene.used();
    scene.heap.brk_mut().brk.allow_discard(false);
    for _ in 0..3 {
        scene.heap.brk_mut().refused = 0;
        assert_eq!(scene.heap.trim(usize::MAX), 0);
        assert!((1..=12).contains(&scene.heap.brk().refused), "asked {} times", scene.heap.brk().refused);
        assert_eq!((scene.used(), scene.heap.check()), (used.clone(), Ok(())));
    }
    scene.verify();
    scene.heap.brk_mut().brk.allow_discard(true);
    let (pages, given) = scene.trim();
    assert!(pages > 500 && used.len() - scene.used().len() == given / 4096, "{pages} pages");
}

/// Blocks of all small sizes that come, go and are trimmed around, in an arena that is full at times.
#[test]
fn any_sequence_of_requests_and_trims() {
    for seed in 1..=24 {
        let mut random = Random::new(seed);
        let page = [4096, 8192, PAGE, 32 << 10, 64 << 10][random.below(5)];
        let mut arena = Arena::at(2 * MIB, random.below(9) * 4096 + 16);
        let mut scene = Scene::new(&mut arena, page);
        scene.mixed = true;
        let most = 1 << (5 + random.below(11));
        let sizes: Vec<usize> = (0..5).map(|_| 1 + random.below(most)).collect();
        for _ in 0..if cfg!(miri) { 20 } else { 400 } {
            match random.below(8) {
                0 => drop(scene.trim()),
                1 => scene.keep(0, 2 + random.below(30)),
                _ => {
                    let (size, zeroed) = (sizes[random.below(sizes.len())], random.below(2) == 0);
                    for _ in 0..random.below(40) {
                        if random.below(3) > 0 || scene.live.is_empty() {
                            scene.get(size, zeroed);
                        } else {
                            let nth = random.below(scene.live.len());
                            let at = *scene.live.keys().nth(nth).expect("a block");
                            scene.free(at);
                        }
                    }
                }
            }
            scene.heap.brk_mut().log.clear();
        }
        scene.verify();
        scene.trim();
        scene.keep(0, usize::MAX);
        scene.heap.trim(0);
        assert_eq!(scene.heap.check(), Ok(()));
    }
}
