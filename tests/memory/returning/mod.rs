//! What is returned to the kernel unasked: how much, how soon, in how many calls.

mod bursts;
mod idle;
mod refusals;

use hmalloc::{Heap, PAGE};
use support::arena::Arena;
use support::calls::{MIB, free, get, layout};
use support::random::Random;
use support::setup::Setup;
use support::watched::{Call, Watched, watched};

/// A request that gets a span of its own: four pages.
const LARGE: usize = 4 * PAGE;

/// Without a trim, a heap whose end has become free lowers the break, and keeps a part for what comes next.
#[test]
fn a_large_free_top_goes_back_unasked() {
    let mut arena = Arena::new(64 * MIB);
    let mut heap = Heap::new(arena.brk());
    let pin = get(&mut heap, 100).expect("room");
    let payload = get(&mut heap, 40 * MIB).expect("room");
    let high = heap.brk().current();
    free(&mut heap, payload);
    let given = high - heap.brk().current();
    assert!(given >= 20 * MIB, "only {given} bytes came back");
    assert!(heap.stats().free_bytes >= MIB / 8, "nothing is kept");
    free(&mut heap, pin);
    assert_eq!(heap.check(), Ok(()));
}

/// A block that stays above them keeps the break up, so the pages below are discarded instead.
#[test]
fn large_free_spans_below_a_block_are_discarded_unasked() {
    let mut arena = Arena::new(64 * MIB);
    let mut brk = arena.brk();
    brk.allow_discard(true);
    let mut heap = Heap::new(brk);
    let payload = get(&mut heap, 20 * MIB).expect("room");
    let pin = get(&mut heap, 20_000).expect("room");
    // SAFETY: the block is live and this long.
    unsafe { payload.write_bytes(7, 20 * MIB) };
    free(&mut heap, payload);
    // SAFETY: the arena outlives the heap, and its bytes have been written.
    let kept = (0..20 * MIB).step_by(PAGE).filter(|&offset| unsafe { payload.add(offset).read() } != 0).count();
    assert!(kept * PAGE <= MIB, "{kept} pages were kept");
    assert_eq!(heap.check(), Ok(()));
    free(&mut heap, pin);
}

/// One live block at the top pins the break. The pages below it are returned all the same.
#[test]
fn free_pages_below_a_pinned_top_are_given_back() {
    let setup = Setup { discard: true, ..Setup::plain(32 * MIB) };
    setup.run(|world| {
        let large = world.allocate(layout(8 * MIB, 8))?.ok_or("room")?;
        let pin = world.allocate(layout(100_000, 8))?.ok_or("room")?;
        world.free(large)?;
        world.trim(0)?;
        // The emulated break clears what is returned: the pages held a pattern, and hold nothing now.
        let middle = std::ptr::with_exposed_provenance::<u8>(large + 4 * MIB);
        // SAFETY: the byte lies in the arena, below the break, in a free span that no one writes to.
        assert_eq!(unsafe { middle.read_volatile() }, 0, "the free pages were kept");
        world.allocate_zeroed(layout(8 * MIB, 8))?;
        world.free(pin)?;
        Ok(())
    });
}

/// Frees 38 MiB in small blocks, ordered by `key`, above a large block that stays and, if `pinned`, below another
/// one. No free returns much more than it frees itself, the kernel is seldom called, and next to nothing is left.
fn frees(name: &str, page: usize, pinned: bool, key: impl Fn(usize) -> usize) {
    const COUNT: usize = 400;
    const SIZE: usize = 6 * PAGE;
    let mut arena = Arena::at(160 * MIB, 3 * PAGE);
    let mut brk = arena.brk();
    brk.set_page_size(page);
    brk.allow_discard(true);
    let mut heap = Heap::new(Watched::new(brk));
    // So large that no metadata comes to lie between the others.
    get(&mut heap, 65 * MIB).expect("room");
    let blocks: Vec<_> = (0..COUNT).map(|_| get(&mut heap, SIZE).expect("room")).collect();
    let above = pinned.then(|| get(&mut heap, LARGE).expect("room"));
    assert!(above.is_none_or(|above| blocks.iter().all(|&block| block < above)));
    heap.brk_mut().log.clear();
    let mut order: Vec<usize> = (0..COUNT).collect();
    order.sort_by_key(|&index| key(index));
    let mut before = 0;
    for index in order {
        free(&mut heap, blocks[index]);
        let given = heap.brk().returned();
        assert!(
            given - before <= if pinned { 2 } else { 9 } * MIB,
            "{name}: one small free returned {} bytes",
            given - before
        );
        before = given;
    }
    let aside =
        heap.brk().log.iter().filter(|call| matches!(call, Call::Unmapped(_) | Call::DiscardedAside(_))).count();
    let calls = heap.brk().log.len() - aside;
    assert!(before >= COUNT * SIZE - 3 * MIB, "{name}: {before} of {} bytes were returned", COUNT * SIZE);
    assert!(calls <= 48, "{name}: {calls} calls, more than one for each MiB or so");
    assert!(aside <= 16, "{name}: metadata was returned in {aside} pieces");
    assert_eq!(heap.check(), Ok(()));
}

#[test]
fn small_blocks_go_back_by_and_by_in_whatever_order_they_are_freed() {
    for page in [4096, 65_536] {
        for pinned in [true, false] {
            frees("upwards", page, pinned, |index| index);
            frees("downwards", page, pinned, |index| usize::MAX - index);
        }
        frees("from the middle", page, true, |index| index.abs_diff(200));
    }
}

/// Records of pages go back with the pages, and not all of them with the last: what comes next finds them empty.
#[test]
fn metadata_goes_back_with_its_pages() {
    const COUNT: usize = 1280;
    let mut arena = Arena::new(128 * MIB);
    let mut heap = watched(&mut arena);
    heap.brk_mut().brk.allow_discard(true);
    for round in 0..2 {
        let blocks: Vec<_> = (0..COUNT).map(|_| get(&mut heap, LARGE).expect("room")).collect();
        let above = get(&mut heap, 20 * PAGE).expect("room");
        let mut pieces = Vec::new();
        for &block in &blocks {
            heap.brk_mut().log.clear();
            free(&mut heap, block);
            let aside = heap.brk().log.iter().filter_map(|call| match call {
                Call::DiscardedAside(range) => Some(range.len()),
                _ => None,
            });
            pieces.extend(aside);
        }
        // 5,120 pages are ten groups, whose records take 192 bytes each; some pages are kept for what comes next.
        let (sum, most) = (pieces.iter().sum::<usize>(), pieces.iter().max().copied().unwrap_or(0));
        assert!(sum >= 7 * 512 * 192 && most <= 3 * 512 * 200, "{sum} bytes in round {round}, {most} at once");
        assert_eq!(heap.check(), Ok(()));
        free(&mut heap, above);
    }
    assert_eq!(heap.check(), Ok(()));
}

/// Mistakes let a heap keep twice what lives: one long span, and then many short ones are freed between live ones. Each free
/// returns a little more than itself, most of it from the long one, until that is gone.
#[test]
fn one_long_span_among_many_short_ones_goes_back() {
    const COUNT: usize = 640;
    let mut arena = Arena::new(160 * MIB);
    let mut heap = watched(&mut arena);
    heap.brk_mut().brk.allow_discard(true);
    for round in 0..7 {
        let long = get(&mut heap, 60 * MIB).expect("room");
        let between = get(&mut heap, LARGE).expect("room");
        let short: Vec<_> = (0..COUNT).map(|_| get(&mut heap, LARGE).expect("room")).collect();
        heap.brk_mut().log.clear();
        free(&mut heap, long);
        for index in (0..COUNT).step_by(2).chain((1..COUNT).step_by(2)) {
            free(&mut heap, short[index]);
        }
        let left = (60 * MIB + COUNT * LARGE).saturating_sub(heap.brk().returned());
        let most = 2 * MIB + heap.stats().peak_heap_bytes / 64;
        assert!(left <= most, "{} KiB are left after round {round}", left / 1024);
        free(&mut heap, between);
    }
    assert_eq!(heap.check(), Ok(()));
}

/// What a free has freed itself is returned with it, however much it is.
#[test]
fn a_free_that_frees_much_gives_it_all_back() {
    let mut arena = Arena::new(128 * MIB);
    let mut heap = watched(&mut arena);
    heap.brk_mut().brk.allow_discard(true);
    let payload = get(&mut heap, 100 * MIB).expect("room");
    let above = get(&mut heap, LARGE).expect("room");
    free(&mut heap, payload);
    let given = heap.brk().returned();
    assert!((99 * MIB..=100 * MIB).contains(&given), "{given} bytes were discarded");
    free(&mut heap, above);
    heap.trim(0);

    let payload = get(&mut heap, 100 * MIB).expect("room");
    heap.brk_mut().log.clear();
    free(&mut heap, payload);
    // A quarter of the top is kept for what comes next.
    let given = heap.brk().returned();
    assert!((70 * MIB..=101 * MIB).contains(&given), "the break fell by {given} bytes");
    assert_eq!(heap.check(), Ok(()));
}

/// A program that frees all it has, and begins again at once, keeps its memory from the third time on, whatever its blocks are
/// and in whatever order they go: what lies free in one piece has been returned in several, and partly.
#[test]
fn a_loop_keeps_its_memory_in_whatever_order_blocks_are_freed() {
    // The least size of a block, how much more it may be, and how many MiB a round has.
    let rounds =
        [(48, 1, 20), (16, 1000, 30), (20_000, 1, 20), (100_000, 1, 30), (65_536, 900_000, 20), (700_000, 1, 30)];
    for (size, more, mib) in rounds {
        // Where the break cannot be lowered, all that was returned becomes the top.
        for (downwards, stuck) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut arena = Arena::new(64 * MIB);
            let mut brk = arena.brk();
            brk.allow_discard(true);
            brk.refuse_lowering(stuck);
            brk.set_clock(5000);
            let mut heap = Heap::new(Watched::new(brk));
            let mut returned = [0; 6];
            for (round, returned) in returned.iter_mut().enumerate() {
                heap.brk_mut().log.clear();
                heap.brk_mut().brk.set_clock(5000 + 10 * round as u64);
                let (mut random, mut sum, mut blocks) = (Random::new(1), 0, Vec::new());
                while sum < mib * MIB {
                    let size = size + random.below(more);
                    blocks.push(get(&mut heap, size).expect("room"));
                    sum += size;
                }
                if downwards {
                    blocks.reverse();
                }
                blocks.into_iter().for_each(|block| free(&mut heap, block));
                *returned = heap.brk().returned();
            }
            assert!(returned[0] >= (mib - 4) * MIB, "{size} B: {returned:?}: nothing was to be known yet");
            assert_eq!(
                returned[2..],
                [0; 4],
                "blocks of {size} B, downwards: {downwards}, stuck: {stuck}: {returned:?}"
            );
        }
    }
}
