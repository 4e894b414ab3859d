//! The leaves of the page map: where the records of a range of pages lie, and the handles of all pages up to its end.
//!
//! ```text
//! storage of leaf k for its n pages                                            a multiple of PAGE
//! +- - -+=========+------------------------------+-------------------------+- -+=============+- - -+
//! |     | guard   | handles of pages 0 to last   | n records of 192 bytes  |   | guard       |     |
//! +- - -+=========+------------------------------+-------------------------+- -+=============+- - -+
//!       kernel pages                                                           kernel pages
//! ```
//!
//! Payload may lie on both sides, and a write past its end must not reach headers. So the storage begins and ends with
//! whole kernel pages that are made inaccessible, the guards; what is left over at its end is part of the second one.
//! If kernel pages are no larger than ours, all payload borders on a guard directly. If they are larger, a storage may
//! start or end inside one, which it shares with its neighbour: that part is left unused. The heap's first storage has
//! no payload below it and so no guard there.
//!
//! A leaf [aside](crate::ground::aside) consists of the same two addresses, of arrays that lie elsewhere, and its
//! records may be [grouped](GROUPED).
//!
//! The length of a storage depends on the size of kernel pages alone, not on where it starts. Over pages of 4 KiB:
//!
//! | pages served | 60, at the start | 68 | 128 | 256 | 512 | 1024 |
//! |---|---|---|---|---|---|---|
//! | metadata pages | 1 | 2 | 3 | 4 | 7 | 14 |

use crate::ground::handles::{HANDLE, Handles};
use crate::ground::header::{Header, PAGE, Span};
use core::ops::Range;

pub(crate) const RECORD: usize = size_of::<Header>();

/// Pages whose records are permuted among themselves in a grouped leaf: a power of two.
///
/// A large slab is four or eight pages long, and has one record. In page order every kernel page of records would be
/// touched for a quarter or an eighth of its bytes. So among these pages, the records of those with the same number
/// modulo 8 lie together: of the lowest nine bits of the page's number, the lowest three and the highest three are
/// exchanged.
///
/// ```text
/// index of a record   512 ...  575   576 ...  639         960 ... 1023
///                    +--------------+--------------+-   -+--------------+
/// pages              | 512 520 ..   | 513 521 ..   | ... | 519 527 ..   |   64 records in a group, 12 KiB
///                    +--------------+--------------+-   -+--------------+
/// ```
pub(crate) const GROUPED: usize = 512;
/// The bits of a page's number that name its group.
const GROUP_BITS: usize = 7;
/// How far above them the bits lie with which they are exchanged.
const GROUP_SHIFT: u32 = (GROUPED / (GROUP_BITS + 1)).ilog2();

const _: () = assert!((RECORD << GROUP_SHIFT).is_multiple_of(4096), "a group shares no small kernel page");
const _: () = assert!(GROUP_BITS < align_of::<Header>(), "they fit below a record's address");

/// What lies right below a leaf's storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Below {
    /// Pages of the heap, or a mapping of another user.
    Others,
    /// Nothing: the heap starts with this storage.
    Nothing,
}

/// Bytes of the handles and records of a leaf for `pages`.
const fn body_bytes(pages: &Range<usize>) -> usize {
    (pages.end * HANDLE).next_multiple_of(align_of::<Header>()) + (pages.end - pages.start) * RECORD
}

/// Metadata pages in the storage of a leaf for `pages` over kernel pages of `kernel_page` bytes. `pages` must fit in
/// the address space.
pub(crate) const fn storage_pages(pages: &Range<usize>, below: Below, kernel_page: usize) -> usize {
    // The most that lies between a multiple of PAGE and the next kernel page.
    let lead = kernel_page.saturating_sub(PAGE);
    let bytes = match below {
        Below::Others => lead + kernel_page + body_bytes(pages).next_multiple_of(kernel_page),
        Below::Nothing => (lead + body_bytes(pages)).next_multiple_of(kernel_page),
    };
    (bytes + kernel_page).div_ceil(PAGE)
}

/// The table above, by example.
#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(storage_pages(&(0..60), Below::Nothing, 4096) == 1 && storage_pages(&(60..128), Below::Others, 4096) == 2);
    assert!(
        storage_pages(&(128..256), Below::Others, 4096) == 3 && storage_pages(&(256..512), Below::Others, 4096) == 4
    );
};

/// The addresses of a leaf's records and its array of handles, as plain numbers. What is there is valid as long as the
/// leaf's storage stands; in a leaf aside, for the pages of the heap.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaf {
    records: Records,
    pub(crate) handles: Handles,
}

impl Leaf {
    /// No leaf: what an unused entry of a table of leaves holds.
    pub(crate) const NONE: Self = Self { records: Records(0), handles: Handles::NONE };

    /// Lays out a leaf for `pages` in the [metadata pages](storage_pages) at `storage`. Returns the leaf and its
    /// guards.
    pub(crate) fn new(
        storage: usize,
        pages: Range<usize>,
        below: Below,
        kernel_page: usize,
    ) -> (Self, [Range<usize>; 2]) {
        let low = storage.next_multiple_of(kernel_page);
        let handles = if below == Below::Others { low + kernel_page } else { storage };
        let records = (handles + pages.end * HANDLE).next_multiple_of(align_of::<Header>());
        let high = (records + pages.len() * RECORD).next_multiple_of(kernel_page);
        let end = (storage + storage_pages(&pages, below, kernel_page) * PAGE) & !(kernel_page - 1);
        debug_assert!(high + kernel_page <= end);
        let records = Records::new(records.wrapping_sub(pages.start * RECORD), false);
        let leaf = Self { records, handles: Handles::at(handles) };
        // The first is empty where there is none.
        (leaf, [low.min(handles)..handles, high..end])
    }

    /// A leaf whose handles and biased records lie aside. It can be grouped only if it serves whole multiples of
    /// [`GROUPED`] pages.
    pub(crate) fn aside(records: usize, handles: usize, grouped: bool) -> Self {
        Self { records: Records::new(records, grouped), handles: Handles::at(handles) }
    }

    /// Address past the last record of a leaf in line for `pages`.
    pub(crate) fn records_end(self, pages: &Range<usize>) -> usize {
        self.records.first().wrapping_add(pages.end * RECORD)
    }

    /// The part of the guards that every leaf has with something below it: a kernel page on either side.
    pub(crate) fn guards(self, pages: &Range<usize>, kernel_page: usize) -> [Range<usize>; 2] {
        let (low, high) = (self.handles.address() - kernel_page, self.records_end(pages).next_multiple_of(kernel_page));
        [low..self.handles.address(), high..high + kernel_page]
    }

    /// Whether the records of both leaves are found in the same way.
    pub(crate) fn has_records_of(self, other: Self) -> bool {
        self.records.0 == other.records.0
    }

    /// Address of the record of a page that the leaf serves.
    #[inline]
    pub(crate) fn record_address(self, page: usize) -> usize {
        self.records.first().wrapping_add(self.records.exchange(page) * RECORD)
    }

    /// The record of a page.
    ///
    /// # Safety
    ///
    /// The leaf serves the page, and its storage stands for as long as the handle is used.
    #[inline]
    pub(crate) unsafe fn record(self, page: usize) -> Span {
        // SAFETY: the caller's promise; records are laid out at multiples of 64 from a multiple of 64.
        unsafe { Span::at(self.record_address(page)) }
    }

    /// The page whose record `span` is, if it is one of `pages`, which the leaf serves.
    pub(crate) fn page_of(self, span: Span, pages: Range<usize>) -> Option<usize> {
        let offset = span.address().wrapping_sub(self.records.first().wrapping_add(pages.start * RECORD));
        let is_record = offset < pages.len() * RECORD && offset.is_multiple_of(RECORD);
        is_record.then(|| self.records.exchange(pages.start + offset / RECORD))
    }
}

/// The address of an array of records, biased so that indices count from page 0 on. If the records are grouped, it has
/// [`GROUP_BITS`] set, which are clear in every address of records.
#[derive(Debug, Clone, Copy)]
struct Records(usize);

impl Records {
    fn new(first: usize, grouped: bool) -> Self {
        debug_assert!(first.is_multiple_of(align_of::<Header>()));
        Self(if grouped { first | GROUP_BITS } else { first })
    }

    /// The bits of a page's number that are exchanged: none, unless the records are grouped.
    fn group_bits(self) -> usize {
        self.0 & GROUP_BITS
    }

    /// Where the record of page 0 would be.
    fn first(self) -> usize {
        self.0 & !GROUP_BITS
    }

    /// The index of a page's record, and equally the page of a record's index: exchanging bits is its own inverse.
    /// Where two bits differ, both flip.
    fn exchange(self, page: usize) -> usize {
        let differ = (page ^ page >> GROUP_SHIFT) & self.group_bits();
        page ^ differ ^ differ << GROUP_SHIFT
    }
}
