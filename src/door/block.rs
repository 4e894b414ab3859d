//! Blocks: a stretch of the heap and its state, as walks and misuse report it.

use core::fmt;

/// What a stretch of the heap is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockState {
    /// A caller's payload.
    Used,
    /// Free.
    Free,
    /// Another user of the break raised it over this.
    Foreign,
    /// The heap's own headers and page map.
    Metadata,
}

/// A stretch of the heap: for [`BlockState::Used`], exactly one payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Block {
    /// Address of the first byte; of a used block, the payload.
    pub address: usize,
    /// Length in bytes; of a used block, what its caller may use.
    pub size: usize,
    /// What it is used for.
    pub state: BlockState,
}

impl BlockState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Free => "free",
            Self::Foreign => "foreign",
            Self::Metadata => "metadata",
        }
    }
}

impl fmt::Display for BlockState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
