//! Whether memory is short, and how far the heap has been looked through for its last free slots. What is done then is in
//! [`last_slots`](crate::tier::slab).

/// How far the look has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Memory is not short.
    NotBegun,
    /// At all spans up to the one at this address.
    UpTo(usize),
    /// At all.
    Over,
}

/// Whether memory is short, and how far the heap has been looked through for slots.
#[derive(Debug)]
pub(crate) struct Shortage {
    pub(crate) look: Look,
}

impl Shortage {
    pub(crate) const fn new() -> Self {
        Self { look: Look::NotBegun }
    }

    /// Whether a refusal has been seen, and no growth as was wished since.
    pub(crate) fn is_there(&self) -> bool {
        self.look != Look::NotBegun
    }
}
