//! `usable_size` at every address of heaps of all kinds: exactly the live payload starts are valid.

mod ask;

use ask::{Tally, ask, on};
use hmalloc::{BlockState, MisuseKind, PAGE, SpanInfo, SpanKind};
use support::calls::layout;
use support::ensure;
use support::oracle::{Expected, Verdict};
use support::random::Random;
use support::setup::Setup;
use support::world::EmulatedWorld;

fn free_some(world: &mut EmulatedWorld<'_>, numbers: &mut Random, one_in: usize) -> Verdict {
    let payloads: Vec<usize> = world.oracle.live.keys().copied().collect();
    for payload in payloads {
        if numbers.below(one_in) == 0 {
            world.free(payload)?;
        }
    }
    Ok(())
}

fn slabs(world: &mut EmulatedWorld<'_>, sizes: impl Iterator<Item = usize>, each: usize) -> Verdict {
    for size in sizes {
        for _ in 0..each {
            world.allocate(layout(size, 8))?;
        }
    }
    Ok(())
}

/// Random blocks of all sizes, some of them freed, resized, and trimmed away.
fn mixed(world: &mut EmulatedWorld<'_>, seed: u64, steps: usize) -> Verdict {
    let mut numbers = Random::new(seed);
    for _ in 0..steps {
        let which = numbers.below(10_000);
        let size = 1 << numbers.below(17);
        let wanted = layout(size + numbers.below(size), 1 << numbers.below(8));
        match (numbers.below(8), world.nth_live(which)) {
            (0..=1, Some(payload)) => world.free(payload)?,
            (2, Some(payload)) => world.resize(payload, wanted).map(drop)?,
            (3, _) if which < 1000 => world.trim(which * 16).map(drop)?,
            _ => world.allocate(wanted).map(drop)?,
        }
    }
    Ok(())
}

#[test]
fn an_empty_heap_has_no_payload() {
    let tally = on(Setup::plain(1 << 20), |_| Ok(()));
    assert_eq!(tally.payloads, 0);
    assert!(tally.kinds[0] > 0 && tally.kinds[1..] == [0, 0, 0], "{tally:?}");
}

#[test]
fn slabs_of_the_smallest_classes() {
    let tally = on(Setup::plain(2 << 20), |world| {
        slabs(world, (1..=8).map(|step| step * 16), 300)?;
        free_some(world, &mut Random::new(1), 3)
    });
    assert!(tally.kinds.iter().all(|count| *count > 0) && tally.payloads > 1000, "{tally:?}");
}

#[test]
fn slabs_of_every_class() {
    let tally = on(Setup::plain(4 << 20), |world| {
        // Steps of an eighth meet every size class, whatever their exact borders.
        let sizes = std::iter::successors(Some(8_usize), |size| Some(size + (size / 9).max(8)));
        slabs(world, sizes.take_while(|size| *size <= 17 << 10), 4)?;
        free_some(world, &mut Random::new(2), 2)
    });
    assert!(tally.kinds.iter().all(|count| *count > 0), "{tally:?}");
}

#[test]
fn full_slabs_and_their_tails() {
    on(Setup::plain(2 << 20), |world| {
        slabs(world, [48, 112, 208, 1000, 5000].into_iter(), 80)?;
        let tail = |span: &SpanInfo| matches!(span.kind, SpanKind::Slab { slot, capacity, .. } if slot * capacity < span.bytes);
        let has_tail = world.last.spans.iter().any(tail);
        ensure!(has_tail, "no slab has a tail, so none was tested");
        Ok(())
    });
}

#[test]
fn released_slabs_and_spans() {
    let tally = on(Setup::plain(3 << 20), |world| {
        slabs(world, [64, 200, 3000].into_iter(), 200)?;
        let kept = world.allocate(layout(40, 8))?;
        slabs(world, [20_000, 60_000, 100_000].into_iter(), 3)?;
        let payloads: Vec<usize> = world.oracle.live.keys().copied().filter(|at| Some(*at) != kept).collect();
        payloads.into_iter().try_for_each(|payload| world.free(payload))
    });
    assert_eq!(tally.payloads, 1);
}

#[test]
fn large_spans() {
    let tally = on(Setup::plain(3 << 20), |world| {
        for size in [PAGE, PAGE + 1, 17 << 10, 40_000, 100_000, 300_000, 5 * PAGE, 1 << 20] {
            world.allocate(layout(size, 16))?;
        }
        Ok(())
    });
    assert_eq!(tally.payloads, 8);
}

#[test]
fn aligned_blocks() {
    on(Setup::plain(4 << 20), |world| {
        for log in 4..=19 {
            world.allocate(layout(100, 1 << log))?;
            world.allocate(layout(30_000, 1 << log))?;
        }
        free_some(world, &mut Random::new(3), 4)
    });
}

#[test]
fn mixed_heaps() {
    for seed in 0..6 {
        let setup = Setup { offset: seed as usize * 1000, discard: seed % 2 == 0, ..Setup::plain(3 << 20) };
        on(setup, |world| mixed(world, seed, 150));
    }
}

#[test]
fn a_fragmented_and_trimmed_heap() {
    on(Setup::plain(4 << 20), |world| {
        mixed(world, 77, 250)?;
        free_some(world, &mut Random::new(4), 2)?;
        world.trim(0)?;
        mixed(world, 78, 30)
    });
}

#[test]
fn a_heap_with_neighbours() {
    let tally = on(Setup { page: 65_536, dirty: true, ..Setup::plain(6 << 20) }, |world| {
        mixed(world, 5, 40)?;
        world.foreign_raise(10_000)?;
        world.allocate(layout(1 << 20, 16))?;
        world.foreign_raise(3 * PAGE)?;
        world.allocate(layout(1 << 20, 16))?;
        mixed(world, 6, 40)?;
        world.foreign_raise(100)?;
        let fences = world.last.blocks.iter().filter(|block| block.state == BlockState::Foreign).count();
        ensure!(fences == 2, "{fences} fences");
        Ok(())
    });
    assert!(tally.kinds[2] > 0, "{tally:?}");
}

#[test]
fn a_heap_in_mappings() {
    on(Setup { mappings: 3 << 20, ..Setup::plain(6 << 20) }, |world| {
        world.refused = true;
        mixed(world, 8, 30)?;
        world.brk().fail_after(0);
        mixed(world, 9, 120)?;
        ensure!(world.last.stats.mapped_bytes > 0, "nothing was mapped: {:?}", world.last.stats);
        Ok(())
    });
}

/// The control: an oracle that does not know one payload, or believes in one too many, disagrees.
#[test]
fn a_wrong_oracle_is_contradicted() {
    let setup = Setup::plain(1 << 20);
    let mut memory = setup.memory();
    let mut world = setup.world(&mut memory);
    slabs(&mut world, [40, 40, 400, 40_000].into_iter(), 2).expect("a heap without faults");
    let ask_all = |world: &EmulatedWorld<'_>| {
        let range = world.start..world.break_now();
        ask(&world.subject, &world.last, &world.oracle, range, &mut Tally::default())
    };
    assert_eq!(ask_all(&world), Ok(()));
    let (at, live) = world.oracle.live.pop_first().expect("eight payloads");
    assert!(ask_all(&world).is_err_and(|what| what.contains("accepted")));
    world.oracle.live.insert(at, live);
    world.oracle.live.insert(at + 16, live);
    assert!(ask_all(&world).is_err_and(|what| what.contains("is a payload")));
    assert_eq!(world.last.expected(&world.oracle, 0), Expected::Kind(MisuseKind::OutsideHeap));
}
