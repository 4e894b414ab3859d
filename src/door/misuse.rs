//! What a wrong pointer is called, and what to do about it.

use crate::ground::policy::Policy;
use crate::kernel::line::Line;
use core::fmt;

/// What a stretch of the heap is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockState {
    /// A caller's payload.
    Used,
    /// Nobody's.
    Free,
    /// Somebody else raised the break over it.
    Foreign,
    /// Holds the heap's own headers and page map.
    Metadata,
}

/// A stretch of the heap: for [`BlockState::Used`], exactly one payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Address of the first byte; of a used block, the payload.
    pub address: usize,
    /// Length in bytes; of a used block, what its caller may use.
    pub size: usize,
    /// What it is used for.
    pub state: BlockState,
}

/// What is wrong with a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MisuseKind {
    /// Not between the heap's start and its break, nor in one of its fallback regions.
    OutsideHeap,
    /// In the heap, but not a multiple of the smallest payload alignment, 16 bytes.
    Misaligned,
    /// In the heap and aligned, but no payload starts there: the interior of a block, metadata, a slab's tail, foreign
    /// memory, a released span.
    NotABlock,
    /// A payload started there and is free now. Known as long as its slab or span stands.
    AlreadyFree,
    /// A live block, but the caller's size or alignment cannot be this block's.
    WrongLayout,
}

/// A pointer that the heap did not accept, and what it found there. The heap is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misuse {
    /// What is wrong.
    pub kind: MisuseKind,
    /// The pointer's address.
    pub address: usize,
    /// The block in which the address lies. `None` outside the heap.
    pub found: Option<Block>,
}

impl BlockState {
    fn name(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Free => "free",
            Self::Foreign => "foreign",
            Self::Metadata => "metadata",
        }
    }
}

impl MisuseKind {
    fn name(self) -> &'static str {
        match self {
            Self::OutsideHeap => "outside the heap",
            Self::Misaligned => "misaligned",
            Self::NotABlock => "not a block",
            Self::AlreadyFree => "already free",
            Self::WrongLayout => "not of the given layout",
        }
    }
}

impl Misuse {
    fn write_to(&self, line: &mut Line) {
        line.address(self.address).text(" is ").text(self.kind.name());
        if let Some(Block { address, size, state }) = self.found {
            line.text(": ").decimal(self.address.wrapping_sub(address)).text(" bytes into ").decimal(size);
            line.text(" ").text(state.name()).text(" bytes at ").address(address);
        }
    }
}

impl fmt::Display for BlockState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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
        self.write_to(&mut line);
        f.write_str(line.as_str())
    }
}

impl core::error::Error for Misuse {}

impl Policy {
    /// Does what the policy says about a misuse in `call`, the name that the line is to give. Returns unless it aborts.
    #[cold]
    pub fn apply(self, call: &str, misuse: &Misuse) {
        let mut line = Line::new();
        line.text("hmalloc: ").text(call).text(": ");
        misuse.write_to(&mut line);
        self.say(line.text("\n"));
    }
}
