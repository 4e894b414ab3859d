//! A trace done again, by one thread, in the recorded order.

use super::steps::{self, Kind, Step};
use super::{FOLDER, file};
use crate::allocators::Entry;
use crate::kernel;
use crate::probe::Probe;
use crate::workloads::out_of_memory;
use std::path::Path;
use std::ptr::null_mut;

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
            let path = Path::new(FOLDER).join(name).with_extension("trace");
            // SAFETY: the mapping is fresh and has this size, and nobody else uses it before this process ends.
            match unsafe { read(&path, shared) } {
                Ok(()) => true,
                Err(message) => {
                    eprintln!("{}: {message}", path.display());
                    false
                }
            }
        });
        if !is_read {
            std::process::exit(1);
        }
        // SAFETY: the process that wrote the lengths and as many steps has ended.
        let (lengths, steps) = unsafe {
            let lengths = shared.cast::<Lengths>();
            (&*lengths, std::slice::from_raw_parts(lengths.add(1).cast::<Step>(), (*lengths).steps))
        };
        let replay = Self::of(steps, lengths.blocks);
        kernel::unshare(shared, ROOM);
        replay
    }

    /// A copy of `steps`, and a table of as many places.
    pub(super) fn of(steps: &[Step], places: usize) -> Self {
        Self { steps: kernel::table(steps.len(), |index| steps[index]), blocks: kernel::table(places, |_| null_mut()) }
    }

    /// The whole trace. Returns the number of operations.
    pub(crate) fn round<P: Probe>(&mut self, entry: &'static Entry, probe: &mut P) -> usize {
        for step in self.steps {
            let size = step.size as usize;
            // The boundary has no alignments and no zeroed blocks: an aligned request is one of that much more, and a
            // zeroed one is like any other. This is the place to call them by their own entries.
            let (asked, old) = (size + padding(step), step.old as usize + padding(step));
            let block = &mut self.blocks[step.place as usize];
            // SAFETY: no size is 0. `steps::walk` saw to it that a block which is resized or freed is live and has the
            // size that the step says; its place holds what the allocator answered for it.
            let fresh = unsafe {
                match step.kind {
                    Kind::Allocate | Kind::Zeroed | Kind::Aligned => (entry.allocate)(asked),
                    Kind::Resize => (entry.resize)(*block, old, asked),
                    Kind::Free => {
                        probe.gone(step.old as usize);
                        (entry.free)(*block, old);
                        continue;
                    }
                }
            };
            if fresh.is_null() {
                out_of_memory();
            }
            *block = fresh;
            if step.kind == Kind::Resize {
                probe.gone(step.old as usize);
            }
            // SAFETY: the block has at least `size` bytes, and that is 8 or more.
            unsafe { probe.fresh(fresh, 0, size) };
        }
        self.steps.len()
    }
}

/// What an aligned request costs more until the boundary knows alignments: as much as it can take to get there from a
/// payload that is aligned to 16 bytes.
#[inline(always)]
fn padding(step: &Step) -> usize {
    (1_usize << step.align) & !0b1_1111
}

/// Decodes the file at `path` into `shared`: the lengths, then the steps.
///
/// # Safety
///
/// `shared` may be written for `ROOM` bytes, is aligned to a page, and nobody else uses it meanwhile.
unsafe fn read(path: &Path, shared: *mut u8) -> Result<(), String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let (events, summary) = file::decode(&bytes)?;
    let lengths = Lengths { steps: summary.steps as usize, blocks: summary.peak_blocks as usize };
    if lengths.steps > (ROOM - size_of::<Lengths>()) / size_of::<Step>() {
        return Err("too many steps to replay".to_owned());
    }
    // SAFETY: the caller's promise; the steps fit, as was seen above, and `walk` makes as many as it says.
    unsafe {
        let mut next = shared.cast::<Lengths>().add(1).cast::<Step>();
        shared.cast::<Lengths>().write(lengths);
        steps::walk(&events, |step| {
            next.write(step);
            next = next.add(1);
        })?;
    }
    Ok(())
}
