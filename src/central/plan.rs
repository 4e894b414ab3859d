//! What [`thrift`](crate::central::thrift) decides on, and what it decides.

/// What a heap consists of, in pages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sums {
    pub(crate) heap: usize,
    pub(crate) free: usize,
    /// Free ones that may hold memory.
    pub(crate) dirty: usize,
    /// The most that `heap` has been.
    pub(crate) peak: usize,
}

/// What is to be returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How many pages, at most.
    pub(crate) most: usize,
    /// How many in one system call, at least, and if that lowers the break: the top is one span, and can wait for more.
    pub(crate) piece: usize,
    pub(crate) lower_piece: usize,
    /// How many spans to look at.
    pub(crate) steps: usize,
    /// The clock, where it was asked.
    pub(crate) now: Option<u64>,
}

/// Where the search for spans to return goes on.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    pub(crate) address: usize,
    /// Whether this round has found one.
    pub(crate) found: bool,
    /// Dirty pages when it began, and the least that was looked for anywhere in it.
    pub(crate) dirty: usize,
    pub(crate) piece: usize,
}

impl Cursor {
    pub(crate) const fn new() -> Self {
        Self { address: 0, found: false, dirty: 0, piece: 0 }
    }
}
