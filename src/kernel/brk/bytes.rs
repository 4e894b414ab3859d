//! A source over bytes of the program's own, in a static or anywhere, without any kernel.

use super::room::Room;
use super::{Brk, Refused};
use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;
use core::ops::Range;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;

/// What stands for a page: nothing smaller is known to be zero.
const PAGE: usize = 4096;

/// `N` bytes for one heap, in a static.
///
/// Metadata takes 16 KiB, up to 12 KiB are lost where the arena does not start at a page of the heap's, and each size class in
/// use takes 16 KiB or more. So 64 KiB are the least that is sensible: 128 blocks of 100 bytes, or 16 of 1,000; 128 KiB hold 64
/// or more of these, and a MiB 850 or more. Below 32 KiB nothing can be allocated.
///
/// ```
/// use hmalloc::brk::{Arena, Bytes};
/// use hmalloc::{Futex, Hmalloc};
///
/// static ARENA: Arena<{ 1 << 20 }> = Arena::new();
/// static HEAP: Hmalloc<Futex, Bytes> = Hmalloc::with_source(Bytes::new(&ARENA));
/// assert!(HEAP.with(|heap| heap.allocate(core::alloc::Layout::new::<u64>())).is_ok());
/// ```
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Arena<const N: usize> {
    bytes: UnsafeCell<[MaybeUninit<u8>; N]>,
    taken: AtomicBool,
}

// SAFETY: the bytes belong to the one value that could set `taken`.
unsafe impl<const N: usize> Sync for Arena<N> {}

impl<const N: usize> Arena<N> {
    /// An arena that no heap uses yet. All of it is zero, so that it takes no room in a program's file.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: UnsafeCell::new([MaybeUninit::zeroed(); N]), taken: AtomicBool::new(false) }
    }
}

impl<const N: usize> Default for Arena<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// A break inside an [`Arena`], or in a [range](Self::over) of bytes. It hands out what is there and nothing else: no mappings, nothing returned. The arena's
/// end becomes the room for metadata, if the heap wants one while the break is below it.
///
/// If several are made over one arena, the first to be used gets it; the others are refused everything.
#[derive(Debug)]
pub struct Bytes {
    start: *mut u8,
    length: usize,
    /// Whether another value has taken the arena; `None` for a range that was promised to be this value's.
    taken: Option<&'static AtomicBool>,
    /// Whether the arena is this value's.
    mine: Cell<bool>,
    /// Bytes below the break.
    below: Cell<usize>,
    /// The most there have been: whatever lies above is still zero.
    used: Cell<usize>,
    /// For metadata, at the arena's end.
    room: Cell<Room>,
}

// SAFETY: the arena is a static's, or the bytes were promised, and this value has them alone.
unsafe impl Send for Bytes {}

impl Bytes {
    /// A break at the arena's first byte.
    #[must_use]
    pub const fn new<const N: usize>(arena: &'static Arena<N>) -> Self {
        Self {
            start: arena.bytes.get().cast(),
            length: N,
            taken: Some(&arena.taken),
            mine: Cell::new(false),
            below: Cell::new(0),
            used: Cell::new(0),
            room: Cell::new(Room::NONE),
        }
    }

    /// A break at the first of `bytes` bytes at `start`, which may hold anything: for programs without an operating system,
    /// whose linker script or board says where memory is. They are cleared as the break is raised over them.
    ///
    /// ```no_run
    /// use hmalloc::{Hmalloc, SingleThreaded, brk::Bytes};
    ///
    /// const START: *mut u8 = 0x2000_8000 as *mut u8;
    /// // SAFETY: 64 KiB of memory that nothing else uses; one thread, and no interrupt handler that allocates.
    /// static HEAP: Hmalloc<SingleThreaded, Bytes> =
    ///     unsafe { Hmalloc::single_threaded_with_source(Bytes::over(START, 64 << 10)) };
    /// ```
    ///
    /// # Safety
    ///
    /// The bytes are memory that can be read and written as long as the program runs, through this pointer, and nothing else
    /// uses them.
    #[must_use]
    pub const unsafe fn over(start: *mut u8, bytes: usize) -> Self {
        Self {
            start,
            length: bytes,
            taken: None,
            mine: Cell::new(false),
            below: Cell::new(0),
            used: Cell::new(bytes),
            room: Cell::new(Room::NONE),
        }
    }

    fn claim(&self) -> Result<usize, Refused> {
        if !self.mine.get() {
            let taken = self.taken.map_or(Ok(false), |taken| taken.compare_exchange(false, true, Relaxed, Relaxed));
            taken.map_err(|_| Refused)?;
            self.mine.set(true);
        }
        Ok(self.start.expose_provenance())
    }
}

// SAFETY: the break stays inside bytes that are this value's alone. Bytes that were below the break before are
// cleared when it is raised over them again, all others are zero from the start.
unsafe impl Brk for Bytes {
    fn query(&self) -> Result<usize, Refused> {
        Ok(self.claim()? + self.below.get())
    }

    unsafe fn move_break(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        let start = self.claim()?;
        let room = self.room.get().range();
        let most = if room.is_empty() { self.length } else { room.start - start };
        let below = to.checked_sub(start).filter(|&below| below <= most).ok_or(Refused)?;
        if from != start + self.below.get() {
            return Err(Refused);
        }
        let (old, dirty) = (self.below.get(), self.used.get().min(below));
        if old < dirty {
            // SAFETY: the range lies in the arena, above the break.
            unsafe { self.start.add(old).write_bytes(0, dirty - old) }
        }
        self.below.set(below);
        self.used.set(self.used.get().max(below));
        Ok(())
    }

    fn map(&mut self, _: usize) -> Result<usize, Refused> {
        Err(Refused)
    }

    fn room(&mut self) -> Result<Range<usize>, Refused> {
        let start = self.claim()?;
        if self.room.get().range().is_empty() {
            let (end, current) = (start + self.length, start + self.below.get());
            self.room.set(Room::below(end, self.length, current, PAGE)?);
        }
        Ok(self.room.get().range())
    }

    fn map_at(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        let mut room = self.room.get();
        room.map(start, bytes, PAGE)?;
        self.room.set(room);
        // SAFETY: in the room, which lies in the arena above the break, and not mapped until now: nothing uses it.
        unsafe { self.start.with_addr(start).write_bytes(0, bytes) };
        Ok(())
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        let mut room = self.room.get();
        room.unmap(start, bytes)?;
        self.room.set(room);
        Ok(())
    }

    unsafe fn discard(&mut self, _: usize, _: usize) -> Result<(), Refused> {
        Err(Refused)
    }

    fn page_size(&self) -> usize {
        PAGE
    }
}
