//! What was seen of a heap while calls were made.

use crate::record::Record;

/// A heap over time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeline {
    /// What was run.
    pub title: String,
    /// The heap that is shown.
    pub heap: String,
    /// The record in numbers.
    pub totals: Totals,
    /// What the heap looked like, some hundred times, in the order of calls.
    pub frames: Vec<Frame>,
    /// Wrong pointers, the first of them.
    pub misuses: Vec<Misused>,
}

/// A record in numbers. All are exact, and independent of any heap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls that were made.
    pub calls: u64,
    /// Blocks that were asked for.
    pub blocks: u64,
    /// Bytes that were asked for.
    pub bytes: u64,
    /// The most blocks that were live at once.
    pub peak_blocks: u64,
    /// The most bytes, as they were asked for, that were live at once.
    pub peak_bytes: u64,
    /// Blocks that were live at the end.
    pub left_blocks: u64,
    /// Bytes of those, as they were asked for.
    pub left_bytes: u64,
    /// Threads that made calls.
    pub threads: u64,
    /// Frees of blocks from before the record.
    pub unseen: u64,
    /// Requests that were refused, in the program or here.
    pub refused: u64,
    /// Wrong pointers.
    pub misuses: u64,
}

/// A wrong pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misused {
    /// How many calls there were before it.
    pub call: u64,
    /// What was wrong.
    pub text: String,
}

/// The heap after so many calls. Bytes unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// How many calls were made.
    pub call: u64,
    /// Live blocks. A count.
    pub blocks: u64,
    /// What the program asked for in these.
    pub requested: u64,
    /// What these blocks have in slabs.
    pub live_small: u64,
    /// What they have in spans of their own.
    pub live_large: u64,
    /// Free slots and tails of slabs.
    pub free_small: u64,
    /// Free runs that may hold kernel memory.
    pub free_dirty: u64,
    /// Free runs that hold none.
    pub free_clean: u64,
    /// Headers and page map.
    pub metadata: u64,
    /// What a trim would give back.
    pub trim: u64,
    /// By how much the break was raised since the frame before.
    pub raised: u64,
    /// By how much it was lowered.
    pub lowered: u64,
    /// What was returned to the kernel in other ways: discarded or unmapped.
    pub returned: u64,
    /// Size classes with slabs, from small to large.
    pub classes: Vec<Class>,
    /// The heap from its first byte to its last: stretches, and what each is.
    pub stretches: Vec<(Cell, u64)>,
    /// What lies below the free end of the heap, and how long that is.
    pub end: Option<(u64, Pin)>,
    /// The largest free runs.
    pub runs: Vec<Run>,
}

/// The blocks of a size class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Class {
    /// Bytes in a slot.
    pub slot: u64,
    /// Live blocks. A count.
    pub live: u64,
    /// Bytes of its slabs.
    pub bytes: u64,
}

/// A free run, and its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Bytes from the heap's start.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    /// What lies below.
    pub below: Option<Pin>,
    /// What lies above.
    pub above: Option<Pin>,
}

/// What lies at the border of free memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// What it is.
    pub kind: PinKind,
    /// Bytes from the heap's start.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    /// Of a slab: bytes in a slot, live slots and all slots.
    pub slots: [u64; 3],
}

/// What can lie at the border of free memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinKind {
    /// A slab.
    Slab,
    /// One block.
    Block,
    /// Headers and page map.
    Metadata,
    /// Memory of another user of the break.
    Foreign,
}

/// What a stretch of the heap is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// Free.
    Free,
    /// A slab, of which so many tenths are live: 10 if it is full.
    Slab(u8),
    /// A block of its own.
    Block,
    /// Headers and page map.
    Metadata,
    /// Of another user of the break.
    Foreign,
}

impl Frame {
    /// All bytes from the kernel.
    ///
    /// ```
    /// use hmalloc_timeline::timeline::Frame;
    /// assert_eq!(Frame { live_small: 1, free_dirty: 2, metadata: 4, ..Frame::default() }.heap(), 7);
    /// ```
    #[must_use]
    pub fn heap(&self) -> u64 {
        let live = self.live_small + self.live_large;
        live + self.free_small + self.free_dirty + self.free_clean + self.metadata
    }
}

/// Counts a record while its calls are made.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) totals: Totals,
    blocks: u64,
    bytes: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, size: u64) {
        self.totals.blocks += 1;
        self.blocks += 1;
        self.grow(0, size);
    }

    pub(crate) fn grow(&mut self, old: u64, new: u64) {
        self.totals.bytes += new.saturating_sub(old);
        self.bytes = self.bytes + new - old;
        self.totals.peak_blocks = self.totals.peak_blocks.max(self.blocks);
        self.totals.peak_bytes = self.totals.peak_bytes.max(self.bytes);
    }

    pub(crate) fn remove(&mut self, size: u64) {
        self.blocks -= 1;
        self.bytes -= size;
    }

    /// Live blocks, and their bytes as they were asked for.
    pub(crate) fn live(&self) -> (u64, u64) {
        (self.blocks, self.bytes)
    }

    pub(crate) fn end(mut self) -> Totals {
        (self.totals.left_blocks, self.totals.left_bytes) = (self.blocks, self.bytes);
        self.totals
    }
}

/// After which calls of a record to look at a heap: at most `frames`, evenly, among them the last one; and where the most is live.
pub(crate) fn looks(record: &Record, frames: usize) -> impl Fn(usize) -> bool {
    let (calls, peak) = (record.calls.len(), record.peak());
    let frames = frames.clamp(1, calls.max(1));
    move |made: usize| made == calls || made == peak || made * frames / calls != (made - 1) * frames / calls
}
