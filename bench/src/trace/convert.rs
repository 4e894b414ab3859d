//! What the recorder wrote, made into events: addresses become numbers of blocks.

use super::event::Event;
use super::raw::{self, Header, Record};
use anyhow::{Context, Result, bail, ensure};
use std::collections::HashMap;

/// One process as the recorder saw it.
pub(super) struct Process {
    pub(super) started: u64,
    pub(super) events: Vec<Event>,
    /// Frees and resizes of blocks that were never seen: made before the recorder or before a fork.
    pub(super) unseen: usize,
    /// Blocks whose address was given out again although their free was not seen.
    pub(super) lost: usize,
}

/// Everything in a recorder's file up to its end.
pub(super) fn process(bytes: &[u8]) -> Result<Process> {
    let (header, rest) = bytes.split_first_chunk::<{ size_of::<Header>() }>().context("too short for a recording")?;
    let header: Header = bytemuck::pod_read_unaligned(header);
    ensure!(header.magic == raw::MAGIC, "not a recording of this version");
    let mut converter = Converter::default();
    for record in rest.chunks_exact(size_of::<Record>()).map(bytemuck::pod_read_unaligned::<Record>) {
        if record.kind == 0 {
            break;
        }
        converter.convert(&record)?;
    }
    let Converter { mut events, unseen, lost, .. } = converter;
    events.push(Event::End);
    Ok(Process { started: header.started, events, unseen, lost })
}

#[derive(Default)]
struct Converter {
    events: Vec<Event>,
    /// By address: the block's number.
    live: HashMap<u64, u32>,
    blocks: u32,
    threads: HashMap<u32, u32>,
    /// The thread of the calls so far.
    thread: u32,
    unseen: usize,
    lost: usize,
}

impl Converter {
    fn convert(&mut self, record: &Record) -> Result<()> {
        let Record { size, old, new, .. } = *record;
        match record.kind {
            // A refused request leaves everything as it was.
            raw::ALLOCATE | raw::ZEROED | raw::ALIGNED if new == 0 => {}
            raw::ALLOCATE => self.block(record, Event::Allocate { size })?,
            raw::ZEROED => self.block(record, Event::Zeroed { size })?,
            raw::ALIGNED => self.block(record, Event::Aligned { size, align: record.align })?,
            raw::RESIZE if new == 0 && (old == 0 || size != 0) => {}
            raw::RESIZE if new == 0 => self.free(record),
            raw::RESIZE => match self.live.remove(&old) {
                Some(object) => {
                    self.drop_lost(record);
                    self.push(record, Event::Resize { object, size });
                    self.live.insert(new, object);
                }
                None => {
                    self.unseen += usize::from(old != 0);
                    self.block(record, Event::Allocate { size })?;
                }
            },
            raw::FREE => self.free(record),
            kind => bail!("no call is of kind {kind}"),
        }
        Ok(())
    }

    fn block(&mut self, record: &Record, event: Event) -> Result<()> {
        self.drop_lost(record);
        self.push(record, event);
        self.live.insert(record.new, self.blocks);
        self.blocks = self.blocks.checked_add(1).context("more blocks than numbers")?;
        Ok(())
    }

    /// The block that had this address before is gone, although its free was not seen.
    fn drop_lost(&mut self, record: &Record) {
        if let Some(object) = self.live.remove(&record.new) {
            self.lost += 1;
            self.push(record, Event::Free { object });
        }
    }

    fn free(&mut self, record: &Record) {
        match self.live.remove(&record.old) {
            Some(object) => self.push(record, Event::Free { object }),
            None => self.unseen += 1,
        }
    }

    fn push(&mut self, record: &Record, event: Event) {
        let count = self.threads.len() as u32;
        let thread = *self.threads.entry(record.thread).or_insert(count);
        if thread != self.thread {
            self.thread = thread;
            self.events.push(Event::Thread(thread));
        }
        self.events.push(event);
    }
}

/// The first `calls` calls, and the end of the process that makes the last of them.
pub(super) fn cut(events: &mut Vec<Event>, calls: usize) {
    let beyond = events.iter().enumerate().filter(|(_, event)| event.is_call()).nth(calls);
    if let Some((index, _)) = beyond {
        events.truncate(index);
        if events.last() != Some(&Event::End) {
            events.push(Event::End);
        }
    }
}
