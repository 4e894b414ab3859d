//! The measuring process: one allocator at one point of an axis.

use super::measured::{Figures, Moves};
use super::scenario::{Draw, Operation, Phase, Scenario, Step, walk};
use crate::allocators;
use crate::allocators::block::Block;
use crate::allocators::candidate::Entry;
use crate::base::durations::Durations;
use crate::base::{kernel, stats};
use anyhow::{Context, Result, bail};
use std::ops::Range;
use std::time::Instant;

/// How long one kind of call is timed.
const BUDGET_NANOSECONDS: u128 = 60_000_000;
/// Batches timed at most, in a table of fixed size because the child must not allocate from what it measures.
const BATCHES: usize = 2_000;
/// Calls in a batch at most.
const BATCH: usize = 512;

/// Arguments: what to do, the allocator, the axis, the point, and for `moves` the numbers of some calls, ascending.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [what, allocator, axis, value, positions @ ..] = arguments else { bail!("not a child's arguments") };
    let entry = allocators::find(allocator).context("an allocator")?;
    let scenario = Scenario { axis: axis.parse()?, value: value.parse()? };
    kernel::forbid_huge_pages();
    let blocks = Blocks::new(entry, scenario);
    match what.as_str() {
        "time" => println!("{}", serde_json::to_string(&time(blocks, scenario))?),
        "calls" => calls(blocks, scenario)?,
        "moves" => moves(blocks, scenario, positions)?,
        _ => bail!("no child does this"),
    }
    Ok(())
}

/// The allocator and the blocks that are live, in memory that the allocator knows nothing of.
struct Blocks {
    entry: &'static Entry,
    slots: &'static mut [Block],
}

impl Blocks {
    fn new(entry: &'static Entry, scenario: Scenario) -> Self {
        let slots = kernel::table(scenario.slots(), |_| Block::NONE);
        (entry.prepare)();
        Self { entry, slots }
    }

    /// Makes one call of the sequence.
    #[inline(always)]
    fn call(&mut self, step: Step) {
        match step.operation {
            Operation::Allocate => self.slots[step.slot] = self.entry.block(step.size),
            Operation::Free => self.entry.free_block(self.slots[step.slot]),
        }
    }

    /// After a call: a fresh block is written.
    #[inline(always)]
    fn touch(&self, step: Step) {
        if step.operation == Operation::Allocate {
            self.slots[step.slot].touch();
        }
    }
}

/// Fills the heap, replaces blocks, and then times batches of calls.
fn time(mut blocks: Blocks, scenario: Scenario) -> Figures {
    for step in walk(scenario).take_while(|step| step.phase != Phase::Drain) {
        blocks.call(step);
        blocks.touch(step);
    }
    let heap = allocators::stats(blocks.entry.name);
    let (small, all) = (scenario.small_slots(), scenario.slots());
    let mut draw = Draw::new(scenario);
    let (allocate, free) = batches(&mut blocks, 0..small, &mut draw);
    let (allocate_large, free_large) =
        if small < all { Some(batches(&mut blocks, small..all, &mut draw)) } else { None }.unzip();
    Figures {
        allocate,
        free,
        allocate_large,
        free_large,
        metadata: heap.map(|heap| heap.metadata_bytes),
        heap: heap.map(|heap| heap.heap_bytes),
        live: heap.map(|heap| heap.live_bytes),
        resident: kernel::resident(),
    }
}

/// Median nanoseconds of an allocation and of a free over batches of random blocks from a range of slots.
fn batches(blocks: &mut Blocks, range: Range<usize>, draw: &mut Draw) -> (f64, f64) {
    let mut batch = [(0_usize, Block::NONE); BATCH];
    let batch = &mut batch[..(range.len() / 8).clamp(1, BATCH)];
    let (allocations, frees) = (kernel::table(BATCHES, |_| 0_f64), kernel::table(BATCHES, |_| 0_f64));
    let clock = (0..100).map(|_| Instant::now().elapsed().as_nanos()).min().unwrap_or(0);
    let each = batch.len() as f64;
    let begin = Instant::now();
    let mut count = 0;
    while count < BATCHES && (count < 15 || begin.elapsed().as_nanos() < BUDGET_NANOSECONDS) {
        gather(blocks, &range, draw, batch);
        let spent = free_and_allocate(blocks, draw, batch);
        [frees[count], allocations[count]] = spent.map(|spent| spent.saturating_sub(clock) as f64 / each);
        count += 1;
    }
    (stats::middle(&mut allocations[..count]), stats::middle(&mut frees[..count]))
}

/// Nanoseconds that the frees of a batch take, and as many allocations. What is allocated is touched after.
fn free_and_allocate(blocks: &mut Blocks, draw: &mut Draw, batch: &mut [(usize, Block)]) -> [u128; 2] {
    let begin = Instant::now();
    for (_, block) in batch.iter() {
        blocks.entry.free_block(*block);
    }
    let frees = begin.elapsed().as_nanos();
    for (slot, block) in batch.iter_mut() {
        block.size = draw.size(*slot);
    }
    let begin = Instant::now();
    for (_, block) in batch.iter_mut() {
        *block = blocks.entry.block(block.size);
    }
    let allocations = begin.elapsed().as_nanos();
    for (slot, block) in batch.iter() {
        block.touch();
        blocks.slots[*slot] = *block;
    }
    [frees, allocations]
}

/// Takes random blocks out of their slots.
fn gather(blocks: &mut Blocks, range: &Range<usize>, draw: &mut Draw, batch: &mut [(usize, Block)]) {
    for entry in batch {
        let slot = loop {
            let slot = range.start + draw.below(range.len());
            if !blocks.slots[slot].is_none() {
                break slot;
            }
        };
        *entry = (slot, std::mem::replace(&mut blocks.slots[slot], Block::NONE));
    }
}

/// Times every call of the sequence.
fn calls(mut blocks: Blocks, scenario: Scenario) -> Result<()> {
    let mut durations = Durations::new(scenario.calls());
    for step in walk(scenario) {
        durations.time(|| blocks.call(step));
        blocks.touch(step);
    }
    durations.write()
}

/// Makes the calls up to the last of those at `positions` and prints what each of those asked of the kernel.
fn moves(mut blocks: Blocks, scenario: Scenario, positions: &[String]) -> Result<()> {
    let mut positions = positions.iter().map(|position| position.parse()).collect::<Result<Vec<usize>, _>>()?;
    positions.reverse();
    let name = blocks.entry.name;
    let look = || (allocators::stats(name).unwrap_or_default(), kernel::resident());
    for (number, step) in walk(scenario).enumerate() {
        let Some(&next) = positions.last() else { break };
        if number != next {
            blocks.call(step);
            blocks.touch(step);
            continue;
        }
        positions.pop();
        let (before, resident_before) = look();
        blocks.call(step);
        let (after, resident_after) = look();
        let (breaks, maps) = (after.brk_calls - before.brk_calls, after.map_calls - before.map_calls);
        let (heap_before, heap_after) = (before.heap_bytes, after.heap_bytes);
        let moves = Moves { breaks, maps, heap_before, heap_after, resident_before, resident_after };
        println!("{}", serde_json::to_string(&moves)?);
        blocks.touch(step);
    }
    Ok(())
}
