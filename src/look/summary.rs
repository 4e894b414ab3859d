//! The heap in one line, as it is written at exit.

use crate::kernel::brk::Source;
use crate::kernel::tasks;
use crate::look::check::Corruption;
use crate::look::stats::Stats;
use core::fmt;

/// The heap's numbers, and whether it is sound. `process N: ...`.
#[derive(Debug)]
pub struct Summary {
    /// The numbers of a corrupt heap are all 0, for to count would follow links that cannot be trusted.
    pub stats: Stats,
    /// What [`Heap::check`](crate::Heap::check) says.
    pub check: Result<(), Corruption>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stats { live_blocks, live_bytes, free_bytes, metadata_bytes, heap_bytes, peak_heap_bytes, .. } = self.stats;
        let Stats { foreign_bytes, mapped_bytes, brk_calls, map_calls, source, .. } = self.stats;
        write!(f, "process {}: {live_blocks} blocks in use, {live_bytes} bytes; ", tasks::process_id())?;
        write!(f, "{free_bytes} free, {metadata_bytes} metadata, {foreign_bytes} foreign; ")?;
        write!(f, "heap {heap_bytes}, {mapped_bytes} of it mapped, at most {peak_heap_bytes}; ")?;
        write!(f, "{brk_calls} brk calls, {map_calls} map calls; ")?;
        f.write_str(match source {
            Source::OwnBreak => "own break; ",
            _ => "",
        })?;
        match self.check {
            Ok(()) => f.write_str("sound"),
            Err(corruption) => write!(f, "corrupt: {corruption}"),
        }
    }
}
