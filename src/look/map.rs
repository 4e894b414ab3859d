//! The heap drawn: a character for each page, a line for each MiB.

use crate::central::spans::Spans;
use crate::door::block::BlockState;
use crate::door::validate::state_of;
use crate::ground::header::{PAGE, Slab, Span};
use crate::kernel::brk::Brk;
use crate::kernel::line::Text;
use core::fmt;

/// Pages in a line: a MiB.
const LINE: usize = (1 << 20) / PAGE;
/// Lines that are drawn in one turn.
const LINES: usize = 32;
/// The longest line: an address, two spaces, the pages and a newline.
const LONGEST: usize = 18 + 2 + LINE + 1;

/// What the characters say.
pub(crate) const LEGEND: &str = "a page of 16 KiB: [= large block, 0..9 slab with so many tenths in use, # full slab, . free, m metadata, x foreign\n";

/// Some lines of a drawing.
pub(crate) type Lines = Text<{ LINES * LONGEST }>;

/// Draws the lines from the first page at or above `from` on, as many as there is room for. Returns from where to go on, unless
/// the heap ends there.
pub(crate) fn draw<B: Brk>(spans: &Spans<B>, from: usize, lines: &mut Lines) -> Option<usize> {
    let mut at = from;
    for _ in 0..LINES {
        let span = spans.find_around(at).or_else(|| spans.iter().find(|span| span.start() >= at));
        at = draw_line(span?, at, lines);
    }
    Some(at)
}

/// Draws a line that begins in `span`, at `from` or the span's start, and goes on through its neighbours. Returns where it ends.
fn draw_line(mut span: Span, from: usize, lines: &mut Lines) -> usize {
    let mut at = from.max(span.start());
    lines.address(at).text("  ");
    for _ in 0..LINE {
        if at == span.end() {
            match span.next().filter(|next| next.start() == at) {
                Some(next) => span = next,
                None => break,
            }
        }
        lines.printable(character(span, at));
        at += PAGE;
    }
    lines.text("\n");
    at
}

/// What stands for the page at `at` of a span.
fn character(span: Span, at: usize) -> u8 {
    match (span.as_slab(), state_of(span)) {
        (Some(slab), _) => tenths(slab),
        (None, BlockState::Used) if at == span.start() => b'[',
        (None, BlockState::Used) => b'=',
        (None, BlockState::Free) => b'.',
        (None, BlockState::Metadata) => b'm',
        (None, BlockState::Foreign) => b'x',
    }
}

fn tenths(slab: Slab) -> u8 {
    let (live, capacity) = (slab.live_slots(), slab.capacity().max(1));
    if live >= capacity { b'#' } else { b'0' + (live * 10 / capacity) as u8 }
}

/// A heap drawn by its `Display`: see [`Heap::map`](crate::Heap::map).
pub struct Map<'a, B: Brk> {
    pub(crate) spans: &'a Spans<B>,
}

impl<B: Brk> fmt::Debug for Map<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").finish_non_exhaustive()
    }
}

impl<B: Brk> fmt::Display for Map<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_map(f, |from, lines| draw(self.spans, from, lines))
    }
}

/// Writes the lines that `draw` draws, from the first to the last.
pub(crate) fn write_map(
    f: &mut fmt::Formatter<'_>,
    mut draw: impl FnMut(usize, &mut Lines) -> Option<usize>,
) -> fmt::Result {
    f.write_str(LEGEND)?;
    let mut from = Some(0);
    while let Some(at) = from {
        let mut lines = Lines::new();
        from = draw(at, &mut lines);
        f.write_str(lines.as_str())?;
    }
    Ok(())
}
