//! A break of the heap's own, in addresses where nothing else grows.
//!
//! ```text
//! program break              start         break   mapped to         end         the next range, the stack, mappings
//!       | - - - - 16 GiB - - - |     heap    |        |               | gap  room |                |
//!       +                      +-------------+--------+ - - - - - - - + - - -+====+ - - - - - - - -+
//!                               raised by mmap right after it,            metadata
//!                               lowered by munmap
//! ```
//!
//! A libc's break grows upwards from below, and the kernel places mappings downwards from above: there are tens of TiB
//! between them, and that is where the range begins. It takes addresses as it takes memory, no sooner. One that
//! reserved a TiB ahead would keep every other mapping away, too; but a program that then sets a limit on its own
//! address space (`RLIMIT_AS`) could not map another byte, nor start a thread, and `mlockall` would count all of it.
//!
//! Where something lies in the way all the same, the range ends: the kernel is told to replace nothing, a raise is
//! refused, and the heap goes on in regions. So it does at the end of its range, the last part of which is the room for
//! metadata.

use super::mapped::of_mappings;
use super::memory::{self, Area};
use super::{Brk, Refused, Source};
use core::cell::Cell;
use core::ops::Range;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

/// Whether there are addresses in plenty.
const WIDE: bool = cfg!(target_pointer_width = "64");
/// How far above the program break ranges begin, for that to have room.
const ABOVE_BREAK: u64 = if WIDE { 16 << 30 } else { 256 << 20 };
/// From one range of a process to the next, at best, and where the machine has fewer addresses.
const APART: [u64; 2] = if WIDE { [1 << 40, 16 << 30] } else { [512 << 20, 128 << 20] };
/// Starts that are tried for a range, at each distance. A range that a dropped heap has left behind still has its own.
const STARTS: usize = 32;
/// Ranges start at a multiple of this: of what huge pages cover, and of so much that another copy of this library,
/// which may find the program break a little higher, tries the same starts, and finds which are taken.
const ROUND: u64 = if WIDE { 1 << 30 } else { 2 << 20 };
/// The part of a range that is the room for metadata: enough for a heap in all the rest.
const ROOM_FRACTION: usize = 64;
/// Addresses between the break at its highest and the room, in which nothing is mapped.
const GAP: usize = 1 << 20;
/// How many ranges above the program break the room for a heap on it lies, at best.
const FAR: usize = if WIDE { STARTS } else { 3 };
const _: () = assert!(super::HEAP_PAGE / ROOM_FRACTION >= super::ROOM_PER_PAGE, "for each page of the heap");
/// What is mapped at first, untouched: enough for the heap's first step.
const FIRST: usize = 512 << 10;

/// Ranges that were begun in this process.
static RANGES: AtomicUsize = AtomicUsize::new(0);
/// Rooms that were looked for beside the program break.
static ROOMS: AtomicUsize = AtomicUsize::new(0);

/// A break of the heap's own, for programs in which others use the program break: every program with a libc.
///
/// At its first use it finds a range of addresses where nothing else grows, and raises and lowers its break there.
/// There is room for forty of them in a process where addresses have 47 bits; the heaps of others live in regions.
/// Dropping one returns nothing.
#[derive(Debug, Default)]
pub struct OwnBreak {
    /// Where the range starts; 0 before it exists.
    start: Cell<usize>,
    /// Where the next one would start, counted from there.
    apart: Cell<usize>,
    /// The highest address that the break can reach.
    end: Cell<usize>,
    /// Where the break stands.
    current: Cell<usize>,
    /// Where accessible memory ends: not below the break, and zero from the break's page on.
    mapped: Cell<usize>,
}

impl OwnBreak {
    /// A break whose range is found when it is first asked for.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            start: Cell::new(0),
            apart: Cell::new(0),
            end: Cell::new(0),
            current: Cell::new(0),
            mapped: Cell::new(0),
        }
    }

    fn begin(&self) -> Result<(), Refused> {
        if self.start.get() == 0 {
            let Range { start, end } = find_range()?;
            self.start.set(start);
            self.apart.set(end - start);
            self.end.set(end - (end - start) / ROOM_FRACTION - GAP);
            self.current.set(start);
            self.mapped.set(start + FIRST);
        }
        Ok(())
    }

    fn raise(&self, to: usize) -> Result<(), Refused> {
        let (mapped, end) = (self.mapped.get(), to.checked_next_multiple_of(self.page_size()).ok_or(Refused)?);
        if end > self.end.get() {
            return Err(Refused);
        }
        if end > mapped {
            memory::map_exactly(mapped, end - mapped)?;
            self.mapped.set(end);
        }
        Ok(())
    }

    /// # Safety
    ///
    /// Nothing from `to` on is used again.
    unsafe fn lower(&self, to: usize) -> Result<(), Refused> {
        let (mapped, end) = (self.mapped.get(), to.checked_next_multiple_of(self.page_size()).ok_or(Refused)?);
        if end < mapped {
            // SAFETY: the range is this value's, and by the caller's promise not in use.
            unsafe { memory::unmap(end, mapped - end) }?;
            self.mapped.set(end);
        }
        Ok(())
    }
}

/// Maps the first bytes of a new range.
fn find_range() -> Result<Range<usize>, Refused> {
    find(|| (RANGES.fetch_add(1, Relaxed) % STARTS) as u64)
}

/// A room for metadata as far above the program break as there are addresses.
pub(super) fn find_room() -> Result<Range<usize>, Refused> {
    let Range { start, end } = find(|| (FAR - ROOMS.fetch_add(1, Relaxed) % FAR) as u64)?;
    // SAFETY: this was mapped right now, to see that nothing is there, and nothing uses it.
    unsafe { memory::unmap(start, FIRST) }?;
    Ok(start..start + (end - start) / 2)
}

/// Maps the first bytes of a range in which nothing was mapped yet, at one of the starts that `next` counts.
fn find(mut next: impl FnMut() -> u64) -> Result<Range<usize>, Refused> {
    let above = memory::program_break().unwrap_or(0) as u64 + ABOVE_BREAK;
    for apart in APART {
        for _ in 0..STARTS {
            let at = (above + apart * next()).next_multiple_of(ROUND);
            let (Ok(start), Ok(end)) = (usize::try_from(at), usize::try_from(at + apart)) else { continue };
            if memory::map_exactly(start, FIRST).is_ok() {
                return Ok(start..end);
            }
        }
    }
    Err(Refused)
}

// SAFETY: the range is this value's alone: each part of it was mapped where nothing else was, and what was returned is
// mapped anew before it is used. Fresh mappings are zero. What a failed system call was to change is as it was.
unsafe impl Brk for OwnBreak {
    fn query(&self) -> Result<usize, Refused> {
        self.begin()?;
        Ok(self.current.get())
    }

    unsafe fn move_break(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        self.begin()?;
        if self.current.get() != from || to < self.start.get() {
            return Err(Refused);
        }
        if to > from {
            self.raise(to)?;
        } else {
            // SAFETY: the caller's promise.
            unsafe { self.lower(to) }?;
        }
        self.current.set(to);
        Ok(())
    }

    fn room(&mut self) -> Result<Range<usize>, Refused> {
        self.begin()?;
        Ok(self.end.get() + GAP..self.start.get() + self.apart.get())
    }

    fn map_at(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        memory::map_exactly(start, bytes)
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { memory::unmap(start, bytes) }
    }

    of_mappings! {}

    fn source(&self) -> Source {
        Source::OwnBreak
    }
}
