//! The first calls of four recorded programs.
//!
//! A trace is packed as `bench/traces/README.md` says: a header of 64 bytes, then a zstd frame with five columns.

use std::fs;
use std::io::Read;
use std::path::Path;

/// Those that are replayed.
pub(super) const TRACES: [&str; 4] = ["gcc", "python", "sqlite", "redis"];
/// So many calls of each, or fewer. Heaps that walk over all their blocks take a minute for a whole one.
pub(super) const CALLS: usize = 4000;

const HEADER: usize = 64;
const COLUMNS: usize = 5;
/// More bytes than any shipped trace has, unpacked.
const LONGEST: usize = 1 << 27;

/// A trace that is ready for the replay.
pub(super) struct Trace {
    /// Steps, as three numbers of 32 bits each: place, size, old size.
    pub(super) bytes: Vec<u8>,
    /// How many steps.
    pub(super) steps: usize,
    /// The most bytes that were live at once.
    pub(super) peak: usize,
}

/// The first calls of the trace `name`.
pub(super) fn read(name: &str) -> Result<Trace, String> {
    let path = crate::workshop::path("../bench/traces").join(name).with_extension("trace");
    unpack(&path).ok_or_else(|| format!("{} is no trace", path.display()))
}

/// Reads a number in base 128, the lowest digits first.
fn number(column: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0, 0);
    loop {
        let (&byte, rest) = column.split_first()?;
        *column = rest;
        number |= u64::from(byte & 0x7F).checked_shl(shift)?;
        shift += 7;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
}

fn unpack(path: &Path) -> Option<Trace> {
    let packed = fs::read(path).ok()?;
    let header = packed.get(..HEADER)?;
    if !header.starts_with(b"hmtrace\x01") {
        return None;
    }
    let short = |at: usize| header[at..at + 4].try_into().ok().map(u32::from_le_bytes).map(|length| length as usize);
    let mut bytes = Vec::new();
    let decoder = ruzstd::decoding::StreamingDecoder::new(&packed[HEADER..]).ok()?;
    decoder.take(LONGEST as u64).read_to_end(&mut bytes).ok()?;
    let (mut columns, mut rest) = (Vec::new(), &bytes[..]);
    for column in 0..COLUMNS {
        let (one, others) = rest.split_at_checked(short(44 + 4 * column)?)?;
        columns.push(one);
        rest = others;
    }
    let [kinds, sizes, _, objects, _] = columns[..] else { return None };
    steps(kinds, sizes, objects)
}

/// A block of the trace: its place in the table and its size, while it is live.
type Block = Option<(usize, u64)>;

/// The table of blocks while the steps are made.
#[derive(Default)]
struct Table {
    blocks: Vec<Block>,
    free: Vec<usize>,
    places: usize,
    live: u64,
    peak: u64,
    bytes: Vec<u8>,
    steps: usize,
}

impl Table {
    fn step(&mut self, place: usize, size: u64, old: u64) -> Option<()> {
        for number in [place as u64, size, old] {
            self.bytes.extend(u32::try_from(number).ok()?.to_ne_bytes());
        }
        self.live = self.live + size - old;
        self.peak = self.peak.max(self.live);
        self.steps += 1;
        Some(())
    }

    fn allocate(&mut self, size: u64) -> Option<()> {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places += 1;
            self.places - 1
        });
        self.blocks.push(Some((place, size)));
        self.step(place, size, 0)
    }

    fn resize(&mut self, object: usize, size: u64) -> Option<()> {
        let (place, old) = (*self.blocks.get(object)?)?;
        self.blocks[object] = Some((place, size));
        self.step(place, size, old)
    }

    fn release(&mut self, object: usize) -> Option<()> {
        let (place, old) = self.blocks.get_mut(object)?.take()?;
        self.free.push(place);
        self.step(place, 0, old)
    }
}

/// The steps of the first process's first calls. What is live in the end is freed. A request for nothing is one for a byte.
fn steps(kinds: &[u8], mut sizes: &[u8], mut objects: &[u8]) -> Option<Trace> {
    let (mut table, mut named) = (Table::default(), 0_i64);
    for &kind in kinds {
        if kind == 0 || table.steps == CALLS {
            break;
        }
        let size = if (2..=5).contains(&kind) { number(&mut sizes)?.max(1) } else { 0 };
        if kind >= 5 {
            let folded = number(&mut objects)?;
            named += (folded >> 1) as i64 ^ -((folded & 1) as i64);
        }
        let object = usize::try_from(named).ok()?;
        match kind {
            2..=4 => table.allocate(size)?,
            5 => table.resize(object, size)?,
            6 => table.release(object)?,
            _ => {}
        }
    }
    (0..table.blocks.len())
        .filter(|&object| table.blocks[object].is_some())
        .collect::<Vec<_>>()
        .into_iter()
        .try_for_each(|object| table.release(object))?;
    Some(Trace { bytes: table.bytes, steps: table.steps, peak: table.peak as usize })
}
