//! What other threads write about slabs: freed bits and the inbox's links, for each page of the heap, away from all that
//! owners write.
//!
//! ```text
//! one chunk, for the pages of one leaf
//! +----------------------------------------------+------------------------+
//! | 256 bytes of freed bits for each page        | a link for each page   |
//! +----------------------------------------------+------------------------+
//! ```
//!
//! A slab uses the words of its first page: one for each 32 slots. A chunk is mapped when a slab in it is first freed by
//! another thread, and stays; kernel memory is zero, which is no freed bits and no link, so only pages of such slabs touch
//! it. It has addresses for 1/63 of the heap.

use crate::ground::freed::{Freed, SLOTS};
use crate::ground::header::{MAX_SLOTS, PAGE_SHIFT, Slab};
use crate::ground::inbox::Link;
use crate::ground::page_map::{LEAF_TABLE, leaf_of, pages_of};
use crate::ground::shared::SharedUsize;
use core::mem::offset_of;

/// Words of a page.
pub(crate) const WORDS: usize = MAX_SLOTS / SLOTS;
const WORD: usize = size_of::<Freed>();
const LINK: usize = size_of::<Link>();

/// The chunks of one heap.
pub(crate) struct Chunks {
    /// Address of page 0 of the heap.
    base: SharedUsize,
    /// For each leaf 0, or where the words of page 0 would be if its chunk had some, and 1: an odd number.
    origins: [SharedUsize; LEAF_TABLE],
}

/// The words of one page: the address of the first.
#[derive(Clone, Copy)]
pub(crate) struct Words(usize);

impl Words {
    /// One of them.
    #[inline(always)]
    pub(crate) fn word<'a>(self, index: usize) -> &'a Freed {
        debug_assert!(index < WORDS);
        // SAFETY: a chunk has so many words for each of its pages, and stays.
        unsafe { &*core::ptr::with_exposed_provenance(self.0 + index % WORDS * WORD) }
    }
}

/// Where a debugger finds `base` and `origins`; how many words there are for each page, of how many slots each.
pub(crate) const CHUNK_OFFSETS: [usize; 4] = [offset_of!(Chunks, base), offset_of!(Chunks, origins), WORDS, SLOTS];

/// Bytes of freed bits for each page.
const LINES: usize = WORDS * WORD;

/// Bytes of the chunk of a leaf.
const fn bytes_of(leaf: usize) -> usize {
    (pages_of(leaf).end - pages_of(leaf).start) * (LINES + LINK)
}

impl Chunks {
    /// The number of a slab's first page, if a chunk serves it.
    #[inline(always)]
    pub(crate) fn page_of(&self, slab: Slab) -> Option<u32> {
        let page = slab.start().wrapping_sub(self.base.get()) >> PAGE_SHIFT;
        let served = page >> 31 == 0 && self.origins[leaf_of(page)].observe() != 0;
        served.then_some(page as u32)
    }

    /// The words of a slab that starts at `start`, if a chunk serves its first page.
    #[inline(always)]
    pub(crate) fn words_at(&self, start: usize) -> Option<Words> {
        let page = start.wrapping_sub(self.base.get()) >> PAGE_SHIFT;
        if page >> 31 != 0 {
            return None;
        }
        let origin = self.origins[leaf_of(page)].observe();
        (origin != 0).then(|| Words((origin - 1).wrapping_add(page * LINES)))
    }

    /// Address of a page's first byte.
    pub(crate) fn start_of(&self, page: u32) -> usize {
        self.base.get() + ((page as usize) << PAGE_SHIFT)
    }

    /// One of the words of freed bits of a page that a chunk [serves](Self::page_of).
    #[inline(always)]
    pub(crate) fn word(&self, page: u32, index: usize) -> &Freed {
        debug_assert!(index < WORDS);
        let origin = self.origins[leaf_of(page as usize)].get() - 1;
        let address = origin.wrapping_add((page as usize * WORDS + index % WORDS) * WORD);
        // SAFETY: a chunk has so many words for each of its pages, and stays.
        unsafe { &*core::ptr::with_exposed_provenance(address) }
    }

    /// The link of a page that a chunk [serves](Self::page_of).
    pub(crate) fn link(&self, page: u32) -> &Link {
        let leaf = leaf_of(page as usize);
        let origin = self.origins[leaf].get() - 1;
        let (first, end) = (pages_of(leaf).start, pages_of(leaf).end);
        let address = origin.wrapping_add(end * LINES + (page as usize - first) * LINK);
        // SAFETY: a chunk has a link for each of its pages, after its words, and stays.
        unsafe { &*core::ptr::with_exposed_provenance(address) }
    }

    /// Returns the memory of all chunks, while nothing is freed or in an inbox and no thread is on its way to a word: `discard`
    /// makes what it gets, an address and a length, read as zero.
    pub(crate) fn discard(&self, mut discard: impl FnMut(usize, usize)) {
        for (leaf, origin) in self.origins.iter().enumerate().filter(|(_, origin)| origin.get() != 0) {
            let start = (origin.get() - 1).wrapping_add(pages_of(leaf).start * LINES);
            discard(start, bytes_of(leaf));
        }
    }

    /// Makes sure that a chunk serves page number `page` of a heap whose first page is at `base`. `map` maps so many bytes of
    /// zeros.
    pub(crate) fn serve<E>(
        &self,
        base: usize,
        page: usize,
        map: impl FnOnce(usize) -> Result<usize, E>,
    ) -> Result<(), E> {
        let leaf = leaf_of(page);
        if self.origins[leaf].get() == 0 {
            let start = map(bytes_of(leaf))?;
            self.base.set(base);
            self.origins[leaf].publish(start.wrapping_sub(pages_of(leaf).start * LINES) | 1);
        }
        Ok(())
    }
}
