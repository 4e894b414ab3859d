//! A trace done again, by one thread, in the recorded order.

use crate::allocators::block::Block;
use crate::allocators::candidate::Entry;
use crate::base::kernel;
use crate::base::probe::Probe;
use crate::trace::steps::{self, Kind, Step};
use crate::trace::{event, file};
use anyhow::{Result, ensure};
use std::path::Path;
use std::ptr::{NonNull, null_mut};

/// Address space for the steps while they are prepared.
const ROOM: usize = 1 << 30;

/// What stands before the steps in there.
#[repr(C, align(16))]
struct Lengths {
    steps: usize,
    blocks: usize,
}

/// A trace that is ready: its steps and its table lie in memory of their own, every page of it resident.
pub(crate) struct Replay {
    steps: &'static [Step],
    /// By place: the live block there.
    blocks: &'static mut [*mut u8],
}

impl Replay {
    /// For the workloads that are no trace.
    pub(crate) fn none() -> Self {
        Self { steps: &[], blocks: &mut [] }
    }

    /// The shipped trace `name`. Reading it takes memory from the C library, which is one of the allocators compared: so
    /// a process apart reads it, and its heap ends with it.
    pub(crate) fn load(name: &str) -> Self {
        let shared = kernel::share(ROOM);
        let is_read = kernel::apart(|| {
            let path = event::path(name);
            // SAFETY: the mapping is fresh and has this size, and nothing else uses it before this process ends.
            let read = unsafe { read(&path, shared) };
            read.inspect_err(|error| eprintln!("{}: {error}", path.display())).is_ok()
        });
        if !is_read {
            std::process::exit(1);
        }
        // SAFETY: the process that wrote the lengths and as many steps has ended.
        let (lengths, steps) = unsafe {
            let lengths = shared.cast::<Lengths>().as_ptr();
            (&*lengths, std::slice::from_raw_parts(lengths.add(1).cast::<Step>(), (*lengths).steps))
        };
        let replay = Self::of(steps, lengths.blocks);
        kernel::unshare(shared, ROOM);
        replay
    }

    /// A copy of `steps`, and a table of as many places.
    fn of(steps: &[Step], places: usize) -> Self {
        Self { steps: kernel::table(steps.len(), |index| steps[index]), blocks: kernel::table(places, |_| null_mut()) }
    }

    /// The whole trace. Returns the number of operations.
    pub(crate) fn round<P: Probe>(&mut self, entry: &'static Entry, probe: &mut P) -> usize {
        for step in self.steps {
            let (size, old, align) = (step.size as usize, step.old as usize, 1 << step.align);
            let block = &mut self.blocks[step.place as usize];
            probe.gone(old);
            // SAFETY: no size is 0. `steps::walk` saw to it that a block which is resized or freed is live, and has the
            // size and alignment of the step; its place holds what the allocator answered for it.
            let fresh = unsafe {
                match step.kind {
                    Kind::Allocate => (entry.allocate)(size),
                    Kind::Zeroed => (entry.allocate_zeroed)(size),
                    Kind::Aligned => (entry.allocate_aligned)(size, align),
                    Kind::Resize => (entry.resize)(*block, old, size),
                    Kind::ResizeAligned => resize_aligned(entry, *block, old, align, size),
                    Kind::Free => {
                        (entry.free)(*block, old);
                        continue;
                    }
                    Kind::FreeAligned => {
                        (entry.free_aligned)(*block, old, align);
                        continue;
                    }
                }
            };
            *block = Block::of(fresh, size).payload;
            // SAFETY: the block has `size` bytes, and that is 8 or more.
            unsafe { probe.fresh(fresh, 0, size) };
        }
        self.steps.len()
    }
}

/// What a C library's `realloc` may do with an aligned block: the answer is aligned as usual. The boundary resizes none.
///
/// # Safety
///
/// `payload` is a live block of `old` bytes that was asked for with `align`, and `size` is not 0.
unsafe fn resize_aligned(entry: &Entry, payload: *mut u8, old: usize, align: usize, size: usize) -> *mut u8 {
    // SAFETY: the caller's promises; both blocks have as many bytes as are copied. Those of the boundary's `empty`
    // overlap, which `copy_from` allows. The old block is used no more after its free.
    unsafe {
        let fresh = (entry.allocate)(size);
        if !fresh.is_null() {
            fresh.copy_from(payload, old.min(size));
            (entry.free_aligned)(payload, old, align);
        }
        fresh
    }
}

/// Decodes the file at `path` into `shared`: the lengths, then the steps.
///
/// # Safety
///
/// `shared` may be written for `ROOM` bytes, is aligned to a page, and nothing else uses it meanwhile.
unsafe fn read(path: &Path, shared: NonNull<u8>) -> Result<()> {
    let (events, summary) = file::decode(&std::fs::read(path)?)?;
    let lengths = Lengths { steps: summary.steps as usize, blocks: summary.peak_blocks as usize };
    let most = (ROOM - size_of::<Lengths>()) / size_of::<Step>();
    ensure!(lengths.steps <= most, "too many steps to replay");
    let start = shared.cast::<Lengths>();
    // SAFETY: the caller's promise; the steps fit, as was seen above, and `walk` makes as many as it says.
    unsafe {
        start.write(lengths);
        let mut next = start.add(1).cast::<Step>();
        steps::walk(&events, |step| {
            next.write(step);
            next = next.add(1);
        })?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
