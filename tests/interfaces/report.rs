//! Why memory is not going back: planted situations, the line that each of them gets, and sums that add up.

use hmalloc::brk::{Brk, Emulated};
use hmalloc::{Heap, Hmalloc, Report, SpanKind, TierOwner};
use std::collections::VecDeque;
use std::ptr::NonNull;
use support::arena::Arena;
use support::calls::{MIB, free, get, layout};
use support::random::Random;

/// A break whose memory can be returned everywhere.
fn brk(arena: &mut Arena) -> Emulated<'_> {
    let mut brk = arena.brk();
    brk.allow_discard(true);
    brk
}

/// All bytes are in the report once, and the numbers are those of `stats`.
fn adds_up<B: Brk>(heap: &Heap<B>) -> Report {
    let (report, stats) = (heap.report(), heap.stats());
    assert_eq!(report.stats, stats);
    assert_eq!(report.in_runs + report.in_slabs, stats.free_bytes, "{report}");
    let spans = || heap.spans().filter(|span| span.kind == SpanKind::Free);
    assert_eq!((report.run_count, report.in_runs), (spans().count(), spans().map(|span| span.bytes).sum()));
    let mut lengths: Vec<usize> = spans().map(|span| span.bytes).collect();
    lengths.sort_unstable_by(|one, other| other.cmp(one));
    assert!(report.runs().map(|run| run.bytes).eq(lengths.into_iter().take(4)), "{report}");
    let of_classes =
        report.classes().fold((0, 0), |(slabs, free), class| (slabs + class.slabs, free + class.free_bytes));
    let tiers = || report.tiers().chain([report.other_tiers()]);
    assert_eq!(of_classes, (tiers().map(|tier| tier.slabs).sum(), report.in_slabs), "{report}");
    let in_slabs: usize = report.classes().map(|class| class.live_blocks * class.slot).sum();
    assert_eq!(tiers().map(|tier| tier.live_bytes).sum::<usize>(), in_slabs, "{report}");
    report
}

/// What it says a trim would return is what a trim returns, but for metadata aside.
fn trims_as_said(heap: &mut Heap<Emulated<'_>>) -> Report {
    let (report, aside) = (adds_up(heap), heap.stats().aside_bytes);
    let returned = heap.trim(0);
    let aside = aside - heap.stats().aside_bytes;
    assert_eq!(returned - aside, report.trim.bytes(), "{aside} aside: {report}{}", heap.report());
    assert_eq!(heap.report().trim.bytes(), 0, "{}", heap.report());
    report
}

fn has_line(report: &Report, line: &str) {
    let text = report.to_string();
    assert!(text.lines().any(|found| found == line), "no line is: {line}\n{text}");
}

#[test]
fn one_block_holds_the_end_of_the_heap() {
    let mut arena = Arena::new(8 * MIB);
    let mut heap = Heap::new(brk(&mut arena));
    let large = get(&mut heap, 600_000).expect("room");
    let last = get(&mut heap, 100_000).expect("room");
    free(&mut heap, large);
    let report = trims_as_said(&mut heap);
    let pin = format!("a block of 114,688 bytes at {last:p}");
    has_line(&report, &format!("the end: {} bytes can go back there; below lies {pin}", grouped(report.end_bytes)));
    let below = format!("metadata of 16,384 bytes at {:#x}", heap.spans().next().expect("a span").address);
    let run = format!("606,208 bytes at {large:p}, of which 606,208 may hold memory");
    has_line(&report, &format!("the largest free run: {run}; below it {below}; above it {pin}"));
    assert_eq!(report.end_pin.map(|pin| (pin.address, pin.kind)), Some((last.addr().get(), SpanKind::Large)));
    assert_eq!(report.trim.in_runs, 606_208);
    // Without it only metadata is in the way.
    free(&mut heap, last);
    let report = trims_as_said(&mut heap);
    assert_eq!(report.end_pin.map(|pin| pin.kind), Some(SpanKind::Metadata), "{report}");
}

#[test]
fn one_live_slot_holds_each_slab() {
    let mut arena = Arena::new(8 * MIB);
    let mut heap = Heap::new(brk(&mut arena));
    let blocks: Vec<_> = (0..16_384).map(|_| get(&mut heap, 64).expect("room")).collect();
    let slabs: Vec<_> = heap.spans().filter(|span| matches!(span.kind, SpanKind::Slab { slot: 64, .. })).collect();
    let mut kept: Vec<NonNull<u8>> = Vec::new();
    for block in blocks {
        let is_in = |slab: &hmalloc::SpanInfo| (slab.address..slab.address + slab.bytes).contains(&block.addr().get());
        match slabs.iter().position(is_in) {
            // And one more in the last, so that one of them is nearer to the end.
            Some(slab) if slab == kept.len() || slab + 1 == slabs.len() && kept.len() == slabs.len() => {
                kept.push(block)
            }
            _ => free(&mut heap, block),
        }
    }
    let count = slabs.len();
    let live = count + 1;
    assert!(count > 10 && kept.len() == live);
    let report = trims_as_said(&mut heap);
    let held: usize = slabs.iter().map(|slab| slab.bytes).sum();
    let row = report.classes().find(|class| class.slot == 64).copied().expect("the class");
    assert_eq!((row.slabs, row.live_blocks, row.free_bytes), (count, live, held - 64 * live));
    // All kernel pages but those with a live slot, as far as they were ever used: the last slab is not used to its end.
    let most = held - count * 4096;
    assert!(row.dirty_bytes > most - slabs[count - 1].bytes && row.dirty_bytes <= most, "{report}");
    assert_eq!(report.trim.in_slabs, report.classes().map(|class| class.dirty_bytes).sum::<usize>());
    let (free, dirty) = (grouped(row.free_bytes), grouped(row.dirty_bytes));
    has_line(&report, &format!("{:>7} {count:>7} {live:>11} {:>14} {free:>14} {dirty:>14}", 64, grouped(64 * live)));
    let (last, block) = (slabs[count - 1], kept[count]);
    let slots = last.bytes / 64;
    let pin = format!("a slab of {} bytes at {:#x} with slots of 64, of tier 0: ", grouped(last.bytes), last.address);
    let says = format!("; below lies {pin}2 of {} are live, the nearest at {block:p}\n", grouped(slots));
    assert!(report.to_string().contains(&says), "no {says}\n{report}");
}

#[test]
fn regions_are_counted_and_those_without_a_block_named() {
    let mut arena = Arena::new(32 * MIB);
    let mut brk = brk(&mut arena);
    brk.allow_mappings(24 * MIB);
    let mut heap = Heap::new(brk);
    get(&mut heap, 100).expect("room");
    heap.brk_mut().fail_after(0);
    // Less than what a heap may keep, so that the region is not returned unasked.
    let large = get(&mut heap, 600_000).expect("a region");
    let report = adds_up(&heap);
    let mapped = heap.stats().mapped_bytes;
    has_line(&report, &format!("regions: 1 region of {} bytes, 0 of them without a live block", grouped(mapped)));
    assert_eq!((report.region_count, report.trim.by_regions), (1, 0));
    // Only an empty slab is left in it, which a trim retires.
    let slot = get(&mut heap, 40_000).expect("room in the region");
    free(&mut heap, slot);
    free(&mut heap, large);
    assert_eq!(heap.stats().mapped_bytes, mapped);
    let report = trims_as_said(&mut heap);
    has_line(&report, &format!("regions: 1 region of {} bytes, 1 of them without a live block", grouped(mapped)));
    assert_eq!((report.trim.by_regions, heap.stats().mapped_bytes), (mapped, 0), "{report}");
}

#[test]
fn another_users_break_is_named() {
    let mut arena = Arena::new(8 * MIB);
    let mut heap = Heap::new(brk(&mut arena));
    let block = get(&mut heap, 200_000).expect("room");
    free(&mut heap, block);
    heap.brk_mut().foreign_move(4096);
    let report = trims_as_said(&mut heap);
    assert!(report.kept.raised_by_others && report.trim.by_break == 0 && report.end_bytes > 0);
    assert!(
        report.to_string().contains("; another user has raised the break above the heap, so it cannot be lowered\n")
    );
    // The heap goes on above.
    get(&mut heap, MIB).expect("room");
    let report = adds_up(&heap);
    assert!(
        report.to_string().contains("; above it memory of another user of the break, 16,384 bytes at 0x"),
        "{report}"
    );
}

/// Anything that a heap can become.
#[test]
fn any_heap_is_reported_as_it_is() {
    for seed in 0..24 {
        let (mut random, mut arena) = (Random::new(seed), Arena::new(64 * MIB));
        let mut brk = brk(&mut arena);
        brk.allow_mappings(32 * MIB);
        let mut heap = Heap::new(brk);
        let mut live = VecDeque::new();
        for step in 0..2000 {
            if live.len() > random.below(400) {
                live.rotate_left(random.below(live.len()));
                free(&mut heap, live.pop_front().expect("a block"));
            } else {
                let most = [100, 2000, 60_000, 600_000][random.below(4)];
                live.extend(get(&mut heap, 1 + random.below(most)));
            }
            match random.below(400) {
                0 => heap.brk_mut().foreign_move(4096),
                1 => heap.brk_mut().fail_after(random.below(4)),
                2 => heap.brk_mut().fail_after(usize::MAX),
                3 => _ = trims_as_said(&mut heap),
                _ if step % 50 == 0 => _ = adds_up(&heap),
                _ => {}
            }
        }
        live.into_iter().for_each(|block| free(&mut heap, block));
        trims_as_said(&mut heap);
        assert_eq!(heap.check(), Ok(()));
    }
}

/// What a thread that has ended holds, and what another one has freed in the meantime.
#[test]
fn a_dead_threads_tier_is_named_and_others_frees_count() {
    static HEAP: Hmalloc = Hmalloc::new();
    let mine: Vec<usize> = (0..1000).map(|_| HEAP.allocate(layout(1000, 1)).expect("memory").addr().get()).collect();
    let (task, theirs) = std::thread::spawn(move || {
        let theirs: Vec<usize> =
            (0..100).map(|_| HEAP.allocate(layout(1000, 1)).expect("memory").addr().get()).collect();
        for &block in mine.iter().skip(500) {
            // SAFETY: nothing uses the block any more.
            unsafe { HEAP.free(std::ptr::with_exposed_provenance_mut(block), |misuse| panic!("{misuse}")) };
        }
        // SAFETY: asks for a number.
        (unsafe { libc::gettid() } as u32, theirs.len())
    })
    .join()
    .expect("the thread ends");
    // The kernel takes a moment to forget a thread that has been joined.
    let report = loop {
        let report = HEAP.report();
        if report.tiers().any(|tier| tier.owner == TierOwner::Ended(task)) {
            break report;
        }
        std::thread::yield_now();
    };
    let (mut first, mut ended) = (None, None);
    report.tiers().for_each(|tier| match tier.owner {
        TierOwner::FirstThread | TierOwner::Thread(_) => first = Some(tier),
        _ => ended = Some(tier),
    });
    let (first, ended) = (first.expect("the first thread's"), ended.expect("the other's"));
    assert_eq!((ended.live_blocks, first.live_blocks, report.stats.live_blocks), (theirs, 500, 600), "{report}");
    assert!(first.freed_by_others > 0 && first.freed_by_others <= 500, "{report}");
    has_line(
        &report,
        &format!(
            "tier {}, of thread {task}, which has ended: {} slab{} of {} bytes, 100 blocks live of {} bytes, 0 bytes in empty slabs",
            ended.number,
            ended.slabs,
            if ended.slabs == 1 { "" } else { "s" },
            grouped(ended.bytes),
            grouped(ended.live_bytes),
        ),
    );
    // Looking gathers nothing: whose the slabs are is the same again, until all are gathered.
    assert_eq!(HEAP.report().tiers().count(), report.tiers().count());
    let stats = HEAP.stats();
    assert_eq!((stats.live_blocks, stats.live_bytes), (report.stats.live_blocks, report.stats.live_bytes));
    assert!(HEAP.report().tiers().all(|tier| tier.owner == TierOwner::InTurns));
}

/// A number with commas between thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits")).collect();
    groups.join(",")
}
