//! Memory by raw system calls: mappings, protection, and giving pages back.

use super::Refused;
use crate::kernel::tasks::is_filtered;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize};
use syscalls::{Errno, Sysno, syscall};

/// Where the numbers of MIPS differ from everybody else's.
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
const MREMAP_MAYMOVE: usize = 1;
const MREMAP_FIXED: usize = 2;
/// Keeps the old mapping, empty (Linux 5.7): no gap is left for somebody else's.
const MREMAP_DONTUNMAP: usize = 4;
const MADV_DONTNEED: usize = 4;
const MADV_HUGEPAGE: usize = 14;

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
            // SAFETY: this mapping was made right now, and nobody knows of it.
            let _ = unsafe { unmap(elsewhere, bytes) };
            Err(Refused)
        }
    }
}

/// What becomes of pages that get a new mapping.
#[derive(Clone, Copy)]
enum Anew {
    /// They are zero.
    Zero,
    /// They are inaccessible.
    Sealed,
}

/// Puts a new mapping in the place of an old one. Every libc's own `malloc` needs `mmap`, so no filter can be against
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

/// Whether huge pages were asked for, so that mappings differ in more than their addresses.
static ADVISED: AtomicBool = AtomicBool::new(false);

/// Whether `madvise` does what it says: not asked yet, yes, no.
static DISCARDS: AtomicU8 = AtomicU8::new(UNKNOWN);
const UNKNOWN: u8 = 0;
const YES: u8 = 1;
const NO: u8 = 2;

/// Which mapping it is that pages belong to.
#[derive(Clone, Copy)]
pub(super) enum Area {
    /// The program break's.
    ProgramBreak,
    /// An own break's, or one of [`map`].
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

/// Returns the memory of a range to the kernel, and keeps its addresses: on success it reads as zero.
///
/// In the program break `madvise` does that, which is believed after it was seen to work: emulators and filters may
/// answer 0 and do nothing. Elsewhere a new mapping takes the place of the old one, and the kernel joins it with its
/// neighbours again; unless those were advised to use huge pages, where `madvise` leaves fewer mappings behind.
///
/// # Safety
///
/// The range consists of pages of the caller's that are readable and writable, and its content is not needed any more.
pub(super) unsafe fn discard(start: usize, bytes: usize, area: Area) -> Result<(), Refused> {
    let may_advise = matches!(area, Area::ProgramBreak) || ADVISED.load(Relaxed);
    if may_advise && DISCARDS.load(Relaxed) != NO && !is_filtered() {
        // SAFETY: the caller's promise.
        let answer = unsafe { discard_by_advice(start, bytes) };
        // Locked memory answers EINVAL, and stays.
        if answer.is_err() || DISCARDS.load(Relaxed) == YES {
            return answer;
        }
    }
    // SAFETY: the caller's promise.
    unsafe { replace(start, bytes, Anew::Zero, area.flags()) }
}

/// # Safety
///
/// As for [`discard`].
unsafe fn discard_by_advice(start: usize, bytes: usize) -> Result<(), Refused> {
    let first = core::ptr::with_exposed_provenance_mut::<u8>(start);
    let unknown = DISCARDS.load(Relaxed) == UNKNOWN;
    if unknown {
        // SAFETY: the range is the caller's and writable; its content is not needed.
        unsafe { first.write_volatile(1) };
    }
    // SAFETY: the caller owns the range and does not need its content.
    let advised = unsafe { syscall!(Sysno::madvise, start, bytes, MADV_DONTNEED) };
    if unknown {
        // SAFETY: as above.
        let zero = unsafe { first.read_volatile() } == 0;
        if !zero {
            // It may be known to have been.
            // SAFETY: as above.
            unsafe { first.write_volatile(0) };
        }
        if advised.is_ok() {
            DISCARDS.store(if zero { YES } else { NO }, Relaxed);
        }
    }
    advised.map_err(|_| Refused)?;
    Ok(())
}

/// Moves that are made in a process: each may leave some mappings more, of which Linux has 65,530 by default.
const MOVES_MAX: usize = 8192;
static MOVES: AtomicUsize = AtomicUsize::new(0);

/// Moves the memory of a range to another one, page by page and without a copy, and leaves zeros behind.
///
/// Refused are ranges of more than one mapping (before Linux 6.17; a block that was moved and has grown since is one),
/// kernels before 5.7, a limit on addresses that leaves no room for the range a second time, and more than
/// [`MOVES_MAX`] moves. Under a filter, which may be against the call, it is not made.
///
/// # Safety
///
/// Both ranges consist of pages of the caller's that are readable and writable, they do not overlap, and the content
/// of `to` is not needed any more.
pub(super) unsafe fn relocate(from: usize, to: usize, bytes: usize, area: Area) -> Result<(), Refused> {
    if MOVES.load(Relaxed) >= MOVES_MAX || is_filtered() {
        return Err(Refused);
    }
    MOVES.fetch_add(1, Relaxed);
    let flags = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
    // SAFETY: the caller's promise.
    match unsafe { syscall!(Sysno::mremap, from, bytes, bytes, flags, to) } {
        Ok(moved) if moved == to => {}
        _ => {
            // SAFETY: the caller's promise.
            unsafe { close_gaps(to, bytes) };
            return Err(Refused);
        }
    }
    // The old mapping is empty, and this only lets the kernel join it with its neighbours; but qemu-user takes it for
    // gone until it is mapped anew.
    // SAFETY: its content has just been moved away. Refused, it stays as it is: empty.
    let _ = unsafe { replace(from, bytes, Anew::Zero, area.flags()) };
    Ok(())
}

/// Maps anew what a move that failed has unmapped: kernels make room first and find errors later.
///
/// # Safety
///
/// The range is the caller's.
unsafe fn close_gaps(start: usize, bytes: usize) {
    // SAFETY: readable and writable is what the range is to be.
    let has_gap = |at, bytes| unsafe { protect(at, bytes, READ_WRITE) } == Err(Errno::ENOMEM);
    if !has_gap(start, bytes) || map_exactly(start, bytes).is_ok() {
        return;
    }
    let page = super::page_size::page_size();
    for at in (start..start + bytes).step_by(page) {
        if has_gap(at, page) && map_exactly(at, page).is_err() {
            crate::kernel::sys::die("hmalloc: the kernel took a mapping away\n");
        }
    }
}

/// Whether a page is locked in memory, as all are after `mlockall(MCL_FUTURE)`: a new mapping is filled at once there, and
/// advice is refused. False where that is not asked: where no advice is given on pages anyway, and under a filter.
pub(super) fn is_locked(start: usize, page: usize, area: Area) -> bool {
    let may_advise = matches!(area, Area::ProgramBreak) || ADVISED.load(Relaxed);
    // SAFETY: the callers own the page and do not need what is in it.
    may_advise
        && !is_filtered()
        && unsafe { syscall!(Sysno::madvise, start, page, MADV_DONTNEED) } == Err(Errno::EINVAL)
}

/// Asks for huge pages.
pub(super) fn expect_use(start: usize, bytes: usize) {
    if !is_filtered() {
        ADVISED.store(true, Relaxed);
        // SAFETY: the advice changes which pages back the range, not what is in them. A kernel without huge pages
        // answers EINVAL, and then nothing was lost.
        let _ = unsafe { syscall!(Sysno::madvise, start, bytes, MADV_HUGEPAGE) };
    }
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
