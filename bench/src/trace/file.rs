//! Events to bytes and back. `mod.rs` draws the file.

use super::event::{Event, Summary};
use super::steps;
use anyhow::{Context, Result, bail, ensure};
use leb128::{read, write};
use std::io::{Read, Write};

const MAGIC: [u8; 8] = *b"hmtrace\x01";
const HEADER: usize = 64;
const COLUMNS: usize = 5;

const SIZES: usize = 1;
const ALIGNS: usize = 2;
const OBJECTS: usize = 3;
const THREADS: usize = 4;

/// More bytes in a column than any trace has that is worth replaying: a header that promises more is not believed.
const LONGEST: u32 = 1 << 28;

/// The frame is small and written once: as few bytes as zstd can make it.
const LEVEL: i32 = 22;

pub(crate) fn encode(events: &[Event]) -> Result<Vec<u8>> {
    let summary = steps::walk(events, |_| {})?;
    let columns = columns(events)?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend([summary.calls, summary.steps, summary.peak_bytes].map(u64::to_le_bytes).as_flattened());
    bytes.extend([summary.peak_blocks, summary.threads, summary.processes].map(u32::to_le_bytes).as_flattened());
    for column in &columns {
        let length = u32::try_from(column.len()).ok().filter(|&length| length <= LONGEST).context("too many calls")?;
        bytes.extend(length.to_le_bytes());
    }
    debug_assert_eq!(bytes.len(), HEADER);
    let mut encoder = zstd::Encoder::new(bytes, LEVEL)?;
    encoder.include_checksum(true)?;
    // Told the length, zstd makes its tables, and the window that a decoder needs, no larger than that.
    encoder.set_pledged_src_size(Some(columns.iter().map(|column| column.len() as u64).sum()))?;
    columns.iter().try_for_each(|column| encoder.write_all(column))?;
    Ok(encoder.finish()?)
}

fn columns(events: &[Event]) -> Result<[Vec<u8>; COLUMNS]> {
    let mut columns: [Vec<u8>; COLUMNS] = Default::default();
    let mut named = 0;
    for event in events {
        columns[0].push(event.kind());
        if let Some(size) = event.size() {
            write::unsigned(&mut columns[SIZES], size)?;
        }
        if let Some(object) = event.object() {
            let distance = i64::from(object) - named;
            write::unsigned(&mut columns[OBJECTS], ((distance << 1) ^ (distance >> 63)) as u64)?;
            named = i64::from(object);
        }
        match *event {
            Event::Aligned { align, .. } => columns[ALIGNS].push(align),
            Event::Thread(thread) => {
                write::unsigned(&mut columns[THREADS], thread.into())?;
            }
            _ => {}
        }
    }
    Ok(columns)
}

/// The events and the header's summary, which is what the events amount to: anything else is an error.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Vec<Event>, Summary)> {
    let (header, frame) = bytes.split_at_checked(HEADER).context("too short for a trace")?;
    ensure!(header[..8] == MAGIC, "not a trace of this version");
    let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| header[at + byte]));
    let short = |at: usize| u32::from_le_bytes(std::array::from_fn(|byte| header[at + byte]));
    let lengths: [u32; COLUMNS] = std::array::from_fn(|column| short(44 + 4 * column));
    ensure!(lengths.iter().all(|&length| length <= LONGEST), "a column is longer than any trace's");
    let promised = Summary {
        calls: long(8),
        steps: long(16),
        peak_bytes: long(24),
        peak_blocks: short(32),
        threads: short(36),
        processes: short(40),
    };
    let events = events(&unpack(frame, &lengths)?, &lengths)?;
    let found = steps::walk(&events, |_| {})?;
    ensure!(found == promised, "the header promises {promised:?}, there is {found:?}");
    Ok((events, found))
}

/// The columns, one after the other, of exactly the length that the header says.
fn unpack(frame: &[u8], lengths: &[u32; COLUMNS]) -> Result<Vec<u8>> {
    let length: u64 = lengths.iter().map(|&length| u64::from(length)).sum();
    let mut columns = Vec::new();
    // One byte more than promised, so that a longer frame is seen; then the frame's end is read, and its checksum.
    zstd::Decoder::with_buffer(frame)?.take(length + 1).read_to_end(&mut columns)?;
    ensure!(columns.len() as u64 == length, "the columns are not as long as the header says");
    Ok(columns)
}

/// What the columns say, each of which must be used up.
pub(super) fn events(columns: &[u8], lengths: &[u32; COLUMNS]) -> Result<Vec<Event>> {
    let mut rest = columns;
    let [kinds, mut sizes, mut aligns, mut objects, mut threads] = lengths.map(|length| {
        let (column, others) = rest.split_at(length as usize);
        rest = others;
        column
    });
    let mut named = 0_i64;
    let mut object = || -> Result<u32> {
        let folded = read::unsigned(&mut objects)?;
        let distance = (folded >> 1) as i64 ^ -((folded & 1) as i64);
        named = named.checked_add(distance).context("a block's number overflows")?;
        Ok(u32::try_from(named)?)
    };
    let mut size = || read::unsigned(&mut sizes);
    let mut events = Vec::with_capacity(kinds.len());
    for &kind in kinds {
        events.push(match kind {
            0 => Event::End,
            1 => Event::Thread(u32::try_from(read::unsigned(&mut threads)?)?),
            2 => Event::Allocate { size: size()? },
            3 => Event::Zeroed { size: size()? },
            4 => Event::Aligned { size: size()?, align: *aligns.split_off_first().context("too few alignments")? },
            5 => Event::Resize { object: object()?, size: size()? },
            6 => Event::Free { object: object()? },
            _ => bail!("no call is of kind {kind}"),
        });
    }
    let unused = [sizes, aligns, objects, threads];
    ensure!(unused.iter().all(|column| column.is_empty()), "a column has more than the calls need");
    Ok(events)
}
