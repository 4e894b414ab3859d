//! The seam to the kernel: everything the heap asks of Linux, in typed words.
//!
//! [`Linux`] issues the system calls. [`Emulated`] plays the kernel over a byte array, and can refuse, move the
//! break behind the heap's back, and hand out dirty memory. Above this trait there is one heap, the same code
//! for both.
//!
//! ```text
//!        start                 break                              end of the arena, or the next mapping
//!          |      heap           |            not mapped                     |
//!          +---------------------+ - - - - - - - - - - - - - - - - - - - - - +
//!                                ^ move_to(higher) raises, move_to(lower) lowers
//! ```

mod emulated;
mod glibc;
mod linux;

pub use emulated::Emulated;
pub use linux::Linux;

/// The kernel said no. Whatever was asked did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

impl core::fmt::Display for Refused {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the kernel refused")
    }
}

impl core::error::Error for Refused {}

/// What the heap needs of a kernel: a program break, and mappings for when the break cannot move.
///
/// Addresses and lengths are in bytes.
///
/// # Safety
///
/// The heap builds its blocks in what it is given, so an implementation promises:
///
/// - after `move_to(to)` succeeds, every byte from the old break up to `to` may be read and written until the
///   break is lowered below it, and nobody but the caller and those who moved the break themselves owns it;
/// - whole pages of [`page_size`](Brk::page_size) bytes that lay above the break read as zero once it is raised over them;
/// - a mapping from `map` is readable, writable, zero, aligned to `page_size`, and belongs to the caller;
/// - a call that returns [`Refused`] has changed nothing.
pub unsafe trait Brk {
    /// The address where the break stands now. Others may have moved it since the last call.
    fn query(&self) -> Result<usize, Refused>;

    /// Moves the break to exactly `to`: up or down.
    fn move_to(&mut self, to: usize) -> Result<(), Refused>;

    /// A fresh mapping of `bytes` bytes, away from the break. Returns its first address.
    fn map(&mut self, bytes: usize) -> Result<usize, Refused>;

    /// Gives a mapping back.
    ///
    /// # Safety
    ///
    /// `start` and `bytes` are those of one call to [`map`](Brk::map), and nothing in it is used again.
    unsafe fn unmap(&mut self, start: usize, bytes: usize) -> Result<(), Refused>;

    /// Gives the memory of `bytes` bytes at `start` back while keeping their addresses: on success they read as zero.
    ///
    /// # Safety
    ///
    /// The range is the caller's, both ends are multiples of [`page_size`](Brk::page_size), and its content is not
    /// needed any more.
    unsafe fn discard(&mut self, start: usize, bytes: usize) -> Result<(), Refused>;

    /// Makes whole pages inaccessible, until the break is lowered below them or their mapping is given back.
    ///
    /// # Safety
    ///
    /// The range is the caller's, both ends are multiples of [`page_size`](Brk::page_size), and nothing in it is used while
    /// it stands.
    unsafe fn seal(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        let _ = (start, bytes);
        Err(Refused)
    }

    /// Says that `bytes` bytes at `start` will soon be used throughout, so that huge pages serve them well. Advice: nothing
    /// depends on whether the kernel takes it, and by default it is not given.
    fn expect_use(&mut self, start: usize, bytes: usize) {
        let _ = (start, bytes);
    }

    /// The kernel's page size in bytes, or a larger power of two when it is not known.
    fn page_size(&self) -> usize;
}
