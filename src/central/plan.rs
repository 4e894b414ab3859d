//! The input of [`thrift`](crate::central::thrift)'s decisions, [`Sums`], and their result, a [`Plan`].

/// The size of a heap and of its free part, in pages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sums {
    pub(crate) heap: usize,
    pub(crate) free: usize,
    /// Free ones that may hold kernel memory.
    pub(crate) dirty: usize,
    /// The largest value that `heap` has had.
    pub(crate) peak: usize,
}

/// What is to be returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How many pages, at most.
    pub(crate) most: usize,
    /// How many one system call must return to be worth making,
    pub(crate) piece: usize,
    /// and how many if it lowers the break: the top is one span, and can wait until it is longer.
    pub(crate) lower_piece: usize,
    /// How many spans to visit.
    pub(crate) steps: usize,
    /// The time, if the clock was read.
    pub(crate) now: Option<u64>,
}

/// Where the search for spans to return continues.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    pub(crate) address: usize,
    /// Whether this round over all spans has found one.
    pub(crate) found: bool,
    /// Dirty pages when the round began, and the largest piece that was required during it.
    pub(crate) dirty: usize,
    pub(crate) piece: usize,
}

impl Cursor {
    pub(crate) const fn new() -> Self {
        Self { address: 0, found: false, dirty: 0, piece: 0 }
    }
}
