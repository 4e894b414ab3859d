//! A number that begins as the largest there is, and is stored as zero bits then.

/// A limit: the largest number there is while nothing limits.
///
/// It is stored as its complement. So a heap that was not used yet is all zero bits, and a `static` with one takes addresses,
/// but no bytes of the program's file (8.5 KiB), and no page of memory for parts that are not touched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit(usize);

impl Limit {
    /// No limit.
    pub(crate) const NONE: Self = Self::new(usize::MAX);

    pub(crate) const fn new(most: usize) -> Self {
        Self(!most)
    }

    #[inline(always)]
    pub(crate) const fn get(self) -> usize {
        !self.0
    }
}

const _: () = assert!(Limit::NONE.0 == 0);

impl core::fmt::Debug for Limit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(&self.get(), f)
    }
}
