//! The seam to the kernel: everything the heap asks of Linux, in typed words.
//!
//! | source | what it is |
//! |---|---|
//! | [`Linux`] | the process's program break, by the `brk` system call |
//! | [`OwnBreak`] | a break of the heap's own, in a range of addresses where nothing else grows: for programs with a libc |
//! | [`Reserved`] | a break in addresses that are reserved, and given back as a whole: for heaps that come and go |
//! | [`Automatic`] | `OwnBreak` where a libc is linked, `Linux` elsewhere |
//! | [`Bytes`] | a byte array of the program's, and no kernel at all |
//! | [`Limited`] | any of these, with a limit on what it hands out |
//! | [`Emulated`] | plays the kernel over a byte array; refuses and misbehaves on demand, for tests |
//!
//! Above this trait there is one heap, the same code for all.
//!
//! ```text
//!        start                 break                              end of the arena, or the next mapping
//!          |      heap           |            not mapped                     |
//!          +---------------------+ - - - - - - - - - - - - - - - - - - - - - +
//!                                ^ move_break(from, higher) raises, move_break(from, lower) lowers
//! ```

#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
mod automatic;
mod bytes;
#[cfg(not(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux"))))]
mod elsewhere;
mod emulated;
mod limited;
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
mod linux;
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
mod mapped;
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
mod memory;
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
mod own;
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
mod page_size;
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
mod reserved;
mod room;

use core::ops::Range;

on_linux! {
    pub use automatic::Automatic;
    pub use linux::Linux;
    pub use own::OwnBreak;
    pub use reserved::Reserved;
    pub(crate) use memory::{map_alone, unmap_alone};
    pub(crate) use page_size::page_size as page_alone;
}
elsewhere! {
    pub use elsewhere::{Automatic, Linux, OwnBreak, Reserved};
    pub(crate) use elsewhere::{map_alone, page_alone, unmap_alone};
}
pub use bytes::{Arena, Bytes};
pub use emulated::Emulated;
pub use limited::Limited;

/// Bytes of its [room](Brk::room) that the heap needs for each of its pages of 16 KiB.
pub(crate) const ROOM_PER_PAGE: usize = 200;
/// Bytes of one of these pages.
pub(crate) const HEAP_PAGE: usize = 16 << 10;

/// The kernel said no. What was asked for did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Refused;

impl core::fmt::Display for Refused {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the kernel refused")
    }
}

impl core::error::Error for Refused {}

/// Where a heap's memory comes from, in [`Stats`](crate::Stats).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Source {
    /// The process's program break.
    ProgramBreak,
    /// A break of the heap's own, see [`OwnBreak`].
    OwnBreak,
    /// A break inside a byte array, see [`Emulated`].
    Emulated,
    /// A break in a range of addresses that was reserved for it, see [`Reserved`].
    Reserved,
    /// Something that the program brought.
    #[default]
    Other,
}

impl core::fmt::Display for Source {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(match self {
            Self::ProgramBreak => "program break",
            Self::OwnBreak => "own break",
            Self::Emulated => "emulated break",
            Self::Reserved => "reserved",
            Self::Other => "other",
        })
    }
}

/// What the heap needs of a kernel: a program break, and mappings for when the break cannot move.
///
/// Addresses and lengths are in bytes.
///
/// # Safety
///
/// The heap builds its blocks in what it is given, so an implementation promises:
///
/// - after `move_break(from, to)` raised the break, every byte from `from` up to `to` may be read and written until the
///   break is lowered below it, and belongs to the caller, or to others who have moved the break themselves;
/// - whole pages of [`page_size`](Brk::page_size) bytes that lay above the break read as zero once it is raised over
///   them;
/// - a mapping from `map` or `map_at` is readable, writable, zero, aligned to `page_size`, and belongs to the caller;
/// - a call that returns [`Refused`] has changed nothing, but for [`relocate`](Brk::relocate).
#[cfg_attr(
    not(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux"))),
    diagnostic::on_unimplemented(
        message = "hmalloc: `{Self}` is no source of memory on this target: it needs Linux",
        label = "needs Linux",
        note = "`hmalloc::brk::Bytes`, over an `Arena` of the program's, needs no kernel"
    )
)]
pub unsafe trait Brk {
    /// The address where the break stands now. Others may have moved it since the last call.
    fn query(&self) -> Result<usize, Refused>;

    /// Moves the break to exactly `to`, up or down, if it stands at exactly `from`: in one step, so that of two callers
    /// that saw the same break one is refused.
    ///
    /// # Safety
    ///
    /// If `to` is below `from`, everything between belongs to the caller and is not used again.
    unsafe fn move_break(&mut self, from: usize, to: usize) -> Result<(), Refused>;

    /// A fresh mapping of `bytes` bytes, away from the break. Returns its first address.
    fn map(&mut self, bytes: usize) -> Result<usize, Refused>;

    /// A range of addresses, far from the break, in which nothing is mapped and nothing else grows: room for the heap's
    /// own metadata, which it maps piece by piece with [`map_at`](Brk::map_at). Naming it maps nothing. The heap asks
    /// when it outgrows its first 2 MiB, and again if that was refused; it needs 200 bytes for each 16 KiB. By default
    /// this is refused: metadata lies among the blocks then, and comes between what grows.
    fn room(&mut self) -> Result<Range<usize>, Refused> {
        Err(Refused)
    }

    /// Maps exactly `bytes` bytes at `start`: whole pages of the [`room`](Brk::room). Replaces nothing: it is
    /// refused where something is mapped already, and by default.
    fn map_at(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        let _ = (start, bytes);
        Err(Refused)
    }

    /// Returns mapped memory to the kernel.
    ///
    /// # Safety
    ///
    /// `start` and `bytes` are those of one call to [`map`](Brk::map), or whole pages that [`map_at`](Brk::map_at)
    /// mapped; and nothing in them is used again.
    unsafe fn unmap(&mut self, start: usize, bytes: usize) -> Result<(), Refused>;

    /// Gives back all that the heap has from this source but for what [`map`](Brk::map) returned, in one step if
    /// possible; the next call to any function begins anew. By default this is refused, and what was raised and mapped is
    /// returned piece by piece.
    ///
    /// # Safety
    ///
    /// Nothing that the source has handed out is used again, but for mappings of [`map`](Brk::map).
    unsafe fn release(&mut self) -> Result<(), Refused> {
        Err(Refused)
    }

    /// Returns the memory of `bytes` bytes at `start` to the kernel while keeping their addresses: on success they read
    /// as zero. They lie below the break, in a mapping, or in what [`map_at`](Brk::map_at) mapped of the room.
    ///
    /// # Safety
    ///
    /// The range is the caller's, both ends are multiples of [`page_size`](Brk::page_size), and its content is not
    /// needed any more.
    unsafe fn discard(&mut self, start: usize, bytes: usize) -> Result<(), Refused>;

    /// Moves the memory of `bytes` bytes at `from` to `to` without copying it, so that pages never touched stay so: on
    /// success `to` reads as `from` did, and `from` as zero. By default this is refused. A call that was refused may
    /// have cleared a part of `to`, or have moved a part of `from` there, which then reads as zero: all of both can be
    /// used.
    ///
    /// # Safety
    ///
    /// Both ranges are the caller's and do not overlap, their ends are multiples of [`page_size`](Brk::page_size), and
    /// the content of `to` is not needed any more.
    unsafe fn relocate(&mut self, from: usize, to: usize, bytes: usize) -> Result<(), Refused> {
        let _ = (from, to, bytes);
        Err(Refused)
    }

    /// Makes whole pages inaccessible, until the break is lowered below them or their mapping is unmapped. By default
    /// this is refused, and then they stay as they are.
    ///
    /// # Safety
    ///
    /// The range is the caller's, both ends are multiples of [`page_size`](Brk::page_size), and nothing in it is used
    /// while it stands.
    unsafe fn seal(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        let _ = (start, bytes);
        Err(Refused)
    }

    /// Makes accessible what [`seal`](Brk::seal) made inaccessible, right before the break is lowered below it. Linux
    /// takes sealed pages away like any others, so by default nothing is done; emulators of its break (qemu-user) write
    /// to them.
    ///
    /// # Safety
    ///
    /// The range is the caller's, and lies below the break.
    unsafe fn unseal(&mut self, start: usize, bytes: usize) {
        let _ = (start, bytes);
    }

    /// Makes pages accessible that [`seal`](Brk::seal) may have made inaccessible; what they hold is arbitrary. By default this
    /// is refused: then they stay inaccessible. Only [checked mode](crate::Checks) and [guards](crate::Sampling::guarded) ask for it.
    ///
    /// # Safety
    ///
    /// The range is the caller's, both ends are multiples of [`page_size`](Brk::page_size), and its content is not needed.
    unsafe fn reopen(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        let _ = (start, bytes);
        Err(Refused)
    }

    /// Says that `bytes` bytes at `start`, which are the caller's, will soon be used throughout, so that huge pages
    /// serve them well. Advice: nothing depends on whether the kernel takes it, and by default it is not given.
    fn expect_use(&mut self, start: usize, bytes: usize) {
        let _ = (start, bytes);
    }

    /// Whether the page at `start`, a multiple of [`page_size`](Brk::page_size), is locked in memory: then it is no use
    /// to return it. It is the caller's, and its content is not needed. By default none is.
    fn is_locked(&mut self, start: usize) -> bool {
        let _ = start;
        false
    }

    /// Whether the page at `start`, a multiple of [`page_size`](Brk::page_size), holds memory now: one that was never written
    /// holds none. It is the caller's. By default this is not known, and the answer is no.
    ///
    /// The heap asks about a few pages of what it is about to return, at most one in a MiB or one for each call. If nearly all hold
    /// memory, and it is needed again at once, the heap [expects](Brk::expect_use) it to be used throughout again.
    fn is_resident(&mut self, start: usize) -> bool {
        let _ = start;
        false
    }

    /// Milliseconds since some moment, to see that time has passed. By default there is no clock.
    fn now(&self) -> Option<u64> {
        None
    }

    /// The kernel's page size in bytes, or a larger power of two when it is not known.
    fn page_size(&self) -> usize;

    /// What this is, for [`Stats`](crate::Stats).
    fn source(&self) -> Source {
        Source::Other
    }
}
