//! The kinds of misuse, and their texts.

use crate::door::block::{Block, BlockState};
use crate::door::damage::{Damage, write_hands};
use crate::ground::callers::{Long, Tell};
use crate::ground::company::if_checked;
use crate::ground::record::UNKNOWN;
use crate::ground::refused;
use crate::kernel::line::{Line, Text};
use core::fmt;

/// What is wrong with a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MisuseKind {
    /// Not between the heap's start and its break, nor in one of its fallback regions.
    OutsideHeap,
    /// In the heap, but not a multiple of the smallest payload alignment, 16 bytes.
    Misaligned,
    /// In the heap and aligned, but no payload starts there: the interior of a block, metadata, a slab's tail, foreign
    /// memory, a span that was freed.
    NotABlock,
    /// A payload started there and is free now. This is known as long as its slab or span stands.
    AlreadyFree,
    /// A live block, but the caller's size or alignment cannot be this block's.
    WrongLayout,
    /// Only in [checked mode](crate::Checks): bytes around a live block, or in a free one, were overwritten. Which, says the
    /// [`Damage`]; of which block, `found`. It stays as it was found.
    Overwritten(Damage),
}

/// A pointer that the heap did not accept, and what it found there. The heap is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Misuse {
    /// What is wrong.
    pub kind: MisuseKind,
    /// The pointer's address.
    pub address: usize,
    /// The block in which the address lies. `None` outside the heap.
    pub found: Option<Block>,
}

impl MisuseKind {
    fn name(self) -> &'static str {
        match self {
            Self::OutsideHeap => "outside the heap",
            Self::Misaligned => "misaligned",
            Self::NotABlock => "not a block",
            Self::AlreadyFree => "already free",
            Self::WrongLayout => "not of the given layout",
            Self::Overwritten(_) => "overwritten around or inside",
        }
    }
}

impl Misuse {
    /// Appends all that it says to a line. `tell` appends the stack behind a number.
    pub(crate) fn write_to<const MAX: usize>(&self, line: &mut Text<MAX>, tell: Option<fn(&mut Text<MAX>, u32)>) {
        if let (MisuseKind::Overwritten(damage), Some(block)) = (self.kind, if_checked(self.found)) {
            return damage.write_to(line, (block.address, block.size, block.state == BlockState::Used), tell);
        }
        line.address(self.address).text(" is ").text(self.kind.name());
        if let Some(Block { address, size, state }) = self.found {
            line.text(": ").decimal(self.address.wrapping_sub(address)).text(" bytes into ").decimal(size);
            line.text(" ").text(state.name()).text(" bytes at ").address(address);
        }
    }

    /// The same with stacks, and with those of a block that was freed before, if the caller has just tried to free it again.
    pub(crate) fn write_with_stacks(&self, line: &mut Long, tell: Tell) {
        self.write_to(line, Some(tell));
        if let Some(hands) = refused::take(self.address).filter(|_| self.kind == MisuseKind::AlreadyFree) {
            let known = hands.threads.map(|thread| (thread != UNKNOWN).then_some(thread));
            write_hands(line, known, hands.stacks, Some(tell));
        }
    }
}

impl fmt::Display for MisuseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Line::new();
        self.write_to(&mut line, None);
        f.write_str(line.as_str())
    }
}

impl core::error::Error for Misuse {}
