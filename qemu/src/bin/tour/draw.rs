//! The heap as a table with one line for each block, and as a picture to scale.

use crate::heaps::{Row, Shown, program_break};
use crate::named::Named;
use core::fmt::{self, Write};
use hmalloc::BlockState;

/// Draws the heap. Distances are from `base`.
pub(crate) fn draw<H: Shown>(heap: &H, named: &[Named], base: usize, output: &mut impl Write) -> fmt::Result {
    for row in heap.rows() {
        write!(output, "    {:>+9}  ", row.start.wrapping_sub(base).cast_signed())?;
        if row.header > 0 {
            write!(output, "header {:>2}   payload ", row.header)?;
        }
        match (row.state, owner(&row, named)) {
            (BlockState::Free, _) => writeln!(output, "{:>6}  free", row.size)?,
            (BlockState::Used, Some(name)) => writeln!(output, "{:>6}  {name}", row.size)?,
            (state, _) => writeln!(output, "{:>6}  {state}", row.size)?,
        }
    }
    writeln!(output, "    {:>+9}  the break", program_break().wrapping_sub(base).cast_signed())?;
    match heap.header() {
        Some(header) => picture(heap, named, scale(header), output),
        None => Ok(()),
    }
}

/// How many bytes of a stage's heap one sign of the picture stands for: few enough to show every header.
pub(crate) fn scale(header: usize) -> usize {
    header.min(16)
}

/// The name of the block in a row, if it is one of the tour's.
fn owner(row: &Row, named: &[Named]) -> Option<char> {
    named.iter().find(|named| named.live && named.payload.addr() == row.payload()).map(|named| named.name)
}

/// Draws one sign for each `scale` bytes, by what the byte in their middle belongs to.
fn picture<H: Shown>(heap: &H, named: &[Named], scale: usize, output: &mut impl Write) -> fmt::Result {
    write!(output, "\n    ")?;
    let mut middle = heap.rows().next().map_or(0, |first| first.start + scale / 2);
    for row in heap.rows() {
        let letter = match row.state {
            BlockState::Free => '.',
            _ => owner(&row, named).unwrap_or('?'),
        };
        while middle < row.end() {
            output.write_char(if middle < row.payload() { '#' } else { letter })?;
            middle += scale;
        }
    }
    writeln!(output, "|")
}
