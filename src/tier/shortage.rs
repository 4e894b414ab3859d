//! Whether memory is short, and how far the heap has been searched for its last free slots. The search itself is in
//! [`last_slots`](super::last_slots).

use crate::kernel::parts::LIMITS;

/// How far the look at all slabs has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Memory is not short.
    NotBegun,
    /// All spans up to the one at this address have been looked at.
    UpTo(usize),
    /// All spans have been looked at.
    Over,
}

/// Whether memory is short, and how far the heap has been searched for slots.
#[derive(Debug)]
pub(crate) struct Shortage {
    pub(crate) look: Look,
}

impl Shortage {
    pub(crate) const fn new() -> Self {
        Self { look: Look::NotBegun }
    }

    /// Whether memory is short: a wish was refused, and none has been granted in full since.
    pub(crate) fn is_there(&self) -> bool {
        LIMITS && self.look != Look::NotBegun
    }
}
