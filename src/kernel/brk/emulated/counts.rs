//! What an emulated kernel was asked for, and what it shows of itself.

use super::Emulated;

impl Emulated<'_> {
    /// How often the break was asked to move. Foreign moves and queries do not count.
    pub fn calls(&self) -> usize {
        self.calls
    }

    /// The address where the break stands.
    pub fn current(&self) -> usize {
        self.current
    }

    /// Bytes that are mapped now.
    pub fn mapped(&self) -> usize {
        self.mapped
    }

    /// Bytes that were [made inaccessible](crate::brk::Brk::seal), in all. Here they stay as they are.
    pub fn sealed(&self) -> usize {
        self.sealed
    }

    /// Bytes that were relocated, in all.
    pub fn relocated(&self) -> usize {
        self.relocated
    }

    /// Bytes that were said to be [used soon](crate::brk::Brk::expect_use), in all.
    pub fn expected_use(&self) -> usize {
        self.expected_use
    }

    /// The highest address that the break can reach: below what is set aside for mappings and for metadata.
    pub fn limit(&self) -> usize {
        self.limit
    }
}
