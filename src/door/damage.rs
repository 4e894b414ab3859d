//! What checked mode finds in contents, and its text.

use crate::ground::record::UNKNOWN;
use crate::kernel::line::Line;

/// Bytes that were written where no caller may write: past the end or before the start of a block, or into a free one. Found in
/// checked mode only, see [`Checks`](crate::Checks).
///
/// The block itself is the [`Misuse`](crate::Misuse)'s `found`: where it starts, the size that was asked for, and whether it is
/// live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Damage {
    /// Offset of the first such byte from the block's start: negative before it, and from the block's size on behind it.
    pub first: isize,
    /// How many such bytes there are, of those that are looked at.
    pub bytes: usize,
    /// The thread that allocated the block: its id, or 0 for the first one that used the heap. `None` if that is not known.
    pub allocated_by: Option<u32>,
    /// The thread that freed it, in the same way; of a block that is live, `None`.
    pub freed_by: Option<u32>,
}

impl Damage {
    /// What a record says of the threads.
    pub(crate) fn new(first: isize, bytes: usize, [allocated, freed]: [u32; 2]) -> Self {
        let known = |thread| (thread != UNKNOWN).then_some(thread);
        Self { first, bytes, allocated_by: known(allocated), freed_by: known(freed) }
    }

    /// Appends what was found of the block of `size` bytes at `block`.
    pub(crate) fn write_to(&self, line: &mut Line, block: usize, size: usize, live: bool) {
        line.decimal(self.bytes).text(if self.bytes == 1 { " byte " } else { " bytes " });
        let place = match (live, self.first) {
            (false, _) => "of the free block of ",
            (true, ..0) => "before the block of ",
            (true, _) => "after the block of ",
        };
        line.text(place).decimal(size).text(" bytes at ").address(block);
        line.text(if self.bytes == 1 { " was" } else { " were" }).text(" overwritten (");
        line.text(if self.bytes == 1 { "at offset " } else { "the first at offset " });
        if self.first < 0 {
            line.text("-");
        }
        line.decimal(self.first.unsigned_abs()).text(")");
        thread(line, ", allocated by ", self.allocated_by);
        thread(line, ", freed by ", self.freed_by);
    }
}

fn thread(line: &mut Line, text: &str, thread: Option<u32>) {
    match thread {
        Some(0) => line.text(text).text("the first thread"),
        Some(thread) => line.text(text).text("thread ").decimal(thread as usize),
        None => line,
    };
}
