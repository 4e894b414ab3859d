//! Why memory is not going back: where the heap's free memory is, what lies above and below it, and what keeps it.
//!
//! | file | what it does |
//! |---|---|
//! | [`walk`] | the walk over the spans that counts |
//! | [`end`] | how far the break could be lowered, and what else a trim would return |
//! | [`words`] | the report in words |

mod end;
mod looker;
mod walk;
mod words;

use crate::door::block::Block;
use crate::ground::size_class::CLASSES;
use crate::look::blocks::SpanKind;
use crate::look::stats::Stats;
pub(crate) use walk::report;

/// So many free runs are described: the largest.
const RUNS: usize = 4;
/// So many tiers are described: those with the most bytes. The others are summed up.
const TIERS: usize = 8;

/// Where the memory of a heap is, and why it is not going back to the kernel. Bytes unless said otherwise.
///
/// Its fields are for programs, its `Display` for people: a few lines in words, with a table of size classes. It is made by
/// [`Hmalloc::report`](crate::Hmalloc::report) and [`Heap::report`](crate::Heap::report), and allocates nothing.
///
/// All memory from the kernel is in it once: `stats.heap_bytes` = `stats.live_bytes` + [`in_runs`](Self::in_runs) +
/// [`in_slabs`](Self::in_slabs) + `stats.metadata_bytes`.
///
/// ```
/// use core::alloc::Layout;
/// use hmalloc::{Heap, SpanKind, brk::Reserved};
///
/// let mut heap = Heap::new(Reserved::new());
/// let large = heap.allocate(Layout::new::<[u8; 600_000]>())?;
/// let last = heap.allocate(Layout::new::<[u8; 100_000]>())?;
/// // SAFETY: nothing uses the block any more.
/// unsafe { heap.free(large.as_ptr()) }.unwrap();
/// let report = heap.report();
/// // The block that is left keeps the end of the heap where it is.
/// assert_eq!(report.end_pin.unwrap().address, last.addr().get());
/// let run = report.runs().find(|run| run.address == large.addr().get()).unwrap();
/// assert_eq!(run.above.unwrap().kind, SpanKind::Large);
/// println!("{report}");
/// # Ok::<(), hmalloc::OutOfMemory>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The heap in numbers, at the same moment. What other threads have freed is free, also where the owner has not seen it yet.
    pub stats: Stats,
    /// Free runs: free stretches of whole pages of 16 KiB between slabs, large blocks and metadata. A count.
    pub run_count: usize,
    /// All bytes of free runs, of large blocks that another thread is moving, and of guarded blocks that were freed and are kept
    /// inaccessible.
    pub in_runs: usize,
    /// The part of `in_runs` that may hold kernel memory. Nothing of the rest does.
    pub runs_dirty: usize,
    /// Free slots and tails of slabs.
    pub in_slabs: usize,
    /// How many bytes at the heap's end are free, or would be after a trim has retired empty slabs: by so many the break can be
    /// lowered.
    pub end_bytes: usize,
    /// What lies below those: the break cannot be lowered over it. `None` in a heap that was never used.
    pub end_pin: Option<Pin>,
    /// Regions: mappings that stand in for a break that cannot move. A count. Their bytes are `stats.mapped_bytes`.
    pub region_count: usize,
    /// The regions in which nothing is live. A count.
    pub idle_regions: usize,
    /// What a trim would give back now.
    pub trim: Trimmable,
    /// What is kept although it is free.
    pub kept: Kept,
    /// Tiers that own slabs. A count.
    pub tier_count: usize,
    runs: [Option<FreeRun>; RUNS],
    classes: [ClassShare; CLASSES],
    tiers: [TierShare; TIERS],
    other_tiers: TierShare,
}

/// A free run. See [`Report::runs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FreeRun {
    /// Address of its first byte.
    pub address: usize,
    /// Its length.
    pub bytes: usize,
    /// How many of its bytes may hold kernel memory.
    pub dirty_bytes: usize,
    /// What lies right below it.
    pub below: Option<Pin>,
    /// What lies right above it. `None` at the heap's end.
    pub above: Option<Pin>,
}

/// What lies at the border of free memory, and so keeps it where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pin {
    /// Address of its first byte.
    pub address: usize,
    /// Its length.
    pub bytes: usize,
    /// What it is used for.
    pub kind: SpanKind,
    /// Of a slab: the number of the tier that owns it, 0 for the one that is used in turns.
    pub tier: Option<usize>,
    /// The live block that is next to the free memory: the large block itself, or the nearest one in the slab.
    pub block: Option<Block>,
}

/// The slabs of a size class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ClassShare {
    /// Bytes in a slot.
    pub slot: usize,
    /// How many slabs there are.
    pub slabs: usize,
    /// Their bytes.
    pub bytes: usize,
    /// How many of their slots are live.
    pub live_blocks: usize,
    /// Free slots and tails.
    pub free_bytes: usize,
    /// The part of `free_bytes` in whole units of 4 KiB without a live block that may hold kernel memory.
    pub dirty_bytes: usize,
    /// The slabs in which nothing is live. A count.
    pub empty_slabs: usize,
    /// Their bytes.
    pub empty_bytes: usize,
}

/// The slabs of a tier: of the part of the heap that a thread has for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TierShare {
    /// Its number. 0 is the tier that is used in turns, for threads that have none.
    pub number: usize,
    /// Whose it is.
    pub owner: TierOwner,
    /// How many slabs it owns.
    pub slabs: usize,
    /// Their bytes.
    pub bytes: usize,
    /// How many of their slots are live.
    pub live_blocks: usize,
    /// Bytes of those.
    pub live_bytes: usize,
    /// Bytes of its slabs in which nothing is live.
    pub empty_bytes: usize,
    /// Slots that other threads have freed, and that the owner will find when it next needs some. A count.
    pub freed_by_others: usize,
}

/// Whose a tier is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum TierOwner {
    /// All threads without a tier, in turns.
    #[default]
    InTurns,
    /// The first thread that used the heap.
    FirstThread,
    /// The thread with this id.
    Thread(u32),
    /// A thread that has ended: the next thread may take the tier over.
    Ended(u32),
    /// No thread.
    Unowned,
}

/// What a [trim](crate::Hmalloc::trim) would give back now, if the kernel agrees. Metadata that is mapped aside and that serves
/// no page any more comes on top. With kernel pages of more than 16 KiB it can be less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Trimmable {
    /// By lowering the break. 0 if another user has raised it above the heap's end: then it cannot be lowered.
    pub by_break: usize,
    /// By unmapping regions in which nothing is live.
    pub by_regions: usize,
    /// By discarding other free runs and empty slabs: what may hold kernel memory of them.
    pub in_runs: usize,
    /// By discarding kernel pages inside slabs in which no block is live.
    pub in_slabs: usize,
}

impl Trimmable {
    /// All of it.
    ///
    /// ```
    /// # static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
    /// assert_eq!(HEAP.report().trim.bytes(), 0);
    /// ```
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.by_break + self.by_regions + self.in_runs + self.in_slabs
    }
}

/// What a heap keeps although it is free, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Kept {
    /// Bytes of free runs that may hold kernel memory, with the rest of a huge page at the end of what was used.
    pub dirty_bytes: usize,
    /// While `dirty_bytes` is no more than this, nothing is returned unasked: to need it again would cost page faults.
    pub mark: usize,
    /// Whether the heap is draining: each free returns some until much less than `mark` is left.
    pub draining: bool,
    /// How many of `dirty_bytes` the kernel refused to take. They are not tried again at once.
    pub refused_bytes: usize,
    /// Slabs without a live block, which the tiers keep for their next requests. A count.
    pub empty_slabs: usize,
    /// Their bytes.
    pub empty_bytes: usize,
    /// Whether the kernel was asked for huge pages of 2 MiB: what is returned in smaller pieces may come back with its neighbours.
    pub huge_pages: bool,
    /// Whether another user has raised the break above the heap's end, so that it cannot be lowered.
    pub raised_by_others: bool,
}

impl Report {
    /// The largest free runs, at most four, from large to small.
    ///
    /// ```
    /// # static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
    /// let block = HEAP.allocate(core::alloc::Layout::new::<u8>())?;
    /// let report = HEAP.report();
    /// assert!(report.runs().next().is_some_and(|run| run.bytes <= report.in_runs));
    /// # Ok::<(), hmalloc::OutOfMemory>(())
    /// ```
    pub fn runs(&self) -> impl Iterator<Item = &FreeRun> {
        self.runs.iter().flatten()
    }

    /// The size classes that have slabs, from small to large.
    ///
    /// ```
    /// # static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
    /// let block = HEAP.allocate(core::alloc::Layout::new::<[u8; 48]>())?;
    /// let report = HEAP.report();
    /// assert_eq!(report.classes().map(|class| class.live_blocks).sum::<usize>(), 1);
    /// # Ok::<(), hmalloc::OutOfMemory>(())
    /// ```
    pub fn classes(&self) -> impl Iterator<Item = &ClassShare> {
        self.classes.iter().filter(|class| class.slabs > 0)
    }

    /// The tiers that own the most bytes, at most eight, from large to small.
    ///
    /// ```
    /// # static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
    /// let block = HEAP.allocate(core::alloc::Layout::new::<[u8; 48]>())?;
    /// let report = HEAP.report();
    /// assert!(report.tiers().next().is_some_and(|tier| tier.live_blocks == 1));
    /// # Ok::<(), hmalloc::OutOfMemory>(())
    /// ```
    pub fn tiers(&self) -> impl Iterator<Item = &TierShare> {
        self.tiers.iter().filter(|tier| tier.slabs > 0)
    }

    /// The sum of all tiers that are not among [`tiers`](Self::tiers). Its number and owner say nothing.
    ///
    /// ```
    /// # static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
    /// assert_eq!(HEAP.report().other_tiers().slabs, 0);
    /// ```
    #[must_use]
    pub fn other_tiers(&self) -> &TierShare {
        &self.other_tiers
    }
}
