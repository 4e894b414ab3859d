//! Which leaf serves which pages, by their numbers.

use crate::ground::leaf::{Below, storage_pages};
use core::ops::Range;

/// Pages that leaf 0 serves.
pub(super) const FIRST_LEAF: usize = 60;
/// Leaf k serves the pages below 2^k times so many.
const DOUBLED: usize = 64;
/// Size of the table of leaves: a power of two, so that masking an index keeps it in bounds.
pub(crate) const LEAF_TABLE: usize = 32;
/// Leaves that a page number of 31 bits can reach.
pub(super) const LEAVES: usize = 26;

const _: () = assert!(LEAVES <= LEAF_TABLE && LEAF_TABLE.is_power_of_two());
const _: () = assert!(served_by(LEAVES - 1) == 1 << 31 && FIRST_LEAF < DOUBLED);

/// First page number past those that leaves 0..=`leaf` serve.
#[cfg_attr(not(feature = "speed"), inline(never))]
pub(super) const fn served_by(leaf: usize) -> usize {
    if leaf == 0 { FIRST_LEAF } else { DOUBLED << leaf }
}

/// The pages that a leaf serves.
pub(crate) const fn pages_of(leaf: usize) -> Range<usize> {
    if leaf == 0 { 0..FIRST_LEAF } else { served_by(leaf - 1)..served_by(leaf) }
}

/// Metadata pages in a leaf's storage.
pub(super) const fn leaf_storage(leaf: usize, kernel_page: usize) -> usize {
    let below = if leaf == 0 { Below::Nothing } else { Below::Others };
    storage_pages(&pages_of(leaf), below, kernel_page)
}

/// The leaf that serves a page.
#[inline(always)]
pub(crate) fn leaf_of(page: usize) -> usize {
    let doublings = (page | (DOUBLED - 1)).ilog2() - (DOUBLED - 1).ilog2();
    (doublings as usize).max((page >= FIRST_LEAF) as usize) % LEAF_TABLE
}
