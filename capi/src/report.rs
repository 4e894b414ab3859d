//! The heap in one line.

use crate::line::say;
use crate::shared::HEAP;
use core::ffi::c_int;
use core::fmt;
use hmalloc::brk::Source;
use hmalloc::{Corruption, Stats};
use syscalls::{Errno, Sysno, syscall};

/// The heap's numbers, and whether it is sound.
struct Summary {
    process: usize,
    stats: Stats,
    check: Result<(), Corruption>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stats { live_blocks, live_bytes, free_bytes, metadata_bytes, heap_bytes, peak_heap_bytes, .. } = self.stats;
        let Stats { foreign_bytes, mapped_bytes, brk_calls, map_calls, source, .. } = self.stats;
        write!(f, "process {}: {live_blocks} blocks in use, {live_bytes} bytes; ", self.process)?;
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

/// Checks the whole heap.
pub(crate) fn check() -> Result<(), Corruption> {
    HEAP.check()
}

/// Writes the summary to `descriptor`. The numbers of a corrupt heap are all 0.
pub(crate) fn print(descriptor: c_int) -> Result<(), Errno> {
    // SAFETY: no arguments, no effects.
    let process = unsafe { syscall!(Sysno::getpid) }.unwrap_or(0);
    let (check, stats) = HEAP.with(|heap| {
        let check = heap.check();
        // Counting would follow links that cannot be trusted.
        let stats = if check.is_ok() { heap.stats() } else { Stats::default() };
        (check, stats)
    });
    say(descriptor, format_args!("{}", Summary { process, stats, check }))
}
