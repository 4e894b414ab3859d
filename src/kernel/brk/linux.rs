//! The program break of a running Linux process, and mappings, by raw system calls.

use super::memory::{self, Area};
use super::{Brk, Refused, Source};
use crate::kernel::seat::Seat;
use core::ops::Range;

/// The calling process's own program break.
///
/// A process has one break. Every `Heap<Linux>` takes turns on it, of all copies of this crate that are linked into the
/// same program or shared library, and what one of them raised is fenced off by the others; see [`Heap`](crate::Heap).
/// A program and a library that it loads take no turns: there, as where a libc is linked, use
/// [`OwnBreak`](super::OwnBreak).
///
/// # Where a libc is linked
///
/// A libc's `malloc` and `sbrk` move the same break and know nothing of those turns: use [`OwnBreak`](super::OwnBreak)
/// there, as [`Automatic`](super::Automatic) does. A heap over this must not meet
///
/// - any thread inside the libc's `malloc` or `sbrk` while the heap grows or shrinks: one of both loses memory;
/// - a libc that remembers where it left the break, as musl does, and lowers it below the heap. glibc is told where the
///   break is, so beside it one thread may use both, in turn.
///
/// A break found below live blocks ends the process with one line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Linux;

// One for all copies of this library in a program: the linker keeps the first of several weak definitions.
core::arch::global_asm!(
    ".ifndef hmalloc_program_break",
    ".pushsection .bss.hmalloc_program_break,\"aw\",%nobits",
    ".weak hmalloc_program_break",
    ".hidden hmalloc_program_break",
    ".balign 64",
    "hmalloc_program_break:",
    ".zero 64",
    ".popsection",
    ".endif",
);

unsafe extern "C" {
    /// Held between the look at the break and its move.
    #[link_name = "hmalloc_program_break"]
    static MOVING: Seat;
}

// glibc remembers in this word where the break is, and moves it from there without asking the kernel.
weak!(hmalloc_curbrk, "__curbrk", &'static core::sync::atomic::AtomicUsize);

impl Linux {
    /// Whose mapping `start` is in: regions lie above the break.
    fn area(self, start: usize) -> Area {
        if memory::program_break().is_ok_and(|end| start < end) { Area::ProgramBreak } else { Area::Mapping }
    }
}

#[cfg(feature = "threads")]
fn take(seat: &Seat) -> Result<(), Refused> {
    seat.take().map_err(|_| Refused)
}

/// # Safety
///
/// The caller has taken the lock.
unsafe fn leave(seat: &Seat) {
    #[cfg(feature = "threads")]
    // SAFETY: the caller's promise.
    unsafe {
        seat.leave_and_wake();
    }
    // No thread is woken: one that waits looks again within ten milliseconds.
    #[cfg(not(feature = "threads"))]
    // SAFETY: as above.
    let _ = unsafe { seat.leave() };
}

/// The same in fewer bytes: whoever finds the lock taken sleeps for a moment, and gives up after a second.
#[cfg(not(feature = "threads"))]
fn take(seat: &Seat) -> Result<(), Refused> {
    let taken = (0..1000).any(|attempt| {
        if attempt > 0 {
            crate::kernel::tasks::sleep(1);
        }
        seat.try_take()
    });
    if taken { Ok(()) } else { Err(Refused) }
}

/// Does `step` while no other heap moves the break.
fn in_turn(step: impl FnOnce() -> Result<(), Refused>) -> Result<(), Refused> {
    // SAFETY: a zeroed seat, as large and as aligned as the definition above.
    let seat = unsafe { &MOVING };
    seat.open();
    // Held by a thread that is not in this process, or that this call interrupted between the look and the move: the
    // break is left to that one, and the heap goes on in regions.
    take(seat)?;
    let result = step();
    // SAFETY: taken above.
    unsafe { leave(seat) };
    result
}

// SAFETY: this is the kernel whose behaviour the trait describes. A move succeeds only where the kernel answers with
// the very break that was asked for.
unsafe impl Brk for Linux {
    fn query(&self) -> Result<usize, Refused> {
        memory::program_break()
    }

    unsafe fn move_break(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        in_turn(|| {
            if memory::program_break()? != from {
                return Err(Refused);
            }
            // SAFETY: nothing above `to` is used again: what is below `from` by the caller's promise, and the break
            // stands at `from`.
            unsafe { memory::move_program_break(to) }?;
            if let Some(word) = linked!(hmalloc_curbrk) {
                word.store(to, core::sync::atomic::Ordering::Relaxed);
            }
            Ok(())
        })
    }

    fn map(&mut self, bytes: usize) -> Result<usize, Refused> {
        memory::map(bytes)
    }

    /// Far above the break, so that it can grow.
    fn room(&mut self) -> Result<Range<usize>, Refused> {
        super::own::find_room()
    }

    fn map_at(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        memory::map_exactly(start, bytes)
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { memory::unmap(start, bytes) }
    }

    unsafe fn discard(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { memory::discard(start, bytes, self.area(start)) }
    }

    unsafe fn relocate(&mut self, from: usize, to: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { memory::relocate(from, to, bytes, self.area(from)) }
    }

    unsafe fn seal(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { memory::seal(start, bytes, Area::ProgramBreak) }
    }

    unsafe fn unseal(&mut self, start: usize, bytes: usize) {
        let (start, end) = (start.next_multiple_of(self.page_size()), start + bytes);
        if start < end {
            // SAFETY: the caller's promise.
            unsafe { memory::unseal(start, end - start) }
        }
    }

    unsafe fn reopen(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { memory::reopen(start, bytes) }
    }

    fn expect_use(&mut self, start: usize, bytes: usize) {
        memory::expect_use(start, bytes);
    }

    fn is_locked(&mut self, start: usize) -> bool {
        memory::is_locked(start, self.page_size(), self.area(start))
    }

    fn is_resident(&mut self, start: usize) -> bool {
        memory::is_resident(start, self.area(start))
    }

    fn now(&self) -> Option<u64> {
        crate::kernel::tasks::milliseconds()
    }

    fn page_size(&self) -> usize {
        super::page_size::page_size()
    }

    fn source(&self) -> Source {
        Source::ProgramBreak
    }
}
