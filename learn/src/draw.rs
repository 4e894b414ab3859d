//! The heap as a table, as a picture to scale, and in figures.

use crate::played::{Row, Seen};
use crate::script::{Call, Script};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// How many bytes one sign of a picture stands for: few enough to show every header.
const SCALE: usize = 16;
/// A longer picture is cut: its middle says nothing more.
const WIDEST: usize = 96;
/// More rows than this are summed up.
const MOST_ROWS: usize = 32;

/// A script on its way: which blocks are live, where, and how many bytes were asked for.
#[derive(Debug, Default, Clone)]
pub struct Known {
    live: BTreeMap<usize, (isize, usize)>,
}

impl Known {
    /// Takes note of a call and what was seen of it.
    pub fn note(&mut self, call: Call, seen: &Seen) {
        match (call, seen.payload) {
            (Call::Malloc(block, size) | Call::Realloc(block, size), Some(payload)) => {
                self.live.insert(block, (payload, size));
            }
            (Call::Calloc(block, count, size), Some(payload)) => {
                self.live.insert(block, (payload, count.saturating_mul(size)));
            }
            (Call::Free(block, 0) | Call::Realloc(block, 0), _) => {
                self.live.remove(&block);
            }
            _ => {}
        }
    }

    fn at(&self, payload: isize) -> Option<(usize, usize)> {
        self.live.iter().find(|(_, live)| live.0 == payload).map(|(block, live)| (*block, live.1))
    }

    /// Whether a block is live.
    pub(crate) fn is_live(&self, block: usize) -> bool {
        self.live.contains_key(&block)
    }

    /// How many are.
    pub(crate) fn count(&self) -> usize {
        self.live.len()
    }

    /// Bytes that were asked for in these.
    pub(crate) fn requested(&self) -> usize {
        self.live.values().map(|live| live.1).sum()
    }
}

/// Draws the heap as it was after a call.
///
/// # Errors
///
/// If it cannot be written.
pub fn draw(script: &Script, known: &Known, seen: &Seen, output: &mut dyn Write) -> io::Result<()> {
    let name = |row: &Row| match (row.free, row.size, known.at(row.payload)) {
        (true, ..) => "free".to_owned(),
        (_, _, Some((block, _))) => script.names.get(block).cloned().unwrap_or_default(),
        (_, 0, None) => "metadata".to_owned(),
        _ => "used".to_owned(),
    };
    for row in seen.rows.iter().take(MOST_ROWS) {
        let header = (row.payload - row.header).unsigned_abs();
        write!(output, "    {:>+8}  ", row.header)?;
        if row.size == 0 && header > 64 {
            writeln!(output, "{header:>6} bytes  {}", name(row))?;
        } else if header > 0 {
            writeln!(output, "header {header:>2}   payload {:>6}  {}", row.size, name(row))?;
        } else {
            writeln!(output, "{:>6} bytes  {}", row.size, name(row))?;
        }
    }
    if seen.rows.len() > MOST_ROWS {
        writeln!(output, "              and {} blocks more", seen.rows.len() - MOST_ROWS)?;
    }
    writeln!(output, "    {:>+8}  the break", seen.brk)?;
    picture(&seen.rows, &name, output)
}

/// One sign for each `SCALE` bytes, by what the byte in their middle belongs to. Heaps without headers among their blocks are
/// too large to draw so.
fn picture(rows: &[Row], name: &dyn Fn(&Row) -> String, output: &mut dyn Write) -> io::Result<()> {
    let Some(first) = rows.first().filter(|row| row.payload > row.header && row.size > 0) else { return Ok(()) };
    let scale = (first.payload - first.header).unsigned_abs().min(SCALE).cast_signed();
    let (mut signs, mut middle) = (String::new(), first.header + scale / 2);
    for row in rows {
        let letter = if row.free { '.' } else { name(row).chars().next().unwrap_or('?') };
        // A gap is what somebody else has.
        while middle < row.header {
            signs.push('x');
            middle += scale;
        }
        let end = row.payload.saturating_add_unsigned(row.size);
        while middle < end && signs.len() <= WIDEST {
            signs.push(if middle < row.payload { '#' } else { letter });
            middle += scale;
        }
    }
    let cut = signs.len() > WIDEST;
    signs.truncate(WIDEST);
    writeln!(output, "    {signs}{}", if cut { " ..." } else { "|" })
}

/// What is used and what is free, and how much of that is of use.
///
/// # Errors
///
/// If it cannot be written.
pub fn figures(known: &Known, seen: &Seen, output: &mut dyn Write) -> io::Result<()> {
    let sum = |free: bool| seen.rows.iter().filter(|row| row.free == free).map(|row| row.size).sum::<usize>();
    let (used, free) = (sum(false), sum(true));
    let apart: usize = seen.rows.iter().map(|row| (row.payload - row.header).unsigned_abs()).sum();
    let largest = seen.rows.iter().filter(|row| row.free).map(|row| row.size).max().unwrap_or(0);
    let requested = known.requested();
    let heap = seen.brk.max(0).unsigned_abs();
    let percent = |part: usize, of: usize| (part * 100).checked_div(of).unwrap_or(0);
    writeln!(
        output,
        "    asked for {requested} of {heap} bytes ({} %); headers {apart}; slack {}; free {free}, largest {largest}",
        percent(requested, heap),
        used.saturating_sub(requested)
    )?;
    writeln!(
        output,
        "    fragmentation: inside {} % (slack of used), outside {} % (free that the largest free block is not)",
        percent(used.saturating_sub(requested), used),
        percent(free - largest, free)
    )
}
