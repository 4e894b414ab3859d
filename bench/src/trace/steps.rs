//! Events laid out for the replay: every step has the sizes it needs, and a place in a table as large as the most blocks
//! that are live at once.

use super::event::{Event, Summary};
use crate::allocators::candidate::WORD;
use anyhow::{Context, Result, bail, ensure};
use slab::Slab;

/// What a step calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Allocate,
    Zeroed,
    /// Its alignment is above the usual one, as is that of the block in the two kinds below.
    Aligned,
    Resize,
    /// The resize of an aligned block, which is aligned as usual afterwards.
    ResizeAligned,
    Free,
    FreeAligned,
}

/// One call of the replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Step {
    /// The block's place in the table.
    pub(crate) place: u32,
    /// Bytes it has afterwards.
    pub(crate) size: u32,
    /// Bytes it had before, for resizes and frees.
    pub(crate) old: u32,
    pub(crate) kind: Kind,
    /// For what is aligned: the logarithm of the alignment.
    pub(crate) align: u8,
}

const _: () = assert!(size_of::<Step>() == 16);

/// The boundary takes no size of 0, and the first word of each block is written.
const SMALLEST: u64 = 8;

/// Logarithm of the alignment that every block of the boundary has.
const USUAL: u8 = WORD.ilog2() as u8;

/// A live block. Its alignment is 0 for the usual one.
#[derive(Clone, Copy)]
struct Block {
    size: u64,
    align: u8,
}

/// The blocks of one process, in a table whose places are used again, the last freed first.
#[derive(Default)]
struct Table {
    blocks: Slab<Block>,
    /// By number of block: its place, until it is freed.
    places: Vec<Option<u32>>,
    live_bytes: u64,
}

impl Table {
    fn insert(&mut self, size: u64, align: u8) -> Result<u32> {
        ensure!(self.places.len() < u32::MAX as usize, "more blocks than numbers");
        let place = self.blocks.insert(Block { size, align }) as u32;
        self.places.push(Some(place));
        self.grow(size)?;
        Ok(place)
    }

    fn grow(&mut self, by: u64) -> Result<()> {
        self.live_bytes = self.live_bytes.checked_add(by).context("more bytes than numbers")?;
        Ok(())
    }

    fn find(&mut self, object: u32) -> Result<(u32, &mut Block)> {
        let place = self.places.get(object as usize).copied().flatten();
        let place = place.with_context(|| format!("block {object} is not live"))?;
        Ok((place, &mut self.blocks[place as usize]))
    }

    /// Returns what the block was.
    fn remove(&mut self, object: u32) -> Result<(u32, Block)> {
        let (place, &mut was) = self.find(object)?;
        self.places[object as usize] = None;
        self.blocks.remove(place as usize);
        self.live_bytes -= was.size;
        Ok((place, was))
    }
}

fn bytes(size: u64) -> Result<u32> {
    let limit = || format!("a block of {size} bytes is not replayed: 4 GiB is the limit");
    u32::try_from(size.max(SMALLEST)).with_context(limit)
}

fn free(place: u32, was: Block) -> Result<Step> {
    let kind = if was.align == 0 { Kind::Free } else { Kind::FreeAligned };
    Ok(Step { place, size: 0, old: bytes(was.size)?, kind, align: was.align })
}

/// Hands every step to `step` and returns what the events amount to. An event that cannot have happened is an error.
pub(crate) fn walk(events: &[Event], mut step: impl FnMut(Step)) -> Result<Summary> {
    ensure!(events.last() == Some(&Event::End), "the last process does not end");
    let mut summary = Summary::default();
    for process in events.split_inclusive(|event| *event == Event::End) {
        summary.processes += 1;
        let (mut table, mut threads) = (Table::default(), 1);
        for event in process {
            match *event {
                Event::End => {
                    summary.steps += table.blocks.len() as u64;
                    for (place, block) in &table.blocks {
                        step(free(place as u32, *block)?);
                    }
                }
                Event::Thread(thread) if thread > threads => bail!("thread {thread} comes too early"),
                Event::Thread(thread) => threads = threads.max(thread + 1),
                _ => {
                    step(call(&mut table, event)?);
                    summary.calls += 1;
                    summary.steps += 1;
                    summary.peak_bytes = summary.peak_bytes.max(table.live_bytes);
                    summary.peak_blocks = summary.peak_blocks.max(table.blocks.len() as u32);
                }
            }
        }
        summary.threads += threads;
    }
    Ok(summary)
}

/// The step of an event that is a call.
fn call(table: &mut Table, event: &Event) -> Result<Step> {
    let (kind, size, align) = match *event {
        Event::Allocate { size } => (Kind::Allocate, size, 0),
        Event::Zeroed { size } => (Kind::Zeroed, size, 0),
        Event::Aligned { size, align } if align <= USUAL => (Kind::Allocate, size, 0),
        Event::Aligned { size, align } if align < 32 => (Kind::Aligned, size, align),
        Event::Aligned { align, .. } => bail!("no block is aligned to 2^{align} bytes"),
        Event::Resize { object, size } => {
            let (place, block) = table.find(object)?;
            let was = std::mem::replace(block, Block { size, align: 0 });
            table.live_bytes -= was.size;
            table.grow(size)?;
            let kind = if was.align == 0 { Kind::Resize } else { Kind::ResizeAligned };
            return Ok(Step { place, size: bytes(size)?, old: bytes(was.size)?, kind, align: was.align });
        }
        Event::Free { object } => {
            let (place, was) = table.remove(object)?;
            return free(place, was);
        }
        Event::End | Event::Thread(_) => bail!("not a call"),
    };
    Ok(Step { place: table.insert(size, align)?, size: bytes(size)?, old: 0, kind, align })
}
