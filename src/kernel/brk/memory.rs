//! Memory by raw system calls: mappings, protection, the program break. [`advice`] returns pages, [`mod@relocate`] moves
//! them.

mod advice;
mod relocate;

use super::Refused;
use crate::kernel::call::{Errno, Sysno, syscall};
pub(super) use advice::{discard, expect_use, is_locked, is_resident};
pub(super) use relocate::relocate;

/// Where MIPS has other numbers than the other architectures.
const MIPS: bool = cfg!(any(target_arch = "mips", target_arch = "mips64"));
const POWERPC: bool = cfg!(any(target_arch = "powerpc", target_arch = "powerpc64"));

const NONE: usize = 0;
const READ_WRITE: usize = 1 | 2;
const PRIVATE_ANONYMOUS: usize = 2 | if MIPS { 0x800 } else { 0x20 };
const FIXED: usize = 0x10;
const FIXED_NOREPLACE: usize = 0x10_0000;
const NORESERVE: usize = match () {
    () if MIPS => 0x400,
    () if POWERPC => 0x40,
    () => 0x4000,
};
const NO_FILE: usize = usize::MAX;

/// Which mapping it is that pages belong to.
#[derive(Clone, Copy)]
pub(super) enum Area {
    /// The program break's.
    ProgramBreak,
    /// That of an own break, or one that [`map`] made.
    Mapping,
}

impl Area {
    /// With what flags its pages are mapped.
    fn flags(self) -> usize {
        match self {
            Self::ProgramBreak => 0,
            Self::Mapping => NORESERVE,
        }
    }
}

/// `mmap` takes its arguments in registers on most architectures; 32-bit ones count the file offset (zero here) in
/// pages under the name `mmap2`, and s390x takes a pointer to them.
unsafe fn mmap(address: usize, bytes: usize, protection: usize, flags: usize) -> Result<usize, Errno> {
    #[cfg(target_pointer_width = "64")]
    const MMAP: Sysno = Sysno::mmap;
    #[cfg(target_pointer_width = "32")]
    const MMAP: Sysno = Sysno::mmap2;
    let flags = PRIVATE_ANONYMOUS | flags;
    if cfg!(target_arch = "s390x") {
        let arguments = [address, bytes, protection, flags, NO_FILE, 0];
        // SAFETY: the caller answers for what is replaced; the kernel reads the six words before the call returns.
        return unsafe { syscall!(MMAP, arguments.as_ptr()) };
    }
    // SAFETY: the caller answers for what is replaced.
    unsafe { syscall!(MMAP, address, bytes, protection, flags, NO_FILE, 0) }
}

/// A mapping away from the break, by the kernel itself whatever the source is.
pub(crate) fn map_alone(bytes: usize) -> Result<usize, Refused> {
    map(bytes)
}

/// Unmaps what [`map_alone`] mapped.
///
/// # Safety
///
/// Nothing in it is used.
pub(crate) unsafe fn unmap_alone(start: usize, bytes: usize) {
    // SAFETY: the caller's promise. Refused, it stays.
    let _ = unsafe { unmap(start, bytes) };
}

/// A readable, writable mapping at an address that the kernel chooses.
pub(super) fn map(bytes: usize) -> Result<usize, Refused> {
    // SAFETY: without an address it disturbs nothing that exists.
    match unsafe { mmap(0, bytes, READ_WRITE, NORESERVE) } {
        // No kernel maps there: a filter answers without asking it.
        Ok(0) | Err(_) => Err(Refused),
        Ok(mapped) => Ok(mapped),
    }
}

/// A readable, writable mapping at exactly `address`, where nothing is mapped yet.
pub(super) fn map_exactly(address: usize, bytes: usize) -> Result<(), Refused> {
    // SAFETY: the flag refuses to replace what is there. Kernels before 4.17 do not know it and take the address for a
    // hint, which replaces nothing either.
    match unsafe { mmap(address, bytes, READ_WRITE, FIXED_NOREPLACE | NORESERVE) } {
        Ok(mapped) if mapped == address => Ok(()),
        // No kernel maps there: a filter answers without asking it.
        Ok(0) | Err(_) => Err(Refused),
        Ok(elsewhere) => {
            // SAFETY: this mapping was made right now, and nothing uses it.
            let _ = unsafe { unmap(elsewhere, bytes) };
            Err(Refused)
        }
    }
}

/// Addresses without memory, which the kernel chooses: inaccessible until they are [opened](open).
pub(super) fn reserve(bytes: usize) -> Result<usize, Refused> {
    // SAFETY: without an address it disturbs nothing that exists.
    match unsafe { mmap(0, bytes, NONE, NORESERVE) } {
        // No kernel maps there: a filter answers without asking it.
        Ok(0) | Err(_) => Err(Refused),
        Ok(start) => Ok(start),
    }
}

/// Puts zeroed memory in the place of pages that were [reserved](reserve).
///
/// # Safety
///
/// The range consists of pages of the caller's, and nothing in it is used.
pub(super) unsafe fn open(start: usize, bytes: usize) -> Result<(), Refused> {
    // SAFETY: the caller's promise.
    unsafe { replace(start, bytes, Anew::Zero, NORESERVE) }
}

/// What becomes of pages that get a new mapping.
#[derive(Clone, Copy)]
enum Anew {
    /// They are zero.
    Zero,
    /// They are inaccessible.
    Sealed,
}

/// Puts a new mapping in the place of an old one. Every libc's own `malloc` needs `mmap`, so no filter can forbid
/// it.
///
/// # Safety
///
/// The range consists of pages of the caller's, and its content is not needed any more.
unsafe fn replace(start: usize, bytes: usize, anew: Anew, flags: usize) -> Result<(), Refused> {
    let protection = match anew {
        Anew::Zero => READ_WRITE,
        Anew::Sealed => NONE,
    };
    // SAFETY: the caller owns the range.
    match unsafe { mmap(start, bytes, protection, FIXED | flags) } {
        Ok(mapped) if mapped == start => Ok(()),
        // The one error that a kernel may find after the old mapping went. That has left a gap then, in which this
        // finds the same error; any other answer is a filter's, which has asked no kernel.
        // SAFETY: as above. It is readable and writable already, or a guard, which at worst is one no longer.
        Err(Errno::ENOMEM) if unsafe { protect(start, bytes, READ_WRITE) } == Err(Errno::ENOMEM) => {
            // The addresses are free now: take them again before another mapping does.
            map_exactly(start, bytes).or_else(|_| crate::kernel::sys::die("hmalloc: the kernel took a mapping away\n"))
        }
        _ => Err(Refused),
    }
}

/// # Safety
///
/// The range is the caller's, and not used in a way that `protection` forbids.
unsafe fn protect(start: usize, bytes: usize, protection: usize) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    unsafe { syscall!(Sysno::mprotect, start, bytes, protection) }.map(drop)
}

/// Makes pages inaccessible.
///
/// # Safety
///
/// The range consists of pages of the caller's, and nothing in it is used while it is inaccessible.
pub(super) unsafe fn seal(start: usize, bytes: usize, area: Area) -> Result<(), Refused> {
    match area {
        // SAFETY: the caller's promise.
        Area::ProgramBreak => unsafe { protect(start, bytes, NONE) }.map_err(|_| Refused),
        // SAFETY: as above.
        Area::Mapping => unsafe { replace(start, bytes, Anew::Sealed, NORESERVE) },
    }
}

/// Makes pages accessible again, or says that they are not.
///
/// # Safety
///
/// The range is the caller's.
pub(super) unsafe fn reopen(start: usize, bytes: usize) -> Result<(), Refused> {
    // SAFETY: the caller's promise.
    unsafe { protect(start, bytes, READ_WRITE) }.map_err(|_| Refused)
}

/// Makes pages accessible again.
///
/// # Safety
///
/// The range is the caller's.
pub(super) unsafe fn unseal(start: usize, bytes: usize) {
    // SAFETY: the caller's promise. Refused, they stay inaccessible.
    let _ = unsafe { protect(start, bytes, READ_WRITE) };
}

/// # Safety
///
/// The caller owns the mapping and is done with it.
pub(super) unsafe fn unmap(start: usize, bytes: usize) -> Result<(), Refused> {
    // SAFETY: the caller's promise.
    unsafe { syscall!(Sysno::munmap, start, bytes) }.map(drop).map_err(|_| Refused)
}

/// The program break.
pub(super) fn program_break() -> Result<usize, Refused> {
    // SAFETY: the kernel never moves the break to 0; it answers where the break is. An emulator or a filter may answer
    // in the errno range, which `syscalls` turns into `Err`, or 0.
    match unsafe { syscall!(Sysno::brk, 0) } {
        Ok(0) | Err(_) => Err(Refused),
        Ok(now) => Ok(now),
    }
}

/// Moves the program break. The kernel answers with the old one on failure.
///
/// # Safety
///
/// Nothing above `to` is used again.
pub(super) unsafe fn move_program_break(to: usize) -> Result<(), Refused> {
    // SAFETY: raising maps new pages; what lowering unmaps is not used again.
    match unsafe { syscall!(Sysno::brk, to) } {
        Ok(now) if now == to => Ok(()),
        _ => Err(Refused),
    }
}
