//! Others move the break: what they raised it over is fenced, what they lowered it below is lost and not touched.

use super::the_break::BOUND;
use hmalloc::{Heap, PAGE};
use support::arena::Arena;
use support::calls::{MIB, free, get, layout};
use support::setup::Setup;
use support::watched::{Call, Watched};

#[test]
fn a_foreign_raise_is_fenced_and_never_lowered() {
    for bytes in [1, 100, 4096, PAGE, PAGE + 1, MIB] {
        let setup = Setup { offset: 48, ..Setup::plain(16 * MIB) };
        setup.run(|world| {
            let below = world.allocate(layout(1000, 8))?.ok_or("room")?;
            world.foreign_raise(bytes)?;
            let (from, to) = world.oracle.foreign[0];
            let above = world.allocate(layout(3 * MIB, 8))?.ok_or("room")?;
            assert!(below < from && to <= above, "{below:#x} {from:#x} {to:#x} {above:#x}");
            let foreign = world.last.stats.foreign_bytes;
            assert!((bytes..=bytes + 2 * PAGE).contains(&foreign), "{foreign} bytes are fenced for {bytes}");
            world.free(above)?;
            world.free(below)?;
            world.trim(0)?;
            assert!(world.break_now() >= to, "the break is in someone else's memory");
            assert!(world.break_now() - to <= BOUND, "what lies above the fence is returned");
            world.foreign_intact()?;
            // The pages below the fence serve again.
            let again = world.allocate(layout(1000, 8))?.ok_or("room")?;
            assert!(again < from, "{again:#x} is above {from:#x}");
            Ok(())
        });
    }
}

#[test]
fn a_foreign_raise_that_is_undone_leaves_no_trace() {
    Setup::plain(16 * MIB).run(|world| {
        world.allocate(layout(1000, 8))?;
        world.foreign_raise(100_000)?;
        world.foreign_lower(100_000)?;
        world.allocate(layout(3 * MIB, 8))?;
        assert_eq!(world.last.stats.foreign_bytes, 0);
        let tiles = world.last.blocks.windows(2).all(|pair| pair[0].address + pair[0].size == pair[1].address);
        assert!(tiles, "{:x?}", world.last.blocks);
        Ok(())
    });
}

/// Someone lowers the break into the heap's free top. Nothing live is lost.
#[test]
fn a_foreign_lowering_into_the_free_top_is_survived() {
    for bytes in [1, 4096, PAGE, 100_000] {
        let mut arena = Arena::new(16 * MIB);
        let end = arena.end();
        let mut heap = Heap::new(arena.brk());
        let kept = get(&mut heap, 1000).expect("room");
        let large = get(&mut heap, 400_000).expect("room");
        free(&mut heap, large);
        let before = heap.brk().current();
        // SAFETY: what lies there is free, and the heap is asked for nothing before it has looked at the break.
        unsafe { heap.brk_mut().foreign_move_below(-isize::try_from(bytes).expect("a small move")) };
        let lowered = heap.brk().current();
        assert_eq!(lowered, before - bytes);
        // More than there is free, so that the heap has to ask for the break and sees that it is not where it was.
        let payload = get(&mut heap, 2 * MIB).expect("room");
        let start = payload.addr().get();
        assert!(start + 2 * MIB <= heap.brk().current() && heap.brk().current() <= end);
        assert_eq!(heap.check(), Ok(()), "after a foreign lowering by {bytes}");
        let rest = get(&mut heap, 300_000).expect("room");
        assert!(rest.addr().get() + 300_000 <= heap.brk().current());
        [kept, payload, rest].into_iter().for_each(|payload| free(&mut heap, payload));
        heap.trim(0);
        assert_eq!(heap.check(), Ok(()), "trimmed after a foreign lowering by {bytes}");
    }
}

/// Someone lowers the break to where the last block starts, right before that is freed: what is above it is not the heap's
/// any more, and nothing is asked of the kernel there.
#[test]
fn nothing_is_returned_above_a_break_that_was_lowered_to_the_top() {
    let mut arena = Arena::new(64 * MIB);
    let mut heap = Heap::new(Watched::new(arena.brk()));
    heap.brk_mut().brk.allow_discard(true);
    (0..2).for_each(|_| _ = get(&mut heap, 5 * MIB).expect("room"));
    let last = get(&mut heap, 8 * MIB).expect("room");
    let now = heap.brk().brk.current();
    let by = last.addr().get() as isize - now as isize;
    // SAFETY: nothing above the break is used then: the block is only freed, which looks at no byte of it.
    unsafe { heap.brk_mut().brk.foreign_move_below(by) };
    heap.brk_mut().log.clear();
    free(&mut heap, last);
    for call in &heap.brk().log {
        let Call::Discarded(range) = call else { continue };
        assert!(range.end <= last.addr().get(), "{range:x?} was discarded above the break");
    }
    assert_eq!(heap.check(), Ok(()));
}
