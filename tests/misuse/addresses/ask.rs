//! Asks a heap what it has at an address, and compares.

use hmalloc::{Block, Misuse, MisuseKind, PAGE};
use std::ops::Range;
use support::ensure;
use support::hooked::HookedHeap;
use support::oracle::{Oracle, SMALLEST_ALIGNMENT, Snapshot, Verdict};
use support::random::Random;
use support::setup::Setup;
use support::world::EmulatedWorld;

/// What answered at the addresses that were asked.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) payloads: usize,
    pub(crate) kinds: [usize; 4],
}

const KINDS: [MisuseKind; 4] =
    [MisuseKind::OutsideHeap, MisuseKind::Misaligned, MisuseKind::NotABlock, MisuseKind::AlreadyFree];

/// Asks at every address of `range`.
pub(crate) fn ask(
    heap: &HookedHeap<'_>,
    snapshot: &Snapshot,
    oracle: &Oracle,
    range: Range<usize>,
    tally: &mut Tally,
) -> Verdict {
    let mut tile = None;
    for address in range {
        let answer = heap.usable_size(std::ptr::without_provenance(address));
        let aligned = address.is_multiple_of(SMALLEST_ALIGNMENT);
        if aligned || tile.is_none_or(|tile: Block| address >= tile.address + tile.size) {
            tile = snapshot.block_at(address);
        }
        match answer {
            Ok(_) => tally.payloads += 1,
            Err(misuse) => {
                let index = KINDS.iter().position(|kind| *kind == misuse.kind);
                tally.kinds[index.ok_or_else(|| format!("{misuse:x?}"))?] += 1;
            }
        }
        if aligned || !is_misaligned_in(tile, address, answer) {
            snapshot.judge(snapshot.expected(oracle, address), address, answer)?;
        }
    }
    Ok(())
}

/// A shortcut for fifteen addresses of sixteen: whether the answer is right by the tile alone.
fn is_misaligned_in(tile: Option<Block>, address: usize, answer: Result<usize, Misuse>) -> bool {
    let Err(Misuse { kind, address: about, found }) = answer else { return false };
    about == address
        && match (tile, found) {
            (Some(tile), Some(found)) => {
                let around = found.address <= address && address < found.address + found.size;
                kind == MisuseKind::Misaligned && around && found.state == tile.state
            }
            (None, None) => kind == MisuseKind::OutsideHeap,
            _ => false,
        }
}

/// Asks at every address from below the heap to beyond its end, and at some far away.
fn every_address(world: &mut EmulatedWorld<'_>) -> Verdict<Tally> {
    world.audit()?;
    let mut tally = Tally::default();
    let (heap, snapshot, oracle) = (&world.subject, &world.last, &world.oracle);
    let margin = 3 * PAGE;
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let heap_range = (world.start, world.break_now());
    for (start, end) in [heap_range].into_iter().chain(tiles_above(snapshot, world.maps_start)) {
        match ranges.last_mut() {
            Some(last) if last.end >= start - margin => last.end = end + margin,
            _ => ranges.push(start - margin..end + margin),
        }
    }
    for range in ranges {
        ask(heap, snapshot, oracle, range, &mut tally)?;
    }
    let far = [0, 1, 8, 16, 4096, isize::MAX as usize, isize::MAX as usize + 1, usize::MAX, usize::MAX - 15, 1 << 47];
    for address in far.into_iter().chain((0..usize::BITS).map(|bit| world.start ^ 1 << bit)) {
        let far_enough = snapshot.block_at(address).is_none();
        if far_enough {
            ask(heap, snapshot, oracle, address..address.saturating_add(1), &mut tally)?;
        }
    }
    ensure!(tally.payloads == oracle.live.len(), "{tally:?} for {} live payloads", oracle.live.len());
    Ok(tally)
}

/// The tiles that lie in mappings.
fn tiles_above(snapshot: &Snapshot, maps_start: usize) -> Vec<(usize, usize)> {
    let mapped = snapshot.blocks.iter().filter(|block| block.address >= maps_start);
    mapped.map(|block| (block.address, block.address + block.size)).collect()
}

/// Bad pointers from all over the heap, given to every entry.
fn sampled_misuse(world: &mut EmulatedWorld<'_>) -> Verdict {
    let (start, end) = (world.start - PAGE, world.break_now() + PAGE);
    let mut numbers = Random::new(end as u64);
    for _ in 0..500 {
        let address = start + numbers.below(end - start);
        world.misuse(address)?;
        world.misuse(address & !(SMALLEST_ALIGNMENT - 1))?;
    }
    Ok(())
}

/// Builds a heap on a kernel, asks everywhere, and again after all is freed.
pub(crate) fn on(setup: Setup, build: impl Fn(&mut EmulatedWorld<'_>) -> Verdict) -> Tally {
    let mut memory = setup.memory();
    let mut world = setup.world(&mut memory);
    let verdict = build(&mut world)
        .and_then(|()| every_address(&mut world))
        .and_then(|tally| sampled_misuse(&mut world).map(|()| tally))
        .and_then(|tally| world.finish().map(|()| tally))
        .and_then(|tally| every_address(&mut world).map(|_| tally));
    verdict.unwrap_or_else(|what| panic!("{what}"))
}
