//! A break of the heap's own: a range of addresses that nobody else moves.
//!
//! ```text
//! reserved      start                  break                                                  end
//!                 |       heap           |              inaccessible, costs nothing             |
//!                 +----------------------+------------------------------------------------------+
//!                                        ^ raised by mprotect, lowered by an inaccessible mapping
//!
//! tight         start                  break = end
//!                 |       heap           |              nobody's yet
//!                 +----------------------+ - - - - - - - - - - - - - - -
//!                                        ^ raised by mmap, lowered by munmap
//! ```
//!
//! Where addresses are plentiful one range is reserved at first use, a TiB or what is granted. Where they count (a
//! limit on the address space, 32 bits) none are held that are not in use: the range grows by mappings right behind it.

use super::{Brk, Refused, Source, memory};
use core::cell::Cell;

/// The most that is reserved.
const RESERVED_MAX: usize = if cfg!(target_pointer_width = "64") { (1u64 << 40) as usize } else { 0 };
/// The least that is worth reserving.
const RESERVED_MIN: usize = 1 << 30;
/// The range starts at a multiple of what one huge page covers.
const HUGE: usize = 2 << 20;
/// A range that grows by mappings starts so far above the program break, for that to have room.
const ABOVE_BREAK: usize = if cfg!(target_pointer_width = "64") { (16u64 << 30) as usize } else { 256 << 20 };

/// A break of the heap's own, for programs in which others use the program break: every program with a libc.
///
/// One range of addresses is reserved at its first use, and raised and lowered inside like the program break. There can
/// be any number of them in a process. Dropping one returns nothing.
///
/// What it costs: addresses, up to a TiB of them, which count where `RLIMIT_AS` is set afterwards, and for `mlockall`
/// under `RLIMIT_MEMLOCK`. If `RLIMIT_AS` is set before, and on 32-bit machines, none are reserved ahead of use.
#[derive(Debug, Default)]
pub struct OwnBreak {
    /// Where the range starts; 0 before it exists.
    start: Cell<usize>,
    /// Where the break stands.
    current: Cell<usize>,
    /// Where the range ends; 0 if it grows by mappings instead.
    end: Cell<usize>,
}

impl OwnBreak {
    /// A break whose range is reserved when it is first asked for.
    pub const fn new() -> Self {
        Self { start: Cell::new(0), current: Cell::new(0), end: Cell::new(0) }
    }

    fn begin(&self) -> Result<(), Refused> {
        if self.start.get() != 0 {
            return Ok(());
        }
        let (start, end) = reserve_range().map_or_else(|| (start_of_tight_range(), 0), |(start, end)| (start, end));
        self.start.set(start);
        self.current.set(start);
        self.end.set(end);
        Ok(())
    }

    /// The end of the kernel's page that `address` is in, or `address` at its start.
    fn page_end(&self, address: usize) -> Option<usize> {
        address.checked_next_multiple_of(self.page_size())
    }

    fn raise(&self, from: usize, to: usize) -> Result<(), Refused> {
        let (from, to) = (self.page_end(from).ok_or(Refused)?, self.page_end(to).ok_or(Refused)?);
        if from == to {
            return Ok(());
        }
        if self.end.get() == 0 {
            return memory::map_exactly(from, to - from);
        }
        if to > self.end.get() {
            return Err(Refused);
        }
        // SAFETY: the range is this value's, and nothing above the break is in use.
        unsafe { memory::make_accessible(from, to - from) }
    }

    /// # Safety
    ///
    /// Nothing between `to` and `from` is used again.
    unsafe fn lower(&self, from: usize, to: usize) -> Result<(), Refused> {
        let (from, to) = (self.page_end(from).ok_or(Refused)?, self.page_end(to).ok_or(Refused)?);
        if from == to {
            return Ok(());
        }
        if self.end.get() == 0 {
            // SAFETY: the range is this value's, and by the caller's promise not in use.
            return unsafe { memory::unmap(to, from - to) };
        }
        // SAFETY: as above.
        match unsafe { memory::vacate(to, from - to) } {
            Some(answer) => answer,
            None => {
                // The addresses above may be anybody's from now on.
                self.end.set(to);
                Ok(())
            }
        }
    }
}

/// A range of as many addresses as are granted, if they are plentiful.
fn reserve_range() -> Option<(usize, usize)> {
    if RESERVED_MAX == 0 || !memory::addresses_are_unlimited() {
        return None;
    }
    let mut bytes = RESERVED_MAX;
    while bytes >= RESERVED_MIN {
        if let Ok(start) = memory::reserve(bytes) {
            // What lies below the first multiple stays inaccessible: payload never borders on anybody else's memory.
            return Some(((start + 1).next_multiple_of(HUGE), start + bytes));
        }
        bytes /= 2;
    }
    None
}

/// Where a range that grows by mappings begins: above the program break, where nothing is usually mapped. If something
/// is there, the first raise is refused, and the heap goes on in regions.
fn start_of_tight_range() -> usize {
    let above = memory::program_break().unwrap_or(0).saturating_add(ABOVE_BREAK).next_multiple_of(HUGE);
    let probe = memory::map_near(above, HUGE);
    if let Ok(mapped) = probe {
        // SAFETY: mapped right now, for its address only.
        let _ = unsafe { memory::unmap(mapped, HUGE) };
    }
    probe.unwrap_or(above)
}

// SAFETY: the range is this value's alone: nobody else is given an address in it. The kernel's pages in it are zero when
// they become accessible: fresh ones, and those that were lowered over, which were replaced. Every failure of a system
// call leaves the range as it was, or without what it lost.
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
            self.raise(from, to)?;
        } else {
            // SAFETY: the caller's promise.
            unsafe { self.lower(from, to) }?;
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
        unsafe { memory::discard(start, bytes) }
    }

    unsafe fn seal(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { memory::seal(start, bytes) }
    }

    fn expect_use(&mut self, start: usize, bytes: usize) {
        memory::expect_use(start, bytes);
    }

    fn page_size(&self) -> usize {
        super::page_size::page_size()
    }

    fn source(&self) -> Source {
        Source::OwnBreak
    }
}
