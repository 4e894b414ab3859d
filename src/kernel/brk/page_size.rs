//! The kernel's page size.

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "s390x")))]
mod asked {
    use crate::kernel::call::{Sysno, syscall};
    use core::ffi::c_ulong;
    use core::sync::atomic::AtomicUsize;
    use core::sync::atomic::Ordering::Relaxed;

    const AT_PAGESZ: usize = 6;
    const AT_FDCWD: isize = -100;
    const O_CLOEXEC: usize = 0o2_000_000;
    /// More than any kernel has.
    const MOST: usize = 256 << 10;
    const LEAST: usize = 4 << 10;

    static KNOWN: AtomicUsize = AtomicUsize::new(0);

    weak!(hmalloc_page_size_getauxval, "getauxval", unsafe extern "C" fn(c_ulong) -> c_ulong);

    /// Asked once, in the auxiliary vector: of the libc if there is one, else of `/proc`. Where that is not mounted the
    /// largest size there is. A page size too large costs some `memset`, one too small would trust stale bytes.
    pub(crate) fn page_size() -> usize {
        let known = KNOWN.load(Relaxed);
        if known != 0 {
            return known;
        }
        let asked = from_libc().or_else(from_proc).or_else(from_mprotect);
        let size = asked.filter(|size| size.is_power_of_two() && (LEAST..=MOST).contains(size)).unwrap_or(MOST);
        KNOWN.store(size, Relaxed);
        size
    }

    /// What has this name in a program without a libc answers the questions of its own author, and may panic at others.
    fn from_libc() -> Option<usize> {
        if !crate::kernel::libc::is_linked() {
            return None;
        }
        let getauxval = linked!(hmalloc_page_size_getauxval)?;
        // SAFETY: a question without effects but on `errno` where there is no such entry; there is.
        Some(unsafe { getauxval(AT_PAGESZ as c_ulong) } as usize).filter(|&size| size > 0)
    }

    fn from_proc() -> Option<usize> {
        let mut entries = [[0usize; 2]; 64];
        // SAFETY: the kernel reads the path, and writes at most the array.
        let bytes = unsafe {
            let file = syscall!(Sysno::openat, AT_FDCWD, c"/proc/self/auxv".as_ptr(), O_CLOEXEC).ok()?;
            let read = syscall!(Sysno::read, file, entries.as_mut_ptr(), size_of_val(&entries));
            let _ = syscall!(Sysno::close, file);
            read.ok()?
        };
        let read = bytes / size_of_val(&entries[0]);
        entries.iter().take(read).find(|[key, _]| *key == AT_PAGESZ).map(|&[_, value]| value)
    }

    /// The smallest distance at which the kernel takes an address for a page's. Of no bytes, nothing is changed.
    fn from_mprotect() -> Option<usize> {
        let sizes = core::iter::successors(Some(LEAST), |size| Some(size * 2)).take_while(|&size| size <= MOST);
        // SAFETY: a range of no bytes.
        sizes.into_iter().find(|&size| unsafe { syscall!(Sysno::mprotect, size, 0, 0) }.is_ok())
    }
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "s390x")))]
pub(crate) use asked::page_size;

/// These architectures have no other.
#[cfg(any(target_arch = "x86", target_arch = "x86_64", target_arch = "s390x"))]
pub(crate) fn page_size() -> usize {
    4 << 10
}
