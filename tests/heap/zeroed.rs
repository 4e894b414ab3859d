//! Zeroed blocks are zero, whatever their memory held before.

use hmalloc::PAGE;
use hmalloc::brk::{Brk, Emulated};
use support::arena::Arena;
use support::calls::{MIB, layout};
use support::pattern::first_other_than;
use support::setup::Setup;

/// What the emulated break has to do for [`zeroed_memory_is_zero_after_lowering`] to mean anything: bytes that were
/// returned come back stale in the page where the lowered break stood, and zero in whole pages.
#[test]
fn a_dirty_break_returns_stale_bytes() {
    for page in [4096, 65_536] {
        let mut arena = Arena::new(4 * MIB);
        let start = arena.start();
        let mut brk: Emulated<'_> = arena.brk();
        brk.set_page_size(page);
        brk.set_dirty(true);
        let (low, high) = (start + page + 100, start + 5 * page);
        // SAFETY: what lies above is not used.
        unsafe {
            brk.move_break(brk.current(), high).expect("room");
            brk.move_break(high, low).expect("a way down");
            brk.move_break(low, high).expect("room");
        }
        // SAFETY: both ranges are in the arena, below the break, and not used otherwise.
        let bytes = |from: usize, to: usize| unsafe {
            std::slice::from_raw_parts(std::ptr::with_exposed_provenance::<u8>(from), to - from)
        };
        assert_eq!(first_other_than(bytes(low, start + 2 * page), 0), Some(0), "the rest of the page is stale");
        assert_eq!(first_other_than(bytes(start + 2 * page, high), 0), None, "whole pages are zero");
    }
}

#[test]
fn zeroed_memory_is_zero_after_lowering() {
    for page in [4096, 65_536] {
        for offset in [0, 16, 5000, 60_000] {
            let setup = Setup { offset, page, dirty: true, ..Setup::plain(32 * MIB) };
            setup.run(|world| {
                let mut kept = Vec::new();
                for round in 0..30 {
                    // Odd counts of pages, so that the break stands inside the kernel's larger pages.
                    let large = world.allocate(layout((2 * round + 1) * PAGE, 8))?.ok_or("room")?;
                    kept.push(world.allocate_zeroed(layout(PAGE, 8))?.ok_or("room")?);
                    let top = world.allocate_zeroed(layout(700_000, 8))?.ok_or("room")?;
                    world.free(top)?;
                    world.trim(round % 3 * PAGE)?;
                    world.free(large)?;
                }
                Ok(())
            });
        }
    }
}
