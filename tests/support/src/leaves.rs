//! How much of a heap is metadata: the figures of the page map's leaves, from outside.

use hmalloc::PAGE;

/// Pages that the first leaf serves. The second serves those up to 128, and each later one doubles that.
const FIRST: usize = 60;
/// Bytes that a page has in its leaf: a record, and its handle in leaf 0.
const RECORD: usize = 192;
const HANDLE: usize = size_of::<usize>();

/// Bytes of the first leaf's storage over kernel pages of `page` bytes: handles and records, and a guard above them.
/// It is what an empty heap keeps.
pub const fn least_metadata(page: usize) -> usize {
    let lead = page.saturating_sub(PAGE);
    let guarded = (lead + FIRST * (HANDLE + RECORD)).next_multiple_of(page) + page;
    guarded.next_multiple_of(PAGE)
}

/// Bytes of the storage of a leaf for `pages` pages, the last of them number `end - 1`: guards on both sides.
const fn storage(pages: usize, end: usize, page: usize) -> usize {
    let lead = page.saturating_sub(PAGE);
    (lead + page + (end * HANDLE + pages * RECORD).next_multiple_of(page) + page).next_multiple_of(PAGE)
}

/// Bytes that an arena of `bytes` bytes gives up for metadata aside, once that is asked for.
pub fn room_for_metadata(bytes: usize, page: usize) -> usize {
    ((bytes / PAGE + 1) * (HANDLE + RECORD)).next_multiple_of(page) + 3 * page
}

/// Bytes of metadata, all of it in line, in a heap that has `bytes` bytes beside it.
pub fn metadata_beside(bytes: usize, page: usize) -> usize {
    let (mut metadata, mut served, mut doubled) = (least_metadata(page), FIRST, 64);
    while served * PAGE < bytes + metadata {
        doubled *= 2;
        metadata += storage(doubled - served, doubled, page);
        served = doubled;
    }
    metadata
}
