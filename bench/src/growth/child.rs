//! The measuring process: one allocator at one point of an axis.

use super::scenario::{Axis, Draw, Operation, Phase, Scenario, Step, walk};
use crate::allocators::{self, Entry};
use crate::base::kernel;
use crate::base::stats;
use crate::measure::child::OUT_OF_MEMORY;
use std::io::Write;
use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

/// How long one kind of call is timed.
const BUDGET_NANOSECONDS: u128 = 60_000_000;
/// Batches timed at most, in a table of fixed size because the child must not allocate from what it measures.
const BATCHES: usize = 2_000;
/// Calls in a batch at most.
const BATCH: usize = 512;

/// What is timed in batches, and what the heap holds then. Nanoseconds and bytes; what does not exist is not a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figures {
    pub(crate) allocate: f64,
    pub(crate) free: f64,
    pub(crate) allocate_large: f64,
    pub(crate) free_large: f64,
    pub(crate) metadata: f64,
    pub(crate) heap: f64,
    pub(crate) live: f64,
    pub(crate) resident: f64,
}

impl Figures {
    fn line(&self) -> String {
        let Self { allocate, free, allocate_large, free_large, metadata, heap, live, resident } = self;
        format!("{allocate} {free} {allocate_large} {free_large} {metadata} {heap} {live} {resident}")
    }

    /// Reads what a child has printed.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, String> {
        let line = String::from_utf8_lossy(line);
        let numbers: Result<Vec<f64>, _> = line.split_whitespace().map(str::parse).collect();
        let Ok([allocate, free, allocate_large, free_large, metadata, heap, live, resident]) = numbers.as_deref()
        else {
            return Err(format!("its process answered {line:?}"));
        };
        Ok(Self {
            allocate: *allocate,
            free: *free,
            allocate_large: *allocate_large,
            free_large: *free_large,
            metadata: *metadata,
            heap: *heap,
            live: *live,
            resident: *resident,
        })
    }
}

/// Arguments: what to do, the allocator, the axis, the point, and for `moves` the numbers of some calls, ascending.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let [what, allocator, axis, value, more @ ..] = arguments else { return ExitCode::FAILURE };
    let entry = allocators::ALL.iter().find(|entry| entry.name == allocator);
    let (Some(entry), Some(axis), Ok(value)) = (entry, Axis::from_name(axis), value.parse()) else {
        return ExitCode::FAILURE;
    };
    let scenario = Scenario { axis, value };
    kernel::forbid_huge_pages();
    let blocks = Blocks::new(entry, scenario);
    match (what.as_str(), more) {
        ("time", []) => println!("{}", time(blocks, scenario).line()),
        ("calls", []) => return calls(blocks, scenario),
        ("moves", positions) => match positions.iter().map(|position| position.parse()).collect() {
            Ok(positions) => moves(blocks, scenario, positions),
            Err(_) => return ExitCode::FAILURE,
        },
        _ => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}

#[derive(Clone, Copy)]
struct Block {
    payload: *mut u8,
    size: usize,
}

const NONE: Block = Block { payload: std::ptr::null_mut(), size: 0 };

/// The allocator and the blocks that are live, in memory that the allocator knows nothing of.
struct Blocks {
    entry: &'static Entry,
    slots: &'static mut [Block],
}

impl Blocks {
    fn new(entry: &'static Entry, scenario: Scenario) -> Self {
        let slots = kernel::table(scenario.slots(), |_| NONE);
        (entry.prepare)();
        Self { entry, slots }
    }

    /// Makes one call of the sequence.
    #[inline(always)]
    fn call(&mut self, step: Step) {
        match step.operation {
            Operation::Allocate => self.slots[step.slot] = self.allocate(step.size),
            Operation::Free => self.free(self.slots[step.slot]),
        }
    }

    #[inline(always)]
    fn allocate(&self, size: usize) -> Block {
        // SAFETY: no size here is 0.
        let payload = unsafe { (self.entry.allocate)(size) };
        if payload.is_null() {
            std::process::exit(OUT_OF_MEMORY);
        }
        Block { payload, size }
    }

    #[inline(always)]
    fn free(&self, block: Block) {
        // SAFETY: the sequences free only live blocks, and forget them.
        unsafe { (self.entry.free)(block.payload, block.size) }
    }
}

impl Block {
    /// Writes the first word, as an owner would. Its page becomes resident.
    #[inline(always)]
    fn touch(self) {
        // SAFETY: the block is live and has 8 bytes at least.
        unsafe { self.payload.cast::<u64>().write_unaligned(self.size as u64) }
    }
}

/// Fills the heap, replaces blocks, and then times batches of calls: so many frees, then as many allocations. What is
/// freed is gathered before, and what is allocated is touched after.
fn time(mut blocks: Blocks, scenario: Scenario) -> Figures {
    walk(scenario, |step| {
        if step.phase == Phase::Drain {
            return false;
        }
        blocks.call(step);
        if step.operation == Operation::Allocate {
            blocks.slots[step.slot].touch();
        }
        true
    });
    let heap = allocators::stats(blocks.entry.name);
    let of = |bytes: fn(&hmalloc::Stats) -> usize| heap.as_ref().map_or(f64::NAN, |heap| bytes(heap) as f64);
    let (small, all) = (scenario.small_slots(), scenario.slots());
    let mut draw = Draw::new(scenario);
    let (allocate, free) = batches(&mut blocks, 0..small, &mut draw);
    let (allocate_large, free_large) = batches(&mut blocks, small..all, &mut draw);
    Figures {
        allocate,
        free,
        allocate_large,
        free_large,
        metadata: of(|stats| stats.metadata_bytes),
        heap: of(|stats| stats.heap_bytes),
        live: of(|stats| stats.live_bytes),
        resident: kernel::resident() as f64,
    }
}

/// Median nanoseconds of an allocation and of a free over batches of random blocks from a range of slots.
fn batches(blocks: &mut Blocks, range: Range<usize>, draw: &mut Draw) -> (f64, f64) {
    if range.is_empty() {
        return (f64::NAN, f64::NAN);
    }
    let length = (range.len() / 8).clamp(1, BATCH);
    let mut batch = [(0_usize, NONE); BATCH];
    let batch = &mut batch[..length];
    let (allocations, frees) = (kernel::table(BATCHES, |_| 0_f64), kernel::table(BATCHES, |_| 0_f64));
    let clock = (0..100).map(|_| Instant::now().elapsed().as_nanos()).min().unwrap_or(0);
    let each = |begin: Instant| begin.elapsed().as_nanos().saturating_sub(clock) as f64 / length as f64;
    let begin = Instant::now();
    let mut count = 0;
    while count < BATCHES && (count < 15 || begin.elapsed().as_nanos() < BUDGET_NANOSECONDS) {
        for entry in batch.iter_mut() {
            let slot = loop {
                let slot = range.start + draw.below(range.len());
                if !blocks.slots[slot].payload.is_null() {
                    break slot;
                }
            };
            *entry = (slot, std::mem::replace(&mut blocks.slots[slot], NONE));
        }
        let start = Instant::now();
        for (_, block) in batch.iter() {
            blocks.free(*block);
        }
        frees[count] = each(start);
        for (slot, block) in batch.iter_mut() {
            block.size = draw.size(*slot);
        }
        let start = Instant::now();
        for (_, block) in batch.iter_mut() {
            *block = blocks.allocate(block.size);
        }
        allocations[count] = each(start);
        for (slot, block) in batch.iter() {
            block.touch();
            blocks.slots[*slot] = *block;
        }
        count += 1;
    }
    (stats::middle(&mut allocations[..count]), stats::middle(&mut frees[..count]))
}

/// Times every call of the sequence and writes the durations in nanoseconds, four bytes each.
fn calls(mut blocks: Blocks, scenario: Scenario) -> ExitCode {
    let durations = kernel::table(scenario.calls(), |_| 0_u32);
    let mut position = 0;
    walk(scenario, |step| {
        let begin = Instant::now();
        blocks.call(step);
        durations[position] = u32::try_from(begin.elapsed().as_nanos()).unwrap_or(u32::MAX);
        position += 1;
        if step.operation == Operation::Allocate {
            blocks.slots[step.slot].touch();
        }
        true
    });
    let mut output = std::io::stdout().lock();
    let mut bytes = Vec::with_capacity(1 << 16);
    for part in durations.chunks(1 << 14) {
        bytes.clear();
        bytes.extend(part.iter().flat_map(|duration| duration.to_le_bytes()));
        if output.write_all(&bytes).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Makes the calls up to the last of those at `positions` and prints what each of those asked of the kernel: moves of
/// the break, mappings, the heap's size before and after, and what was resident before and after.
fn moves(mut blocks: Blocks, scenario: Scenario, positions: Vec<usize>) {
    let mut positions = positions.into_iter().peekable();
    let mut number = 0;
    walk(scenario, |step| {
        if positions.next_if_eq(&number).is_some() {
            let name = blocks.entry.name;
            let look = || (allocators::stats(name).unwrap_or_default(), kernel::resident());
            let (before, resident_before) = look();
            blocks.call(step);
            let (after, resident_after) = look();
            let (breaks, maps) = (after.brk_calls - before.brk_calls, after.map_calls - before.map_calls);
            let (heap_before, heap_after) = (before.heap_bytes, after.heap_bytes);
            println!("{breaks} {maps} {heap_before} {heap_after} {resident_before} {resident_after}");
        } else {
            blocks.call(step);
        }
        if step.operation == Operation::Allocate {
            blocks.slots[step.slot].touch();
        }
        number += 1;
        positions.peek().is_some()
    });
}

#[cfg(test)]
mod tests {
    use super::Figures;

    #[test]
    fn a_line_of_figures_reads_back() {
        let figures = Figures {
            allocate: 1.5,
            free: 2.5,
            allocate_large: 30.0,
            free_large: 40.0,
            metadata: 5.0,
            heap: 6.0,
            live: 7.0,
            resident: 8.0,
        };
        assert_eq!(Figures::parse(figures.line().as_bytes()), Ok(figures));
        let without_stats = Figures { metadata: f64::NAN, ..figures };
        assert!(Figures::parse(without_stats.line().as_bytes()).is_ok_and(|figures| figures.metadata.is_nan()));
        assert!(Figures::parse(b"1 2 3").is_err());
    }
}
