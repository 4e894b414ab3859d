//! Where the break does not move: regions are mapped, few and large ones, and unmapped when nothing lives in them.

use super::limits::{Limit, fill, limited};
use hmalloc::{Heap, SpanKind};
use support::arena::Arena;
use support::calls::{MIB, free, get, layout};
use support::setup::Setup;

#[test]
fn a_refused_break_falls_back_to_mappings() {
    let setup = Setup { mappings: 16 * MIB, ..Setup::plain(32 * MIB) };
    for moves in 0..3 {
        setup.run(|world| {
            world.brk().fail_after(moves);
            let mut payloads = Vec::new();
            for size in [10, 5000, 50_000, 2 * MIB, 100, MIB] {
                payloads.push(world.allocate_zeroed(layout(size, 8))?.ok_or("room in a mapping")?);
            }
            assert!(world.last.stats.mapped_bytes >= MIB, "{:?}", world.last.stats);
            assert!(world.last.stats.map_calls >= 1, "{:?}", world.last.stats);
            payloads.into_iter().try_for_each(|payload| world.free(payload))?;
            world.trim(0)?;
            let left = world.last.stats.mapped_bytes;
            assert!(left <= 512 << 10, "{left} bytes stay mapped for an empty heap");
            Ok(())
        });
    }
}

#[test]
fn an_empty_region_is_unmapped_unasked() {
    let mut arena = Arena::new(64 * MIB);
    let mut brk = arena.brk();
    brk.allow_mappings(40 * MIB);
    let mut heap = Heap::new(brk);
    get(&mut heap, 100).expect("room");
    heap.brk_mut().fail_after(0);
    let payload = get(&mut heap, 20 * MIB).expect("a region");
    assert!(heap.brk().mapped() > 20 * MIB);
    free(&mut heap, payload);
    assert_eq!((heap.brk().mapped(), heap.stats().mapped_bytes, heap.check()), (0, 0, Ok(())));
}

/// Regions in which nothing lives any more make room for a longer one.
#[test]
fn free_regions_do_not_keep_a_large_block_out() {
    let mut arena = Arena::new(100 * MIB);
    let mut heap = limited(&mut arena, Limit::Mappings(48 * MIB));
    for _ in 0..3 {
        let blocks = fill(&mut heap, 100_000);
        blocks.into_iter().for_each(|block| free(&mut heap, block));
        let large = get(&mut heap, 40 * MIB).expect("nothing else lives");
        free(&mut heap, large);
        assert_eq!(heap.check(), Ok(()));
    }
}

/// A request for a region that is refused is halved, not made small: there are few regions, and large ones.
#[test]
fn regions_are_few() {
    let mut arena = Arena::new(100 * MIB);
    let mut heap = limited(&mut arena, Limit::Mappings(48 * MIB));
    fill(&mut heap, 1000);
    let regions = heap.spans().filter(|span| span.kind == SpanKind::Metadata).count() - 1;
    assert!(regions <= 24, "{regions} regions");
}
