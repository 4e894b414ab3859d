//! Tests of thrift's decisions; the clock is a parameter.

use super::*;

const MIB: usize = (1 << 20) / PAGE;

/// A heap in which so much is live and so much free and dirty, at its peak.
fn sums(live: usize, dirty: usize) -> Sums {
    let heap = (live + dirty + IDLE_SLABS) * METADATA_FRACTION / (METADATA_FRACTION - 1);
    Sums { heap, free: dirty, dirty, peak: heap }
}

/// Frees a MiB, which makes the sums these.
fn release(thrift: &mut Thrift, sums: Sums, clock: Option<u64>) -> Option<Plan> {
    thrift.tick_free(MIB);
    thrift.is_due(sums).then(|| thrift.plan(sums, || clock)).flatten()
}

/// Frees a MiB; if anything is returned then, all is, and is needed again at once.
fn round(thrift: &mut Thrift, sums: Sums, clock: Option<u64>) -> bool {
    let returned = release(thrift, sums, clock).is_some();
    if returned {
        thrift.note_returned(sums.dirty);
    }
    thrift.note_needed();
    returned
}

#[test]
fn a_calm_heap_keeps_a_mib_and_fractions_of_what_lives_and_was() {
    for (live, kept) in [(0, MIB), (1000 * MIB, 1000 * MIB / 16)] {
        let mut thrift = Thrift::new();
        let most = (0..2000 * MIB).step_by(16).find(|&dirty| release(&mut thrift, sums(live, dirty), None).is_some());
        let most = most.expect("something is returned");
        assert!((kept..=kept * 5 / 4 + MIB).contains(&most), "{} MiB with {} live", most / MIB, live / MIB);
    }
}

/// Whatever is freed and taken, and however many mistakes there were: no free after which it is time to plan is passed over.
#[test]
fn a_quiet_heap_is_not_beyond_its_limit() {
    const STEPS: u32 = if cfg!(miri) { 200 } else { 20_000 };
    let (mut random, mut quiet) = (0x2545_F491_4F6C_DD1D_u64, 0);
    for mistakes in 0..=SHIFT_MAX {
        let (mut thrift, mut live, mut dirty) = (Thrift { mistakes, ..Thrift::new() }, 2000 * MIB, 0);
        for step in 0..STEPS {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let pages = 1 + (random >> 32) as usize % 600;
            // More is freed than taken, until too much is: then it is used again.
            if random % 5 < 2 && dirty > pages {
                (live, dirty) = (live + pages, dirty - pages);
                thrift.tick();
                continue;
            }
            (live, dirty) = (live - pages, dirty + pages);
            thrift.tick_free(pages);
            // All that a plan would look at the clock for is left aside here.
            thrift.looked_at = thrift.operations;
            let now = Sums { heap: 2000 * MIB, free: dirty, dirty, peak: 2000 * MIB };
            assert_eq!(now.heap - now.free, live);
            if thrift.is_quiet() {
                quiet += 1;
                assert!(dirty <= thrift.limit(now), "step {step} with {mistakes} mistakes: {dirty} dirty");
            } else if thrift.is_due(now) {
                (live, dirty) = (2000 * MIB, 0);
            }
        }
    }
    assert!(quiet > 3 * STEPS, "most frees are passed over: {quiet}");
}

#[test]
fn draining_goes_on_until_memory_is_needed() {
    let mut thrift = Thrift::new();
    assert!(release(&mut thrift, sums(16 * MIB, 8 * MIB), None).is_some());
    assert!(release(&mut thrift, sums(16 * MIB, 2 * MIB), None).is_some(), "to the lower mark");
    assert!(release(&mut thrift, sums(16 * MIB, MIB / 2), None).is_none(), "below it");
    assert!(release(&mut thrift, sums(16 * MIB, 2 * MIB), None).is_some(), "and again");
    thrift.note_needed();
    assert!(release(&mut thrift, sums(16 * MIB, 2 * MIB), None).is_none(), "calm");
}

#[test]
fn no_free_returns_much_more_than_it_frees() {
    let mut thrift = Thrift::new();
    for dirty in [20 * MIB, 200 * MIB] {
        let plan = release(&mut thrift, sums(MIB, dirty), None).expect("a plan");
        assert_eq!(plan.most, MULTIPLE * MIB + EXTRA);
    }
}

/// What one free may return is enough for the least that is worth a system call: else a heap that drains by small frees would
/// keep what lies between the marks.
#[test]
fn a_small_free_may_return_a_piece() {
    let mut thrift = Thrift::new();
    assert!(release(&mut thrift, sums(16 * MIB, 8 * MIB), None).is_some(), "it drains");
    for (dirty, pieces) in [(8 * MIB, PIECE_HIGH..=PIECE_HIGH), (2 * MIB, EXTRA..=PIECE)] {
        thrift.tick_free(1);
        let plan = thrift.plan(sums(16 * MIB, dirty), || None).expect("a plan");
        assert!(pieces.contains(&plan.piece) && plan.piece <= plan.most && plan.lower_piece <= plan.most, "{plan:?}");
    }
}

#[test]
fn mistakes_let_a_heap_keep_twice_what_lives_and_no_more() {
    for clock in [None, Some(5000)] {
        let mut thrift = Thrift::new();
        let returns = (0..50).filter(|_| round(&mut thrift, sums(100 * MIB, 190 * MIB), clock)).count();
        assert_eq!(returns, SHIFT_MAX as usize, "with the clock at {clock:?}");
        assert!(release(&mut thrift, sums(100 * MIB, 220 * MIB), clock).is_some(), "that would be hoarding");
    }
}

#[test]
fn mistakes_have_no_weight_where_nothing_lives() {
    let mut thrift = Thrift::new();
    assert!((0..1000).all(|_| round(&mut thrift, sums(0, 40 * MIB), None)), "without a clock");
    let mut slow = Thrift::new();
    assert!((0..1000).all(|time| round(&mut slow, sums(0, 40 * MIB), Some(time * 200))), "rounds of 200 ms");
    let mut large = Thrift::new();
    let dirty = LOOP_MAX + MIB;
    assert!((0..1000).all(|time| round(&mut large, sums(0, dirty), Some(time))), "more than a loop may keep");
}

#[test]
fn mistakes_wear_off_with_time_and_with_success() {
    let heap = sums(100 * MIB, 50 * MIB);
    for later in [1000 * SHIFT_MAX as u64, 3_600_000] {
        let mut thrift = Thrift::new();
        (0..50).for_each(|_| _ = round(&mut thrift, heap, Some(5000)));
        assert!(!round(&mut thrift, heap, Some(5000)), "it has learned");
        (0..LOOK).for_each(|_| thrift.tick());
        assert!(release(&mut thrift, heap, Some(5000 + later)).is_some(), "and forgotten");
    }
    let mut thrift = Thrift::new();
    (0..50).for_each(|_| _ = round(&mut thrift, heap, Some(5000)));
    // Each time more than the heap may keep is returned, and is needed again, but later.
    let rare =
        (1..=SHIFT_MAX as u64).map(|time| round(&mut thrift, sums(100 * MIB, 250 * MIB), Some(5000 + time * 150)));
    assert!(rare.into_iter().all(|returned| returned));
    thrift.note_needed();
    assert!(release(&mut thrift, heap, Some(5000 + 990)).is_some(), "mistakes that were none");
}

#[test]
fn a_fast_loop_is_left_alone_for_a_second() {
    let (mut thrift, heap) = (Thrift::new(), sums(0, 20 * MIB));
    let mut returned = 0;
    for step in 0..3000 {
        // Two rounds in a millisecond, and the clock is read in one of eight.
        returned += usize::from(round(&mut thrift, heap, Some(5000 + step / 2)));
        (0..LOOK / 8).for_each(|_| thrift.tick());
    }
    assert!((1..=6).contains(&returned), "{returned} times in 3000 rounds");
    (0..LOOK).for_each(|_| thrift.tick());
    assert!(release(&mut thrift, heap, Some(20_000)).is_some(), "and no longer");
}

#[test]
fn an_idle_heap_returns_nine_tenths_of_what_it_keeps() {
    let mut thrift = Thrift::new();
    let kept = sums(1000 * MIB, 50 * MIB);
    (0..LOOK).for_each(|_| thrift.tick());
    assert!(release(&mut thrift, kept, Some(5000)).is_none());
    (0..LOOK).for_each(|_| thrift.tick());
    assert!(release(&mut thrift, kept, Some(5999)).is_none(), "not yet");
    (0..LOOK).for_each(|_| thrift.tick());
    let plan = release(&mut thrift, kept, Some(7000)).expect("a plan");
    assert!(plan.most >= 40 * MIB && plan.steps == STEPS_IDLE, "{plan:?}");
}

#[test]
fn what_is_refused_is_tried_again_when_there_is_twice_as_much_or_later() {
    let mut backoff = Backoff::new();
    assert!(backoff.may_try(10, None));
    let mut times = std::vec::Vec::new();
    for time in (0..300_000).step_by(500) {
        if backoff.may_try(10, Some(time)) {
            backoff.fail(10, Some(time));
            times.push(time / 1000);
        }
    }
    assert_eq!(times, [0, 1, 3, 7, 15, 31, 63, 127, 191, 255]);
    assert!(!backoff.may_try(19, Some(256_000)) && backoff.may_try(20, Some(256_000)) && !backoff.may_try(19, None));
    backoff.succeed();
    assert!(backoff.may_try(1, None));
}
