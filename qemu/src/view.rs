//! A heap drawn for a person to read in a terminal. It allocates nothing, for the heap is locked meanwhile.

use crate::bytes::Bytes;
use core::fmt::{self, Display, Formatter, Write};
use hmalloc::brk::Brk;
use hmalloc::{Heap, PAGE, SpanInfo, SpanKind, Stats};

/// Draws a heap: its statistics, a map of its spans, and how full its slabs are.
pub fn show_heap<B: Brk>(heap: &Heap<B>, output: &mut impl Write) -> fmt::Result {
    show_stats(&heap.stats(), output)?;
    show_map(heap, output)?;
    show_slabs(heap, output)
}

fn show_stats(stats: &Stats, output: &mut impl Write) -> fmt::Result {
    writeln!(output, "the heap: {}, {} at its peak", Bytes(stats.heap_bytes), Bytes(stats.peak_heap_bytes))?;
    writeln!(output, "  used      {:>10} in {} blocks", Bytes(stats.live_bytes), stats.live_blocks)?;
    writeln!(output, "  free      {:>10}", Bytes(stats.free_bytes))?;
    writeln!(output, "  metadata  {:>10}", Bytes(stats.metadata_bytes))?;
    if stats.foreign_bytes > 0 {
        writeln!(output, "  foreign   {:>10} moved over by someone else", Bytes(stats.foreign_bytes))?;
    }
    if stats.mapped_bytes > 0 {
        writeln!(output, "  mapped    {:>10} of it, because the break was refused", Bytes(stats.mapped_bytes))?;
    }
    writeln!(
        output,
        "  the kernel was asked to move the break {}, to map {}",
        Times(stats.brk_calls),
        Times(stats.map_calls)
    )
}

/// How often something happened.
struct Times(usize);

impl Display for Times {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("never"),
            1 => f.write_str("once"),
            times => write!(f, "{times} times"),
        }
    }
}

const COLUMNS: usize = 64;
/// The map is scaled to at most this many rows. Each gap between addresses adds one.
const ROWS: usize = 24;

fn show_map<B: Brk>(heap: &Heap<B>, output: &mut impl Write) -> fmt::Result {
    let bytes: usize = heap.spans().map(|span| span.bytes).sum();
    let pages = bytes.div_ceil(PAGE * COLUMNS * ROWS).max(1).next_power_of_two();
    writeln!(output, "\nthe map: one sign for {}; . free, 1 to 9 tenths used, # used, M metadata, x foreign", {
        Bytes(pages * PAGE)
    })?;
    let mut map = Map { output, cell_bytes: pages * PAGE, at: None, column: 0, cell: Cell::default() };
    for span in heap.spans() {
        map.span(&span)?;
    }
    map.end_range()?;
    match heap.brk().query() {
        Ok(address) => writeln!(output, "  {address:#x} the break"),
        Err(_) => writeln!(output, "  the break could not be read"),
    }
}

/// What is in the range of addresses that one sign stands for, in bytes.
#[derive(Default)]
struct Cell {
    filled: usize,
    used: usize,
    metadata: usize,
    foreign: usize,
}

impl Cell {
    fn sign(&self) -> char {
        if self.foreign * 2 > self.filled {
            return 'x';
        }
        if self.metadata * 2 > self.filled {
            return 'M';
        }
        match self.used {
            0 => '.',
            used if used == self.filled => '#',
            // 1 at least if anything is used, and not full if anything is free.
            used => {
                let tenths = used.saturating_mul(10) / self.filled.max(1);
                char::from_digit(tenths.clamp(1, 9) as u32, 10).unwrap_or('9')
            }
        }
    }
}

struct Map<'o, W> {
    output: &'o mut W,
    cell_bytes: usize,
    /// Where the next span begins if there is no gap before it.
    at: Option<usize>,
    column: usize,
    cell: Cell,
}

impl<W: Write> Map<'_, W> {
    fn span(&mut self, span: &SpanInfo) -> fmt::Result {
        if self.at.is_some_and(|at| at != span.address) {
            self.end_range()?;
            writeln!(self.output, "  ...")?;
        }
        let mut address = span.address;
        let mut left = span.bytes;
        while left > 0 {
            let part = left.min(self.cell_bytes - self.cell.filled);
            if self.cell.filled == 0 && self.column == 0 {
                write!(self.output, "  {address:#x} ")?;
            }
            self.fill(span, part);
            address += part;
            left -= part;
            if self.cell.filled == self.cell_bytes {
                self.end_cell()?;
            }
        }
        self.at = Some(address);
        Ok(())
    }

    fn fill(&mut self, span: &SpanInfo, part: usize) {
        self.cell.filled += part;
        match span.kind {
            SpanKind::Metadata => self.cell.metadata += part,
            SpanKind::Foreign => self.cell.foreign += part,
            SpanKind::Large => self.cell.used += part,
            // Spread evenly. A slab whose slots are all live counts as full, although a tail may be left over.
            SpanKind::Slab { capacity, live, .. } if live < capacity => {
                self.cell.used += (part as u64 * live as u64 / capacity as u64) as usize;
            }
            SpanKind::Slab { .. } => self.cell.used += part,
            _ => {}
        }
    }

    fn end_cell(&mut self) -> fmt::Result {
        let sign = self.cell.sign();
        self.cell = Cell::default();
        self.column += 1;
        self.output.write_char(sign)?;
        if self.column == COLUMNS {
            self.column = 0;
            writeln!(self.output)?;
        }
        Ok(())
    }

    fn end_range(&mut self) -> fmt::Result {
        if self.cell.filled > 0 {
            self.end_cell()?;
        }
        if self.column > 0 {
            self.column = 0;
            writeln!(self.output)?;
        }
        Ok(())
    }
}

/// The sum of all slabs of one slot size.
#[derive(Clone, Copy)]
struct Class {
    slot: usize,
    slabs: usize,
    live: usize,
    capacity: usize,
}

/// More size classes than the heap has.
const CLASSES: usize = 96;
const BAR: usize = 20;

fn show_slabs<B: Brk>(heap: &Heap<B>, output: &mut impl Write) -> fmt::Result {
    let mut classes = [Class { slot: 0, slabs: 0, live: 0, capacity: 0 }; CLASSES];
    let (mut large, mut large_bytes) = (0usize, 0);
    for span in heap.spans() {
        match span.kind {
            SpanKind::Slab { slot, capacity, live } => {
                if let Some(class) = classes.iter_mut().find(|class| class.slot == slot || class.slabs == 0) {
                    class.slot = slot;
                    class.slabs += 1;
                    class.live += live;
                    class.capacity += capacity;
                }
            }
            SpanKind::Large => {
                large += 1;
                large_bytes += span.bytes;
            }
            _ => {}
        }
    }
    classes.sort_unstable_by_key(|class| class.slot);
    writeln!(output, "\nthe slabs:   slot  slabs  live of slots")?;
    for class in classes.iter().filter(|class| class.slabs > 0) {
        let Class { slot, slabs, live, capacity } = *class;
        write!(output, "  {slot:>13} {slabs:>6}  {live:>9} of {capacity:<9} ")?;
        let full = (live as u64 * BAR as u64).div_ceil(capacity.max(1) as u64) as usize;
        for place in 0..BAR {
            output.write_char(if place < full { '#' } else { '.' })?;
        }
        let percent = live as u64 * 100 / capacity.max(1) as u64;
        writeln!(output, " {percent:>3} %")?;
    }
    writeln!(output, "larger than a slot: {large} blocks, {}", Bytes(large_bytes))
}
