//! The page, the heap's unit.

/// log2 of [`PAGE`].
pub(crate) const PAGE_SHIFT: u32 = 14;

/// Bytes of a page, the heap's unit: spans are runs of pages. It need not be the kernel's page size.
pub const PAGE: usize = 1 << PAGE_SHIFT;

/// Pages of a large block for a request of `size` bytes.
#[cfg_attr(not(feature = "speed"), inline(never))]
pub(crate) fn pages_of(size: usize) -> usize {
    size.div_ceil(PAGE).max(1)
}
