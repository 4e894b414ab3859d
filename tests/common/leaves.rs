//! How much of a heap is metadata: the figures of the page map's leaves, from outside.

use hmalloc::PAGE;

/// Pages that the first leaf serves; each later one doubles the heap.
const FIRST: usize = 64;
/// Bytes that a page has in its leaf: a record, and its handle in leaf 0.
const RECORD: usize = 192;
const HANDLE: usize = size_of::<usize>();

/// Bytes of the first leaf's storage over kernel pages of `page` bytes: handles and records, and a guard above them.
/// It is what an empty heap keeps.
pub(crate) const fn least_metadata(page: usize) -> usize {
    let lead = page.saturating_sub(PAGE);
    let guarded = (lead + FIRST * (HANDLE + RECORD)).next_multiple_of(page) + page;
    guarded.next_multiple_of(PAGE)
}

/// Bytes of the storage of a leaf for `pages` pages, the last of them number `end - 1`: guards on both sides.
const fn storage(pages: usize, end: usize, page: usize) -> usize {
    let lead = page.saturating_sub(PAGE);
    (lead + page + (end * HANDLE + pages * RECORD).next_multiple_of(page) + page).next_multiple_of(PAGE)
}

/// Bytes of metadata in a heap that has `bytes` bytes beside it.
pub(crate) fn metadata_beside(bytes: usize, page: usize) -> usize {
    let (mut metadata, mut served) = (least_metadata(page), FIRST);
    while served * PAGE < bytes + metadata {
        metadata += storage(served, 2 * served, page);
        served *= 2;
    }
    metadata
}
