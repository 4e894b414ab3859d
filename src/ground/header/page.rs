//! The heap's unit.

/// log2 of [`PAGE`].
pub(crate) const PAGE_SHIFT: u32 = 14;

/// The heap's unit, in bytes: spans are runs of pages. It is a unit of its own and need not be the kernel's page size.
pub const PAGE: usize = 1 << PAGE_SHIFT;

/// Pages of a large block for a request of `size` bytes.
pub(crate) fn pages_of(size: usize) -> usize {
    size.div_ceil(PAGE).max(1)
}
