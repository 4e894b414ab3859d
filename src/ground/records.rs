//! The records of all blocks, away from the blocks: a table of chunks, each for 4 MiB of the heap.
//!
//! ```text
//! origins: one word for each 4 MiB      a chunk, mapped when the first slab or large block is made there
//! +-----+-----+-----+- - -+            +---------------------------+---------------------------+- - -+
//! |     |  *  |     |     |            | page: 1,024 records, 16 KiB | the next page             |     |
//! +-----+--|--+-----+- - -+            +---------------------------+---------------------------+- - -+
//!          '-------------------------->
//! ```
//!
//! A slab uses the records of its first page, one for each slot. Slot 0 has [a different one](turn_of) in each page, and a large
//! block has the one that slot 0 would have. Kernel memory is zero, which is a record that says nothing, so only what is used takes memory:
//! 16 bytes for each slot.
//!
//! With [callers](crate::Checks::callers), a chunk has an array of 8 bytes for each record behind its last one: where the block was
//! allocated and freed. Whoever has a record finds them by its place.
//!
//! What has no record is not checked: blocks in regions, those beyond the table's end, and where there was no memory for a
//! chunk.

use crate::ground::callers::Callers;
use crate::ground::header::{MAX_SLOTS, PAGE_SHIFT, Slab};
use crate::ground::record::Record;
use crate::ground::shared::SharedUsize;

/// log2 of the pages that a chunk serves.
const CHUNK_SHIFT: u32 = 8;
/// Bytes of a chunk.
const CHUNK_BYTES: usize = (MAX_SLOTS * size_of::<Record>()) << CHUNK_SHIFT;
/// Bytes of its callers, behind its records, if there are any.
const CALLERS_BYTES: usize = (MAX_SLOTS * size_of::<Callers>()) << CHUNK_SHIFT;
/// log2 of how many bytes the heap may have: a TiB, or all addresses.
const HEAP_SHIFT: u32 = if usize::BITS == 64 { 40 } else { 32 };
const CHUNKS: usize = 1 << (HEAP_SHIFT - PAGE_SHIFT - CHUNK_SHIFT);

/// What checked mode wants of those who make and end slabs.
pub(crate) trait Watch: Sync {
    /// The records of all blocks.
    fn records(&self) -> &Records;
    /// Looks at a slab that is about to be retired: what stands there now will not be known any more. The caller holds the
    /// central lock.
    fn retiring(&self, slab: Slab);
}

/// The table. All zeros: no chunk.
pub(crate) struct Records {
    /// Address of page 0 of the heap.
    base: SharedUsize,
    /// 1 if all chunks have callers. Set before there is a chunk.
    callers: SharedUsize,
    /// The address of each chunk, or 0.
    origins: [SharedUsize; CHUNKS],
}

impl core::fmt::Debug for Records {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Records").finish_non_exhaustive()
    }
}

impl Records {
    /// The record of slot number `number` of a slab, and that of the slot before it.
    #[inline(always)]
    pub(crate) fn with_before(&self, slab: Slab, number: usize) -> Option<(&Record, Option<&Record>)> {
        let (first, turn) = self.page_at(slab.start())?;
        // SAFETY: a page has so many records, and its chunk stays.
        let record = |number: usize| unsafe { &*first.add((turn + number) % MAX_SLOTS) };
        Some((record(number), (number > 0).then(|| record(number - 1))))
    }

    /// The record of slot number `number` of a slab.
    #[inline(always)]
    pub(crate) fn of(&self, slab: Slab, number: usize) -> Option<&Record> {
        self.at(slab.start(), number)
    }

    /// Record number `number` of the span that starts at `start`.
    #[inline(always)]
    pub(crate) fn at(&self, start: usize, number: usize) -> Option<&Record> {
        let (first, turn) = self.page_at(start)?;
        // SAFETY: a page has so many records, and its chunk stays.
        Some(unsafe { &*first.add((turn + number) % MAX_SLOTS) })
    }

    /// The records of the page at `start`, and which of them is number 0: see [`turn_of`].
    #[inline(always)]
    fn page_at(&self, start: usize) -> Option<(*const Record, usize)> {
        let page = start.wrapping_sub(self.base.get()) >> PAGE_SHIFT;
        let origin = self.origins.get(page >> CHUNK_SHIFT)?.observe();
        if origin == 0 {
            return None;
        }
        let first = origin + (page % (1 << CHUNK_SHIFT)) * MAX_SLOTS * size_of::<Record>();
        Some((core::ptr::with_exposed_provenance(first), turn_of(page)))
    }

    /// Makes sure that a chunk serves the page at `start` of a heap whose first page is at `base`, if there is memory for it.
    /// `map` maps so many bytes of zeros. For the holder of the central lock.
    pub(crate) fn serve<E>(&self, base: usize, start: usize, map: impl FnOnce(usize) -> Result<usize, E>) {
        let page = start.wrapping_sub(base) >> PAGE_SHIFT;
        let Some(origin) = self.origins.get(page >> CHUNK_SHIFT).filter(|origin| origin.get() == 0) else { return };
        let bytes = CHUNK_BYTES + if self.callers.get() == 0 { 0 } else { CALLERS_BYTES };
        if let Ok(chunk) = map(bytes) {
            self.base.set(base);
            origin.publish(chunk);
        }
    }

    /// Gives each chunk callers. There is none yet.
    pub(crate) fn begin_callers(&self) {
        self.callers.set(1);
    }

    /// The callers of the block with this record, in the heap near the address `near`, if they are noted.
    #[cold]
    #[inline(never)]
    pub(crate) fn callers(&self, near: usize, record: &Record) -> Option<&Callers> {
        if self.callers.get() == 0 {
            return None;
        }
        let record = core::ptr::from_ref(record).addr();
        let chunk = near.wrapping_sub(self.base.get()) >> PAGE_SHIFT >> CHUNK_SHIFT;
        // A slab that reaches into the next chunk has its records in the one where it begins.
        let origins = [chunk, chunk.wrapping_sub(1), chunk + 1].map(|chunk| self.origins.get(chunk));
        let mut origins = origins.into_iter().flatten().map(SharedUsize::observe);
        let origin = origins.find(|&origin| origin != 0 && (origin..origin + CHUNK_BYTES).contains(&record))?;
        let at = origin + CHUNK_BYTES + (record - origin) / size_of::<Record>() * size_of::<Callers>();
        // SAFETY: behind its records a chunk has callers for each, and stays.
        Some(unsafe { &*core::ptr::with_exposed_provenance(at) })
    }

    /// Forgets the first `count` records of the span at `start`: another kind of block is made there.
    pub(crate) fn forget(&self, start: usize, count: usize) {
        (0..count)
            .filter_map(|number| self.at(start, number))
            .filter(|record| !record.is_empty())
            .for_each(Record::forget);
    }
}

/// Which of a page's records is that of slot 0. The others follow, and go on at the page's first one. From page to page it moves by
/// 21 cache lines: else the first slots of all slabs would have their records in the same few lines of a processor's cache.
#[inline(always)]
fn turn_of(page: usize) -> usize {
    const LINE: usize = 64 / size_of::<Record>();
    page.wrapping_mul(21 * LINE) % MAX_SLOTS
}
