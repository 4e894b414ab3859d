//! What sampling works with, and what is left to do for a sampled block after a turn.

use crate::ground::guards::Guards;
use crate::ground::sites::Sites;

/// A block whose stack is to be looked at when the turn is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unnamed {
    /// The sampled block with its payload at this address was allocated.
    Allocated(usize),
    /// The guarded block of this number was freed, in the span at this address.
    Freed(u32, usize),
}

/// What sampling works with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Profiling {
    pub(crate) sites: &'static Sites,
    /// If sampled blocks are guarded.
    pub(crate) guards: Option<&'static Guards>,
}
