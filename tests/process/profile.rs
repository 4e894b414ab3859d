//! A heap of which requests are sampled: its numbers against what was asked for, and that it is a heap as any other.

use hmalloc::{BlockState, Hmalloc, MisuseKind, Profile, Sampling, Value};
use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::sync::mpsc::channel;
use support::child::scenario;
use support::random::Random;

static SAMPLED: Hmalloc = Hmalloc::with_policy(hmalloc::Policy::Report);

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).expect("a layout")
}

fn get(size: usize) -> usize {
    let block = SAMPLED.allocate(layout(size)).expect("memory").as_ptr();
    // SAFETY: the block is so long.
    unsafe { block.write_bytes(0x5a, size) };
    block.expose_provenance()
}

fn free(block: usize, size: usize) {
    // SAFETY: allocated above with this size, and not used any more.
    unsafe { SAMPLED.free_sized(std::ptr::with_exposed_provenance_mut(block), layout(size)) }
        .expect("a block of this layout");
}

#[inline(never)]
fn first_place(size: usize) -> usize {
    black_box(get(black_box(size)))
}

#[inline(never)]
fn second_place(size: usize) -> usize {
    black_box(get(black_box(size)))
}

fn start(every: usize) -> Profile<'static> {
    SAMPLED.start_profile(Sampling::new().every(every).seed(7)).expect("memory");
    SAMPLED.profile().expect("it was started")
}

fn leaks(profile: &Profile<'_>) -> String {
    profile.to_string()
}

#[test]
fn every_block_counts_with_a_mean_of_one() {
    scenario(&every_block_counts_with_a_mean_of_one, || {
        let old = get(500);
        let profile = start(1);
        let sizes = [1, 16, 100, 1000, 5000, 20_000, 57_344, 100_000, 3 << 20];
        let kept: Vec<usize> = sizes.iter().map(|&size| first_place(size)).collect();
        (0..100).for_each(|_| free(second_place(70), 70));
        let before = profile.snapshot().expect("memory");
        let more: Vec<usize> = (0..50).map(|_| second_place(48)).collect();
        let sum = sizes.iter().sum::<usize>() as i64;
        let totals = [Value::AllocObjects, Value::AllocSpace, Value::InuseObjects, Value::InuseSpace]
            .map(|value| profile.total(value));
        assert_eq!(totals, [159, sum + 7000 + 2400, 59, sum + 2400]);
        let list = leaks(&profile);
        let amounts: Vec<_> = list.lines().filter(|line| line.ends_with("allocated by")).collect();
        // In the order of bytes; of one place where the same code asked for it.
        assert!(amounts.last().is_some_and(|line| line.starts_with("2,400 bytes in 50 blocks")), "{list}");
        free(kept[1], 16);
        let since = profile.since(&before);
        assert_eq!((since.total(Value::InuseSpace), since.total(Value::AllocSpace)), (2400 - 16, 2400));
        free(old, 500);
        more.into_iter().for_each(|block| free(block, 48));
        kept.iter().zip(sizes).filter(|(_, size)| *size != 16).for_each(|(&block, size)| free(block, size));
        assert_eq!(profile.total(Value::InuseSpace), 0);
        assert_eq!(leaks(&profile), "hmalloc: 0 bytes in 0 blocks are in use, by 0 samples: all blocks\n");
        assert_eq!((SAMPLED.check(), SAMPLED.stats().live_blocks), (Ok(()), 0));
    });
}

/// 20 MB in blocks of five sizes by one sample in 8 KiB: 2,500 samples, so a fiftieth off is the standard deviation.
#[test]
fn the_estimate_is_as_good_as_its_samples() {
    scenario(&the_estimate_is_as_good_as_its_samples, || {
        let profile = start(8 << 10);
        let (mut random, mut asked, mut in_use, mut held) = (Random::new(3), 0, 0, Vec::new());
        for step in 0..40_000 {
            let size = [24, 100, 700, 1500, 9000][random.below(5).min(random.below(5))];
            let block = if step % 2 == 0 { first_place(size) } else { second_place(size) };
            asked += size;
            if step % 3 == 0 {
                in_use += size;
                held.push((block, size));
            } else {
                free(block, size);
            }
        }
        for (value, exact) in [(Value::AllocSpace, asked), (Value::InuseSpace, in_use)] {
            let ratio = profile.total(value) as f64 / exact as f64;
            assert!((ratio - 1.0).abs() < 0.1, "{value:?}: {ratio}");
        }
        let objects = profile.total(Value::AllocObjects) as f64 / 40_000.0;
        assert!((objects - 1.0).abs() < 0.15, "{objects}");
        let mut collapsed = String::new();
        profile.write_collapsed(Value::AllocSpace, &mut collapsed).expect("text");
        let sum: i64 =
            collapsed.lines().map(|line| line.rsplit_once(' ').expect("a value").1.parse::<i64>().expect("one")).sum();
        assert_eq!(sum, profile.total(Value::AllocSpace));
        // The unwinder of `std` shows the stacks.
        assert!(collapsed.lines().all(|line| line.contains(';') && line.contains("+0x")), "{collapsed}");
        held.into_iter().for_each(|(block, size)| free(block, size));
        assert_eq!(profile.total(Value::InuseSpace), 0);
    });
}

#[test]
fn a_sampled_block_is_a_block_as_any_other() {
    scenario(&a_sampled_block_is_a_block_as_any_other, || {
        start(1);
        for size in [0, 1, 100, 5000, 57_344, 70_000] {
            let block = get(size);
            let pointer = std::ptr::with_exposed_provenance_mut::<u8>(block);
            let usable = SAMPLED.usable_size(pointer).expect("a block");
            assert!(
                usable >= size && usable < 2 * size + 17 + if size > 57_344 { 16_384 } else { 0 },
                "{size}: {usable}"
            );
            let shown = SAMPLED.inspect(|heap| heap.blocks().find(|shown| shown.address == block));
            assert_eq!(shown.map(|shown| (shown.size, shown.state)), Some((usable, BlockState::Used)));
            let kind = |at: usize| {
                let wrong = std::ptr::with_exposed_provenance(at);
                SAMPLED.usable_size(wrong).expect_err("no block starts there").kind
            };
            assert_eq!(kind(block + 1), MisuseKind::Misaligned);
            if !usable.is_multiple_of(16_384) {
                assert_eq!(kind(block + usable.next_multiple_of(16)), MisuseKind::NotABlock);
            }
            // SAFETY: refused, so the block stays.
            let refused = unsafe { SAMPLED.free_sized(pointer, layout(usable + 1)) };
            assert_eq!(refused.expect_err("too much").kind, MisuseKind::WrongLayout);
            let stats = SAMPLED.stats();
            assert_eq!((stats.live_blocks, stats.live_bytes), (1, usable));
            assert_eq!(stats.heap_bytes, stats.live_bytes + stats.free_bytes + stats.metadata_bytes);
            assert_eq!(SAMPLED.check(), Ok(()));
            free(block, size);
            // SAFETY: a mistake, which the heap notices.
            assert!(unsafe { SAMPLED.free_sized(pointer, layout(size)) }.is_err());
        }
        resizes();
    });
}

fn resizes() {
    // SAFETY: the block is used by the answers only.
    unsafe {
        let mut block = SAMPLED.alloc(layout(10));
        block.write_bytes(7, 10);
        let mut size = 10;
        for new in [12, 16, 17, 300, 290, 20_000, 70_000, 90_000, 5 << 20, 60_000, 900, 3] {
            block = SAMPLED.realloc(block, layout(size), new);
            assert!(!block.is_null() && (0..3).all(|at| block.add(at).read() == 7), "to {new}");
            let counted = SAMPLED.profile().expect("started").total(Value::InuseSpace);
            assert_eq!(counted, new as i64, "as long as it is now");
            size = new;
        }
        SAMPLED.dealloc(block, layout(size));
        let zeroed = SAMPLED.alloc_zeroed(layout(3000));
        assert!((0..3000).all(|at| zeroed.add(at).read() == 0));
        SAMPLED.dealloc(zeroed, layout(3000));
        let far = Layout::from_size_align(100, 1 << 16).expect("a layout");
        let aligned = SAMPLED.alloc(far);
        assert!(aligned.addr().is_multiple_of(1 << 16));
        SAMPLED.dealloc(aligned, far);
    }
    assert_eq!((SAMPLED.check(), SAMPLED.stats().live_blocks), (Ok(()), 0));
    assert_eq!(SAMPLED.profile().expect("started").total(Value::InuseObjects), 0);
}

/// Threads allocate, resize, hand over and free, one sample in a KiB, while another one looks.
#[test]
fn a_storm_is_counted_exactly() {
    const THREADS: usize = 4;
    scenario(&a_storm_is_counted_exactly, || {
        let profile = start(1024);
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| channel::<(usize, usize)>()).unzip();
        let done = std::sync::Barrier::new(THREADS);
        std::thread::scope(|scope| {
            for (number, receiver) in receivers.into_iter().enumerate() {
                let (senders, done) = (senders.clone(), &done);
                scope.spawn(move || {
                    storm(&mut Random::new(number as u64 + 1), &senders, &receiver);
                    // Nobody sends any more.
                    done.wait();
                    receiver.try_iter().for_each(|(block, size)| free(block, size));
                });
            }
            drop(senders);
            for _ in 0..30 {
                SAMPLED.check().expect("a sound heap");
                let _ = leaks(&profile);
                SAMPLED.trim(0);
            }
        });
        assert!(profile.total(Value::AllocObjects) > 1000);
        assert_eq!((profile.total(Value::InuseObjects), profile.total(Value::InuseSpace)), (0, 0));
        assert_eq!((SAMPLED.check(), SAMPLED.stats().live_blocks), (Ok(()), 0));
    });
}

fn storm(
    random: &mut Random,
    senders: &[std::sync::mpsc::Sender<(usize, usize)>],
    receiver: &std::sync::mpsc::Receiver<(usize, usize)>,
) {
    let mut held: Vec<(usize, usize)> = Vec::new();
    for _ in 0..15_000 {
        match random.below(8) {
            0..=3 if held.len() < 300 => {
                let size = [8, 100, 1000, 20_000, 80_000][random.below(5).min(random.below(5))] + random.below(8);
                held.push((get(size), size));
            }
            4 if !held.is_empty() => {
                let (block, size) = held.swap_remove(random.below(held.len()));
                let new = 1 + random.below(3 * size);
                // SAFETY: a block of this layout, used by the answer only.
                let moved = unsafe { SAMPLED.realloc(std::ptr::with_exposed_provenance_mut(block), layout(size), new) };
                held.push((moved.expose_provenance(), new));
            }
            5 if !held.is_empty() => {
                let block = held.swap_remove(random.below(held.len()));
                senders[random.below(senders.len())]
                    .send(block)
                    .unwrap_or_else(|refused| free(refused.0.0, refused.0.1));
            }
            _ => receiver.try_iter().chain(held.pop()).for_each(|(block, size)| free(block, size)),
        }
    }
    held.into_iter().for_each(|(block, size)| free(block, size));
}

/// A profile is of a heap that may be gone, with all its memory.
#[test]
fn a_profile_outlives_its_heap() {
    scenario(&a_profile_outlives_its_heap, || {
        let mut arena = vec![std::mem::MaybeUninit::uninit(); 4 << 20];
        let heap = Hmalloc::with_source(hmalloc::brk::Emulated::new(&mut arena));
        heap.start_profile(Sampling::new().every(1).guarded()).expect("memory");
        let blocks: Vec<_> = (0..20).map(|size| heap.allocate(layout(100 * size)).expect("memory")).collect();
        // SAFETY: nothing uses the block.
        unsafe { heap.free_sized(blocks[19].as_ptr(), layout(1900)) }.expect("a block");
        assert_eq!(heap.check(), Ok(()));
        let profile = heap.profile().expect("it was started");
        drop(heap);
        drop(arena);
        assert_eq!((profile.total(Value::AllocSpace), profile.total(Value::InuseSpace)), (19_000, 17_100));
        assert!(leaks(&profile).starts_with("hmalloc: 17,100 bytes in 19 blocks"));
    });
}
