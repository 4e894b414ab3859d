//! A break in a range of addresses that is reserved at its first use and given back whole: for heaps that come and go.
//!
//! ```text
//! start                       break       mapped                 end        room       limit
//!   +---------------------------+-----------+ - - - - - - - - - - -+ - - - - - +
//!   |        heap               |           |   inaccessible       | metadata  |
//!   +---------------------------+-----------+ - - - - - - - - - - -+ - - - - - +
//!    raised by mapping it anew, lowered by mapping it inaccessible; released by one munmap of all
//! ```
//!
//! Unlike an [`OwnBreak`](super::OwnBreak), which takes addresses as it takes memory, this one holds all of them from the
//! beginning. So there can be tens of thousands in a process, each is found and given back by one system call, and
//! nothing else can be mapped in between. The price is that `RLIMIT_AS` and `mlockall` count the addresses.

use super::mapped::of_mappings;
use super::memory::{self, Area};
use super::room::Room;
use super::{Brk, Refused, Source};
use core::cell::Cell;
use core::ops::Range;

/// Addresses that are reserved if the program does not say how many: ten thousand heaps use a third of 47 bits.
const USUAL: usize = if cfg!(target_pointer_width = "64") { 4 << 30 } else { 16 << 20 };
/// Fewer are not worth a reservation: the heap goes on in regions.
const LEAST: usize = 1 << 20;

/// A break in a range of addresses that the kernel chose, for a heap that is given back as a whole.
///
/// At its first use it reserves a range: half as much where that is refused, and so on down to a MiB. Where the range is used
/// up the heap goes on in regions, where a free takes some more instructions. Dropping the value returns nothing, because
/// blocks may still be in use: [`Brk::release`] returns all, which is what dropping a [`LocalHeap`](crate::LocalHeap) does.
///
/// ```
/// use hmalloc::{Heap, brk::Reserved};
///
/// let mut heap = Heap::new(Reserved::with_addresses(64 << 20));
/// let block = heap.allocate(core::alloc::Layout::new::<[u8; 100]>())?;
/// assert!(heap.usable_size(block.as_ptr()).is_ok_and(|bytes| bytes >= 100));
/// // SAFETY: no block is used any more.
/// unsafe { heap.release() };
/// assert_eq!(heap.stats().heap_bytes, 0);
/// # Ok::<(), hmalloc::OutOfMemory>(())
/// ```
#[derive(Debug)]
pub struct Reserved {
    /// Addresses to reserve, in bytes.
    wanted: usize,
    /// Where the range starts; 0 while there is none.
    start: Cell<usize>,
    /// Addresses in the range.
    bytes: Cell<usize>,
    /// Where the break stands.
    current: Cell<usize>,
    /// Where accessible memory ends: not below the break, and zero from the break's page on.
    mapped: Cell<usize>,
    /// For metadata, at the range's end.
    room: Cell<Room>,
}

impl Reserved {
    /// A break that will reserve 4 GiB of addresses, or 16 MiB where addresses have 32 bits.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_addresses(USUAL)
    }

    /// A break that will reserve `bytes` bytes of addresses, rounded up to a MiB. They are no limit: a larger heap goes on in
    /// regions. For a limit see [`Limited`](super::Limited).
    #[must_use]
    pub const fn with_addresses(bytes: usize) -> Self {
        let start = Cell::new(0);
        let (addresses, current, mapped, room) = (Cell::new(0), Cell::new(0), Cell::new(0), Cell::new(Room::NONE));
        Self { wanted: bytes, start, bytes: addresses, current, mapped, room }
    }

    /// The range, reserved now if there is none.
    fn begin(&self) -> Result<usize, Refused> {
        if self.start.get() == 0 {
            let Range { start, end } = reserve(self.wanted)?;
            self.start.set(start);
            self.bytes.set(end - start);
            self.current.set(start);
            self.mapped.set(start);
        }
        Ok(self.start.get())
    }

    /// The highest address that the break can reach.
    fn end(&self) -> usize {
        let room = self.room.get().range();
        if room.is_empty() { self.start.get() + self.bytes.get() } else { room.start }
    }

    fn raise(&self, to: usize) -> Result<(), Refused> {
        let (mapped, end) = (self.mapped.get(), to.checked_next_multiple_of(self.page_size()).ok_or(Refused)?);
        if end > self.end() {
            return Err(Refused);
        }
        if end > mapped {
            // SAFETY: in the range, and inaccessible until now: nothing is there.
            unsafe { memory::open(mapped, end - mapped) }?;
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
            // SAFETY: in the range, and by the caller's promise not in use.
            unsafe { memory::seal(end, mapped - end, Area::Mapping) }?;
            self.mapped.set(end);
        }
        Ok(())
    }

    fn is_inside(&self, address: usize) -> bool {
        address.wrapping_sub(self.start.get()) < self.bytes.get()
    }
}

/// Reserves addresses: `wanted` bytes, or fewer if that is refused.
fn reserve(wanted: usize) -> Result<Range<usize>, Refused> {
    let mut bytes = wanted.max(LEAST).checked_next_multiple_of(LEAST).ok_or(Refused)?;
    loop {
        match memory::reserve(bytes) {
            Ok(start) => return Ok(start..start + bytes),
            Err(Refused) if bytes / 2 >= LEAST => bytes = (bytes / 2).next_multiple_of(LEAST),
            Err(Refused) => return Err(Refused),
        }
    }
}

impl Default for Reserved {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: the range is this value's alone, from one mapping that nothing else was at. What is raised or mapped in it is
// mapped anew before it is used, and fresh mappings are zero. What a failed system call was to change is as it was.
unsafe impl Brk for Reserved {
    fn query(&self) -> Result<usize, Refused> {
        self.begin()?;
        Ok(self.current.get())
    }

    unsafe fn move_break(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        let start = self.begin()?;
        if self.current.get() != from || to < start {
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
        let start = self.begin()?;
        if self.room.get().range().is_empty() {
            let bytes = self.bytes.get();
            self.room.set(Room::below(start + bytes, bytes, self.mapped.get(), self.page_size())?);
        }
        Ok(self.room.get().range())
    }

    fn map_at(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        let mut room = self.room.get();
        room.map(start, bytes, self.page_size())?;
        // SAFETY: in the room, which is this value's, and not mapped until now.
        unsafe { memory::open(start, bytes) }?;
        self.room.set(room);
        Ok(())
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        if !self.is_inside(start) {
            // SAFETY: the caller's promise.
            return unsafe { memory::unmap(start, bytes) };
        }
        let mut room = self.room.get();
        room.unmap(start, bytes)?;
        // SAFETY: the caller's promise.
        unsafe { memory::seal(start, bytes, Area::Mapping) }?;
        self.room.set(room);
        Ok(())
    }

    unsafe fn release(&mut self) -> Result<(), Refused> {
        if self.start.get() != 0 {
            // SAFETY: the whole range is this value's, and by the caller's promise nothing in it is used.
            unsafe { memory::unmap(self.start.get(), self.bytes.get()) }?;
            *self = Self::with_addresses(self.wanted);
        }
        Ok(())
    }

    of_mappings! {}

    fn source(&self) -> Source {
        Source::Reserved
    }
}
