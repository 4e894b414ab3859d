//! The program break and mappings of a running Linux process, by raw system calls.

use super::{Brk, Refused, glibc};
use syscalls::{Sysno, syscall};

/// The calling process's own program break.
///
/// A process has one break. Anything else that moves it (a libc's `sbrk`, another `Heap<Linux>`) is a neighbour that
/// the heap fences off; see [`Heap`](crate::Heap).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Linux;

const PROT_NONE: usize = 0;
const PROT_READ_WRITE: usize = 1 | 2;
const MAP_PRIVATE: usize = 2;
#[cfg(not(any(target_arch = "mips", target_arch = "mips64")))]
const MAP_ANONYMOUS: usize = 0x20;
#[cfg(any(target_arch = "mips", target_arch = "mips64"))]
const MAP_ANONYMOUS: usize = 0x800;
const NO_FILE: usize = usize::MAX;
const MADV_DONTNEED: usize = 4;
const MADV_HUGEPAGE: usize = 14;

/// `mmap` takes its arguments in registers on most architectures; 32-bit ones count the file offset (zero here) in
/// pages under the name `mmap2`.
#[cfg(not(target_arch = "s390x"))]
unsafe fn mmap_anonymous(bytes: usize) -> Result<usize, syscalls::Errno> {
    #[cfg(target_pointer_width = "64")]
    const MMAP: Sysno = Sysno::mmap;
    #[cfg(target_pointer_width = "32")]
    const MMAP: Sysno = Sysno::mmap2;
    // SAFETY: a private anonymous mapping at an address of the kernel's choice disturbs nothing that exists.
    unsafe { syscall!(MMAP, 0, bytes, PROT_READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, NO_FILE, 0) }
}

/// On s390x `mmap` takes a pointer to its six arguments.
#[cfg(target_arch = "s390x")]
unsafe fn mmap_anonymous(bytes: usize) -> Result<usize, syscalls::Errno> {
    let arguments = [0, bytes, PROT_READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, NO_FILE, 0];
    // SAFETY: as above; the kernel reads the six words before the call returns.
    unsafe { syscall!(Sysno::mmap, arguments.as_ptr()) }
}

// SAFETY: this is the kernel whose behaviour the trait describes. `move_to` reports success only where the kernel
// answered with the very break that was asked for, because on failure it answers with the old one.
unsafe impl Brk for Linux {
    fn query(&self) -> Result<usize, Refused> {
        // SAFETY: the kernel never moves the break to 0; it answers where the break is. An emulator or a seccomp
        // filter may answer in the errno range, which `syscalls` turns into `Err`.
        unsafe { syscall!(Sysno::brk, 0) }.map_err(|_| Refused)
    }

    fn move_to(&mut self, to: usize) -> Result<(), Refused> {
        // SAFETY: raising maps new pages; lowering unmaps only what lies above `to`, which the heap lowers only when
        // the break is exactly its own end.
        match unsafe { syscall!(Sysno::brk, to) } {
            Ok(now) if now == to => {
                glibc::tell(to);
                Ok(())
            }
            _ => Err(Refused),
        }
    }

    fn map(&mut self, bytes: usize) -> Result<usize, Refused> {
        // SAFETY: see `mmap_anonymous`.
        unsafe { mmap_anonymous(bytes) }.map_err(|_| Refused)
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller owns the mapping and is done with it.
        unsafe { syscall!(Sysno::munmap, start, bytes) }.map(|_| ()).map_err(|_| Refused)
    }

    unsafe fn discard(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller owns the range and does not need its content. Locked pages answer EINVAL and stay.
        unsafe { syscall!(Sysno::madvise, start, bytes, MADV_DONTNEED) }.map(|_| ()).map_err(|_| Refused)
    }

    unsafe fn seal(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller owns the pages and uses none of them.
        unsafe { syscall!(Sysno::mprotect, start, bytes, PROT_NONE) }.map(|_| ()).map_err(|_| Refused)
    }

    fn expect_use(&mut self, start: usize, bytes: usize) {
        // SAFETY: the advice changes which pages back the range, not what is in them. A kernel without huge pages answers
        // EINVAL, and then nothing was lost.
        let _ = unsafe { syscall!(Sysno::madvise, start, bytes, MADV_HUGEPAGE) };
    }

    /// 4 KiB where the architecture has no other; elsewhere the largest page Linux is configured with, 64 KiB, so that
    /// nothing has to be read from the auxiliary vector. A page size too large costs some `memset`, one too small
    /// would trust stale bytes.
    fn page_size(&self) -> usize {
        if cfg!(any(target_arch = "x86", target_arch = "x86_64", target_arch = "s390x")) { 4 << 10 } else { 64 << 10 }
    }
}
