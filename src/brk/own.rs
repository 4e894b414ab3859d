//! A break of the heap's own, in addresses where nothing else grows.
//!
//! ```text
//! program break                              start              break   mapped to              the stack, mappings
//!       | - - - - - - - 16 GiB - - - - - - - - |      heap        |        |                            |
//!       +                                      +------------------+--------+ - - - - - nobody's - - - - +
//!                                                raised by mmap right behind, lowered by munmap
//! ```
//!
//! A libc's break grows upwards from below, and the kernel places mappings downwards from above: there are tens of TiB
//! between them, and that is where the range begins. It takes addresses as it takes memory, no sooner. One that
//! reserved a TiB ahead would keep every other mapping away, too; but a program that then sets a limit on its own
//! address space (`RLIMIT_AS`) could not map another byte, nor start a thread, and `mlockall` would count all of it.
//!
//! What lies in the way all the same stops the range there: the kernel is told to replace nothing, a raise is refused,
//! and the heap goes on in regions.

use super::memory::{self, Area};
use super::{Brk, Refused, Source};
use core::cell::Cell;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

/// Whether there are addresses in plenty.
const WIDE: bool = cfg!(target_pointer_width = "64");
/// How far above the program break ranges begin, for that to have room.
const ABOVE_BREAK: u64 = if WIDE { 16 << 30 } else { 256 << 20 };
/// From one range of a process to the next, at best, and where the machine has fewer addresses.
const APART: [u64; 2] = if WIDE { [1 << 40, 16 << 30] } else { [512 << 20, 128 << 20] };
/// Places that are tried for a range, at each distance. A range that a heap has left behind still has its place.
const PLACES: usize = 32;
/// Ranges start at a multiple of this: of what huge pages cover, and of so much that a program break that has grown
/// meanwhile leads another copy of this library to the same places, where it finds those that are taken.
const ROUND: u64 = if WIDE { 1 << 30 } else { 2 << 20 };
/// What is mapped at first, untouched: enough for the heap's first step.
const FIRST: usize = 512 << 10;

/// Ranges that were begun in this process.
static RANGES: AtomicUsize = AtomicUsize::new(0);

/// A break of the heap's own, for programs in which others use the program break: every program with a libc.
///
/// At its first use it finds a range of addresses where nothing else grows, and raises and lowers its break there.
/// There is room for forty of them in a process where addresses have 47 bits; the heaps of others live in regions.
/// Dropping one returns nothing.
#[derive(Debug, Default)]
pub struct OwnBreak {
    /// Where the range starts; 0 before it exists.
    start: Cell<usize>,
    /// Where the break stands.
    current: Cell<usize>,
    /// Where accessible memory ends: not below the break, and zero from the break's page on.
    mapped: Cell<usize>,
}

impl OwnBreak {
    /// A break whose range is found when it is first asked for.
    pub const fn new() -> Self {
        Self { start: Cell::new(0), current: Cell::new(0), mapped: Cell::new(0) }
    }

    fn begin(&self) -> Result<(), Refused> {
        if self.start.get() == 0 {
            let start = find_range()?;
            self.start.set(start);
            self.current.set(start);
            self.mapped.set(start + FIRST);
        }
        Ok(())
    }

    fn raise(&self, to: usize) -> Result<(), Refused> {
        let (mapped, end) = (self.mapped.get(), to.checked_next_multiple_of(self.page_size()).ok_or(Refused)?);
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
fn find_range() -> Result<usize, Refused> {
    let above = memory::program_break().unwrap_or(0) as u64 + ABOVE_BREAK;
    for apart in APART {
        for _ in 0..PLACES {
            let place = above + apart * (RANGES.fetch_add(1, Relaxed) % PLACES) as u64;
            let Ok(start) = usize::try_from(place.next_multiple_of(ROUND)) else { continue };
            if memory::map_exactly(start, FIRST).is_ok() {
                return Ok(start);
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

    fn map(&mut self, bytes: usize) -> Result<usize, Refused> {
        memory::map(bytes)
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { memory::unmap(start, bytes) }
    }

    unsafe fn discard(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { memory::discard(start, bytes, Area::Mapping) }
    }

    unsafe fn seal(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { memory::seal(start, bytes, Area::Mapping) }
    }

    fn expect_use(&mut self, start: usize, bytes: usize) {
        memory::expect_use(start, bytes);
    }

    fn is_locked(&mut self, start: usize) -> bool {
        memory::is_locked(start, self.page_size())
    }

    fn now(&self) -> Option<u64> {
        crate::tasks::milliseconds()
    }

    fn page_size(&self) -> usize {
        super::page_size::page_size()
    }

    fn source(&self) -> Source {
        Source::OwnBreak
    }
}
