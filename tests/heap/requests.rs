//! Requests at the edges: of alignment and of size, from nothing to more than there is.

use hmalloc::{Block, Heap, OutOfMemory, PAGE, ResizeError};
use std::alloc::Layout;
use std::collections::BTreeSet;
use support::arena::Arena;
use support::calls::{MIB, free, get, layout};
use support::setup::Setup;

#[test]
fn every_alignment_is_served() {
    let setup = Setup { offset: 272, ..Setup::plain(64 * MIB) };
    setup.run(|world| {
        for log in 0..=20 {
            let mut payloads = Vec::new();
            for size in [0, 1, 24, 100, 1000, 5000, 16_384, 16_385, 40_000, 57_344, 57_345, 100_000] {
                payloads.push(world.allocate(layout(size, 1 << log))?.ok_or("room")?);
                let zeroed = world.allocate_zeroed(layout(size, 1 << log))?.ok_or("room")?;
                payloads.push(world.resize(zeroed, layout(size * 2 + 1, 1 << log))?.ok_or("room")?);
            }
            payloads.into_iter().try_for_each(|payload| world.free_sized(payload))?;
        }
        Ok(())
    });
}

/// Resizing may ask for more alignment than the block has.
#[test]
fn resizing_reaches_a_larger_alignment() {
    Setup::plain(64 * MIB).run(|world| {
        for size in [10, 1000, 40_000, 60_000] {
            // Two blocks, so that at most one is aligned by chance.
            for _ in 0..2 {
                let payload = world.allocate(layout(size, 8))?.ok_or("room")?;
                world.resize(payload, layout(size, MIB))?.ok_or("room")?;
            }
        }
        Ok(())
    });
}

#[test]
fn empty_requests_get_blocks_of_their_own() {
    Setup::plain(4 * MIB).run(|world| {
        let mut starts = BTreeSet::new();
        for log in 0..8 {
            starts.insert(world.allocate(layout(0, 1 << log))?.ok_or("room")?);
            starts.insert(world.allocate_zeroed(layout(0, 1 << log))?.ok_or("room")?);
            let payload = world.allocate(layout(100_000, 8))?.ok_or("room")?;
            starts.insert(world.resize(payload, layout(0, 1 << log))?.ok_or("room")?);
        }
        assert_eq!(starts.len(), 24);
        Ok(())
    });
}

#[test]
fn impossible_sizes_change_nothing() {
    let mut arena = Arena::new(4 * MIB);
    let mut heap = Heap::new(arena.brk());
    let payload = get(&mut heap, 100).expect("room");
    let most = isize::MAX as usize;
    let before: Vec<Block> = heap.blocks().collect();
    let calls = heap.brk().calls();
    for align_log in 0..usize::BITS - 1 {
        let align = 1_usize << align_log;
        for size in [most, most - 15, most - PAGE, most - MIB, most / 2, 1 << 47, 5 * MIB] {
            let Ok(layout) = Layout::from_size_align(size.min((most + 1) - align), align) else { continue };
            if layout.size() < 5 * MIB {
                continue;
            }
            assert_eq!(heap.allocate(layout), Err(OutOfMemory), "{layout:?}");
            assert_eq!(heap.allocate_zeroed(layout), Err(OutOfMemory), "{layout:?}");
            // SAFETY: the payload is live, and stays so when it cannot be resized.
            let resized = unsafe { heap.resize(payload.as_ptr(), layout) };
            assert_eq!(resized, Err(ResizeError::OutOfMemory), "{layout:?}");
        }
        if align > 4 * MIB {
            let aligned = heap.allocate(layout(1, align));
            let lucky = aligned.is_ok_and(|payload| payload.addr().get().is_multiple_of(align));
            assert!(aligned == Err(OutOfMemory) || lucky, "alignment {align}: {aligned:?}");
        }
    }
    assert_eq!(before, heap.blocks().collect::<Vec<_>>());
    assert_eq!(heap.check(), Ok(()));
    assert!(heap.brk().calls() - calls < 2000 * 3, "an impossible size is not tried over and over");
    free(&mut heap, payload);
}
