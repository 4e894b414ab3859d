//! Memory for what threads share: their tiers, and what they free of each other's.

use crate::central::raise::seal;
use crate::central::spans::Spans;
use crate::ground::header::Span;
use crate::ground::records::Records;
use crate::kernel::brk::{Brk, Refused};

impl<B: Brk> Spans<B> {
    /// Returns the memory of `bytes` bytes that [`map_for_threads`](Self::map_for_threads) has mapped at `start`, and keeps
    /// their addresses: they read as zero then, or stay as they are.
    ///
    /// # Safety
    ///
    /// Their content is not needed any more.
    pub(crate) unsafe fn discard_for_threads(&mut self, start: usize, bytes: usize) {
        let bytes = bytes.next_multiple_of(self.brk.page_size());
        // SAFETY: the caller's promise; the rest of the last kernel page is not used.
        let _ = unsafe { self.brk.discard(start, bytes) };
    }

    /// Maps `bytes` bytes of zeros, between two guards, that stay as long as the process. Returns their address.
    pub(crate) fn map_for_threads(&mut self, bytes: usize) -> Result<usize, Refused> {
        let kernel_page = self.brk.page_size();
        let inside = bytes.next_multiple_of(kernel_page);
        let start = self.brk.map(inside + 2 * kernel_page)?;
        let end = start + inside + kernel_page;
        for guard in [start..start + kernel_page, end..end + kernel_page] {
            // SAFETY: the mapping is new, and only what lies between the two is used.
            unsafe { seal(&mut self.brk, guard) };
        }
        self.counters.thread_bytes += inside + 2 * kernel_page;
        self.note_peak();
        Ok(start + kernel_page)
    }

    /// Makes sure that a span which is cut into slots, or becomes a block, has records, unless there is no memory for them, or
    /// it is in a region.
    #[cold]
    #[inline(never)]
    pub(crate) fn serve_records(&mut self, records: &Records, span: Span) {
        let Some(base) = self.map.base().filter(|base| (*base..self.map.end()).contains(&span.start())) else { return };
        records.serve(base, span.start(), |bytes| self.map_for_threads(bytes));
    }

    /// The same for all slabs that there are.
    #[cold]
    pub(crate) fn serve_records_of_all(&mut self, records: &Records) {
        self.visit_slabs(None, usize::MAX, |spans, slab| spans.serve_records(records, slab.span()));
    }

    /// Maps so many bytes of addresses without access, if there are any: whoever uses them is told by the processor.
    pub(crate) fn map_inaccessible(&mut self, bytes: usize) -> Option<usize> {
        let start = self.brk.map(bytes).ok()?;
        // SAFETY: the mapping is new, and not used.
        if unsafe { self.brk.seal(start, bytes) }.is_ok() {
            return Some(start);
        }
        // SAFETY: as above.
        let _ = unsafe { self.brk.unmap(start, bytes) };
        None
    }
}
