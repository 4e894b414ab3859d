//! Events to bytes and back. `mod.rs` draws the file.

use super::{Event, Summary, steps};
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

pub(super) fn encode(events: &[Event]) -> Result<Vec<u8>, String> {
    let summary = steps::walk(events, |_| {})?;
    let columns = columns(events);
    let mut bytes = MAGIC.to_vec();
    for number in [summary.calls, summary.steps, summary.peak_bytes] {
        bytes.extend(number.to_le_bytes());
    }
    for number in [summary.peak_blocks, summary.threads, summary.processes] {
        bytes.extend(number.to_le_bytes());
    }
    for column in &columns {
        let length = u32::try_from(column.len()).ok().filter(|&length| length <= LONGEST).ok_or("too many calls")?;
        bytes.extend(length.to_le_bytes());
    }
    debug_assert_eq!(bytes.len(), HEADER);
    let frame = || -> std::io::Result<Vec<u8>> {
        let mut encoder = zstd::Encoder::new(bytes, LEVEL)?;
        encoder.include_checksum(true)?;
        // Told the length, zstd makes its tables, and the window that a decoder needs, no larger than that.
        encoder.set_pledged_src_size(Some(columns.iter().map(|column| column.len() as u64).sum()))?;
        columns.iter().try_for_each(|column| encoder.write_all(column))?;
        encoder.finish()
    };
    frame().map_err(|error| error.to_string())
}

fn columns(events: &[Event]) -> [Vec<u8>; COLUMNS] {
    let mut columns: [Vec<u8>; COLUMNS] = Default::default();
    let mut named = 0;
    let mut name = |column: &mut Vec<u8>, object: u32| {
        let distance = i64::from(object) - named;
        put(column, ((distance << 1) ^ (distance >> 63)) as u64);
        named = i64::from(object);
    };
    for event in events {
        let kind = match *event {
            Event::End => 0,
            Event::Thread(thread) => {
                put(&mut columns[THREADS], thread.into());
                1
            }
            Event::Allocate { size } => {
                put(&mut columns[SIZES], size);
                2
            }
            Event::Zeroed { size } => {
                put(&mut columns[SIZES], size);
                3
            }
            Event::Aligned { size, align } => {
                put(&mut columns[SIZES], size);
                columns[ALIGNS].push(align);
                4
            }
            Event::Resize { object, size } => {
                name(&mut columns[OBJECTS], object);
                put(&mut columns[SIZES], size);
                5
            }
            Event::Free { object } => {
                name(&mut columns[OBJECTS], object);
                6
            }
        };
        columns[0].push(kind);
    }
    columns
}

fn put(column: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        column.push(number as u8 | 0x80);
        number >>= 7;
    }
    column.push(number as u8);
}

/// The events and the header's summary, which is what the events amount to: anything else is an error.
pub(super) fn decode(bytes: &[u8]) -> Result<(Vec<Event>, Summary), String> {
    let (header, frame) = bytes.split_at_checked(HEADER).ok_or("too short for a trace")?;
    if header[..8] != MAGIC {
        return Err("not a trace of this version".to_owned());
    }
    let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| header[at + byte]));
    let short = |at: usize| u32::from_le_bytes(std::array::from_fn(|byte| header[at + byte]));
    let lengths: [u32; COLUMNS] = std::array::from_fn(|column| short(44 + 4 * column));
    if lengths.iter().any(|&length| length > LONGEST) {
        return Err("a column is longer than any trace's".to_owned());
    }
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
    if found != promised {
        return Err(format!("the header promises {promised:?}, there is {found:?}"));
    }
    Ok((events, found))
}

/// The columns, one after the other, of exactly the length that the header says.
fn unpack(frame: &[u8], lengths: &[u32; COLUMNS]) -> Result<Vec<u8>, String> {
    let length: u64 = lengths.iter().map(|&length| u64::from(length)).sum();
    let mut columns = Vec::new();
    let decoder = zstd::Decoder::with_buffer(frame).map_err(|error| error.to_string())?;
    // One byte more than promised, so that a longer frame is seen; then the frame's end is read, and its checksum.
    decoder.take(length + 1).read_to_end(&mut columns).map_err(|error| error.to_string())?;
    if columns.len() as u64 != length {
        return Err("the columns are not as long as the header says".to_owned());
    }
    Ok(columns)
}

/// What the columns say, each of which must be used up.
pub(super) fn events(columns: &[u8], lengths: &[u32; COLUMNS]) -> Result<Vec<Event>, String> {
    let mut rest = columns;
    let mut column = lengths.map(|length| {
        let (column, others) = rest.split_at(length as usize);
        rest = others;
        column
    });
    let kinds = column[0];
    let mut events = Vec::with_capacity(kinds.len());
    let mut named = 0_i64;
    let mut name = |column: &mut &[u8]| -> Result<u32, String> {
        let folded = get(column)?;
        named = named.checked_add((folded >> 1) as i64 ^ -((folded & 1) as i64)).ok_or("a block's number overflows")?;
        u32::try_from(named).map_err(|_| "a block's number is out of range".to_owned())
    };
    for &kind in kinds {
        events.push(match kind {
            0 => Event::End,
            1 => Event::Thread(u32::try_from(get(&mut column[THREADS])?).map_err(|_| "no thread has this number")?),
            2 => Event::Allocate { size: get(&mut column[SIZES])? },
            3 => Event::Zeroed { size: get(&mut column[SIZES])? },
            4 => {
                let (&align, others) = column[ALIGNS].split_first().ok_or("too few alignments")?;
                column[ALIGNS] = others;
                Event::Aligned { size: get(&mut column[SIZES])?, align }
            }
            5 => Event::Resize { object: name(&mut column[OBJECTS])?, size: get(&mut column[SIZES])? },
            6 => Event::Free { object: name(&mut column[OBJECTS])? },
            _ => return Err(format!("no call is of kind {kind}")),
        });
    }
    if column[1..].iter().any(|column| !column.is_empty()) {
        return Err("a column has more than the calls need".to_owned());
    }
    Ok(events)
}

fn get(column: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, others) = column.split_first().ok_or("a column ends early")?;
        *column = others;
        let bits = u64::from(byte & 0x7F);
        if bits << shift >> shift != bits {
            break;
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err("a number is too large".to_owned())
}
