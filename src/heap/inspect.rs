//! Walks over a heap, and trimming it.

use super::Heap;
use crate::door::misuse::Misuse;
use crate::door::validate::{Live, admit, explain};
use crate::ground::corrupt::Corruption;
use crate::kernel::brk::Brk;
use crate::kernel::parts::RETURNS;
use crate::look::blocks::{Blocks, SpanInfos};
use crate::look::check;
use crate::look::histogram::Histogram;
use crate::look::map::Map;
use crate::look::report::{self, Report};
use crate::look::stats::Stats;
use crate::tier::Tier;

impl<B: Brk> Heap<B> {
    /// How many bytes the caller may use in the block at `payload`: at least what was asked for.
    ///
    /// # Errors
    ///
    /// The [`Misuse`], if no live block starts there.
    pub fn usable_size(&self, payload: *const u8) -> Result<usize, Misuse> {
        let live = admit(&self.spans.map, payload.addr());
        live.map(Live::bytes).ok_or_else(|| explain(self.spans.find_around(payload.addr()), payload.addr(), false))
    }

    /// Returns free memory to the kernel: lowers the break until at most `keep` bytes, rounded up to whole pages, are
    /// free below it; unmaps regions in which nothing is live; and discards other free spans, and kernel pages inside
    /// slabs in which no block is live. Returns how many bytes that was: all by which the break was lowered and all of
    /// unmapped regions, but of discarded memory only what may have held kernel memory. What the kernel refuses to take
    /// stays as it is. The cost grows with the number of spans.
    pub fn trim(&mut self, keep: usize) -> usize {
        // A break that was lowered below headers must be noticed before a header is read.
        self.spans.is_break_at_end();
        while let Some(span) = self.spans.give_up_held() {
            self.spans.free_span(span);
        }
        self.tier.retire_idle(&mut self.spans);
        let returned = self.spans.lower(keep) + self.spans.return_regions() + self.spans.return_aside();
        if !RETURNS {
            return returned;
        }
        returned + self.tier.return_inside(&mut self.spans) + self.spans.return_free_spans()
    }

    /// Returns all of the heap's memory to the kernel, whatever number of blocks is in it, and begins anew with the same source:
    /// the heap is empty then, and its counts are 0. Takes one system call with a source that
    /// [gives back all in one step](Brk::release), as [`Reserved`](crate::brk::Reserved) does, and one more for each region. What
    /// the kernel refuses to take back is lost, and so is what lies below memory over which another user raised the break.
    /// [`LocalHeap`](crate::LocalHeap) and [`SharedHeap`](crate::SharedHeap) do this when they are dropped.
    ///
    /// # Safety
    ///
    /// No block of the heap is used any more, nor freed. The heap is not one that an [`Hmalloc`](crate::Hmalloc) has lent.
    ///
    /// ```
    /// use hmalloc::{Heap, brk::Reserved};
    ///
    /// let mut heap = Heap::new(Reserved::new());
    /// for size in 0..1000 {
    ///     heap.allocate(core::alloc::Layout::from_size_align(size, 1).unwrap())?;
    /// }
    /// // SAFETY: the blocks were never used.
    /// unsafe { heap.release() };
    /// assert_eq!((heap.stats().live_blocks, heap.stats().heap_bytes), (0, 0));
    /// # Ok::<(), hmalloc::OutOfMemory>(())
    /// ```
    pub unsafe fn release(&mut self) {
        // SAFETY: the caller's promise.
        unsafe { self.spans.give_all_back() };
        self.tier = Tier::new();
        self.slack_kept = false;
    }

    /// All blocks, used or not, in address order, without gaps within the heap or a region. Allocates nothing.
    ///
    /// ```
    /// # use hmalloc::{BlockState, Heap, brk::Reserved};
    /// let mut heap = Heap::new(Reserved::new());
    /// let block = heap.allocate(core::alloc::Layout::new::<u64>())?;
    /// let mut used = heap.blocks().filter(|block| block.state == BlockState::Used);
    /// assert_eq!(used.next().map(|used| (used.address, used.size)), Some((block.addr().get(), 16)));
    /// assert!(used.next().is_none());
    /// # Ok::<(), hmalloc::OutOfMemory>(())
    /// ```
    #[must_use]
    pub fn blocks(&self) -> Blocks<'_> {
        Blocks::new(self.spans.first)
    }

    /// The spans of the heap in address order. Allocates nothing.
    ///
    /// ```
    /// # use hmalloc::{Heap, PAGE, SpanKind, brk::Reserved};
    /// let mut heap = Heap::new(Reserved::new());
    /// heap.allocate(core::alloc::Layout::new::<[u8; 60_000]>())?;
    /// let large = heap.spans().find(|span| span.kind == SpanKind::Large).unwrap();
    /// assert_eq!(large.bytes, 4 * PAGE);
    /// # Ok::<(), hmalloc::OutOfMemory>(())
    /// ```
    #[must_use]
    pub fn spans(&self) -> SpanInfos<'_> {
        SpanInfos::new(self.spans.first)
    }

    /// Walks the whole heap and checks every invariant. Allocates nothing.
    ///
    /// # Errors
    ///
    /// The first [`Corruption`] found.
    ///
    /// ```
    /// # use hmalloc::{Heap, brk::Reserved};
    /// let mut heap = Heap::new(Reserved::new());
    /// heap.allocate(core::alloc::Layout::new::<u64>())?;
    /// assert_eq!(heap.check(), Ok(()));
    /// # Ok::<(), hmalloc::OutOfMemory>(())
    /// ```
    pub fn check(&self) -> Result<(), Corruption> {
        check::check(&self.spans, &self.tier)
    }

    /// Counts what is in the heap, by a walk over its spans, of which each is 16 KiB or more. Allocates nothing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::of(&self.spans, self.spans())
    }

    /// Where the memory is, and why it is not going back: see [`Report`]. Allocates nothing; costs four walks over the spans, and a
    /// look at the bits of each slab's slots.
    ///
    /// ```
    /// # use hmalloc::{Heap, brk::Reserved};
    /// let mut heap = Heap::new(Reserved::new());
    /// heap.allocate(core::alloc::Layout::new::<u64>())?;
    /// let report = heap.report();
    /// assert_eq!(report.stats, heap.stats());
    /// assert!(report.to_string().contains("in 1 live block,"));
    /// # Ok::<(), hmalloc::OutOfMemory>(())
    /// ```
    #[must_use]
    pub fn report(&self) -> Report {
        // SAFETY: there are no owners but the one of this heap.
        unsafe { report::report(&self.spans, &self.tier, None) }
    }

    /// How large live blocks are. Allocates nothing; costs what [`stats`](Self::stats) does.
    #[must_use]
    pub fn histogram(&self) -> Histogram {
        Histogram::of(self.spans())
    }

    /// The heap as a drawing, by its `Display`: a character for each page of 16 KiB, and a line for each MiB, with its address.
    /// Allocates nothing.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hmalloc::{Heap, brk::Reserved};
    ///
    /// let mut heap = Heap::new(Reserved::new());
    /// heap.allocate(Layout::new::<u64>())?;
    /// heap.allocate(Layout::new::<[u8; 60_000]>())?;
    /// // 0x7f1c40000000  m0[===..........................
    /// let line = heap.map().to_string().lines().nth(1).unwrap().to_owned();
    /// assert!(line.contains("  m0[===."));
    /// # Ok::<(), hmalloc::OutOfMemory>(())
    /// ```
    #[must_use]
    pub fn map(&self) -> Map<'_, B> {
        Map { spans: &self.spans }
    }

    /// The source of the heap's memory.
    #[must_use]
    pub fn brk(&self) -> &B {
        &self.spans.brk
    }

    /// The source of the heap's memory. To raise its break, or to inject faults into an emulated one, is allowed at any
    /// time: other users may do the same to a heap. If the source is replaced by another, the heap's memory stays where
    /// it is, and the heap grows by the new one; if that has a lower break, it counts as lowered by another user.
    pub fn brk_mut(&mut self) -> &mut B {
        &mut self.spans.brk
    }
}
