//! What checked mode finds in contents, and its text.

use crate::door::block::Block;
use crate::ground::record::UNKNOWN;
use crate::ground::refused::Hands;
use crate::kernel::line::{Line, Text};

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
    /// Whether the write may have gone on, for the last byte that is looked at was written, too: what is behind it is another's.
    pub at_least: bool,
    /// Another block that may be meant: bytes before a block may as well have been written past the end of the block before it,
    /// where that has a single byte behind its end.
    pub or_after: Option<Block>,
    /// The thread that allocated the block: its id, or 0 for the first one that used the heap. `None` if that is not known.
    pub allocated_by: Option<u32>,
    /// The thread that freed it, in the same way; of a block that is live, `None`.
    pub freed_by: Option<u32>,
    /// The numbers of their stacks, if they are noted.
    stacks: [u32; 2],
}

impl Damage {
    /// Bytes in a block that was in those `hands`.
    pub(crate) fn new(first: isize, bytes: usize, hands: Hands) -> Self {
        let Hands { threads: [allocated, freed], stacks } = hands;
        let known = |thread| (thread != UNKNOWN).then_some(thread);
        let (allocated_by, freed_by) = (known(allocated), known(freed));
        Self { first, bytes, at_least: false, or_after: None, allocated_by, freed_by, stacks }
    }

    /// Appends what was found of the block of `size` bytes at `block`. `tell` appends the stack behind a number.
    pub(crate) fn write_to<const MAX: usize>(
        &self,
        line: &mut Text<MAX>,
        (block, size, live): (usize, usize, bool),
        tell: Option<fn(&mut Text<MAX>, u32)>,
    ) {
        line.text(if self.at_least { "at least " } else { "" });
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
        write_hands(line, [self.allocated_by, self.freed_by], self.stacks, tell);
        if let Some(Block { address, size, .. }) = self.or_after {
            line.text("; or after the block of ").decimal(size).text(" bytes at ").address(address);
        }
    }
}

/// Appends which threads allocated and freed a block, as records have them.
pub(crate) fn name_threads(line: &mut Line, allocated: u32, freed: u32) {
    let known = |thread| (thread != UNKNOWN).then_some(thread);
    write_hands(line, [known(allocated), known(freed)], [0; 2], None);
}

/// Appends which threads allocated and freed a block, and where.
pub(super) fn write_hands<const MAX: usize>(
    line: &mut Text<MAX>,
    threads: [Option<u32>; 2],
    stacks: [u32; 2],
    tell: Option<fn(&mut Text<MAX>, u32)>,
) {
    for (text, (thread, stack)) in [", allocated by ", ", freed by "].into_iter().zip(threads.into_iter().zip(stacks)) {
        match thread {
            Some(0) => line.text(text).text("the first thread"),
            Some(thread) => line.text(text).text("thread ").decimal(thread as usize),
            None => continue,
        };
        if let Some(tell) = tell {
            tell(line, stack);
        }
    }
}
