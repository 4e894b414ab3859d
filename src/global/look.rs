//! Pictures of a heap that any number of threads use: drawn in turns, and written outside of them, so that what they are written
//! to may allocate.

use super::Hmalloc;
use crate::global::lock::Lock;
use crate::kernel::brk::Brk;
use crate::look::check::{Corruption, walkable};
use crate::look::histogram::Histogram;
use crate::look::map::{draw, write_map};
use crate::look::report::{self, Report};
use core::fmt;

/// A heap drawn by its `Display`: see [`Hmalloc::map`].
pub struct HeapMap<'a, L: Lock, B: Brk> {
    heap: &'a Hmalloc<L, B>,
}

impl<L: Lock, B: Brk> fmt::Debug for HeapMap<'_, L, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeapMap").finish_non_exhaustive()
    }
}

impl<L: Lock, B: Brk> fmt::Display for HeapMap<'_, L, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_map(f, |from, lines| self.heap.while_stopped(|heap| draw(&heap.spans, from, lines)))
    }
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// How large live blocks are, without those that signal handlers got while the heap was interrupted. Costs what
    /// [`stats`](Self::stats) does.
    #[must_use]
    pub fn histogram(&self) -> Histogram {
        self.while_stopped(|heap| heap.histogram())
    }

    /// Where the memory is, and why it is not going back to the kernel: `println!("{}", HEAP.report())`. [`Report`] says what is
    /// in it. Allocates nothing.
    ///
    /// Costs four walks over the spans and a look at the bits of each slab's slots, and other threads wait as for
    /// [`check`](Self::check). Their tiers keep their slabs, so that it is seen whose they are; `stats` and `trim` gather them.
    ///
    /// ```
    /// # static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
    /// let block = HEAP.allocate(core::alloc::Layout::new::<[u8; 100_000]>())?;
    /// let report = HEAP.report();
    /// assert_eq!(report.stats.free_bytes, report.in_runs + report.in_slabs);
    /// # Ok::<(), hmalloc::OutOfMemory>(())
    /// ```
    #[must_use]
    pub fn report(&self) -> Report {
        // SAFETY: all owners are stopped.
        let mut report = self.while_apart(|heap, world| unsafe { report::report(&heap.spans, &heap.tier, world) });
        report.stats = self.with_handlers(report.stats);
        report
    }

    /// The report, if the links from span to span can be followed.
    pub(crate) fn report_checked(&self) -> Result<Report, Corruption> {
        let mut report = self.while_apart(|heap, world| {
            walkable(&heap.spans)?;
            // SAFETY: all owners are stopped.
            Ok(unsafe { report::report(&heap.spans, &heap.tier, world) })
        })?;
        report.stats = self.with_handlers(report.stats);
        Ok(report)
    }

    /// The heap as a drawing, a line for each MiB: `println!("{}", HEAP.map())`. [`Heap::map`](crate::Heap::map) says what it
    /// shows. It is drawn in turns of 32 lines, each as long as a [`stats`](Self::stats); between them the heap may change, and
    /// the text is written, so that may allocate.
    ///
    /// ```
    /// # static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
    /// let block = HEAP.allocate(core::alloc::Layout::new::<[u8; 100_000]>())?;
    /// let map = HEAP.map().to_string();
    /// assert!(map.contains("[======"));
    /// # Ok::<(), hmalloc::OutOfMemory>(())
    /// ```
    #[must_use]
    pub fn map(&self) -> HeapMap<'_, L, B> {
        HeapMap { heap: self }
    }
}
