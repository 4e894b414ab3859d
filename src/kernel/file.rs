//! A file that is written or read whole, by raw system calls.

use super::log::{AT_FDCWD, O_CLOEXEC, O_CREAT, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_TRUNC, O_WRONLY};
use core::ffi::CStr;
use syscalls::{Errno, Sysno, syscall};

/// An open file, closed when it is dropped.
#[derive(Debug)]
pub(crate) struct File(usize);

impl File {
    /// Opens a file to write it anew: as the file of `HMALLOC_LOG`, but what it held is gone.
    pub(crate) fn create(path: &CStr) -> Result<Self, Errno> {
        let flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
        Self::open(path, flags)
    }

    /// Creates a file if it is not there, and locks it for as long as the process lives and leaves its descriptor alone, which is
    /// some high number. Whether it was free.
    pub(crate) fn lock(path: &CStr) -> Result<bool, Errno> {
        const F_DUPFD_CLOEXEC: usize = 1030;
        const LOCK_NOW: usize = 2 | 4;
        const HIGH: usize = 200;
        let file = Self::open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)?;
        // SAFETY: this asks for another descriptor, and for a lock; none is the program's.
        unsafe {
            if syscall!(Sysno::flock, file.0, LOCK_NOW).is_err() {
                return Ok(false);
            }
            // Where there is no such number, the lock ends with this call.
            let _ = syscall!(Sysno::fcntl, file.0, F_DUPFD_CLOEXEC, HIGH);
        }
        Ok(true)
    }

    /// Opens a file that the kernel makes.
    pub(crate) fn open_to_read(path: &CStr) -> Result<Self, Errno> {
        Self::open(path, O_CLOEXEC)
    }

    fn open(path: &CStr, flags: usize) -> Result<Self, Errno> {
        // SAFETY: the kernel reads the path.
        unsafe { syscall!(Sysno::openat, AT_FDCWD, path.as_ptr(), flags, 0o666) }.map(Self)
    }

    /// Reads up to as many bytes as there is room for: 0 at the end.
    pub(crate) fn read(&self, into: &mut [u8]) -> Result<usize, Errno> {
        loop {
            // SAFETY: the kernel writes so many bytes.
            match unsafe { syscall!(Sysno::read, self.0, into.as_mut_ptr(), into.len()) } {
                Err(Errno::EINTR) => {}
                answer => return answer,
            }
        }
    }

    /// Writes all bytes.
    pub(crate) fn write(&self, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            // SAFETY: the kernel reads so many bytes.
            match unsafe { syscall!(Sysno::write, self.0, bytes.as_ptr(), bytes.len()) } {
                Ok(0) => return Err(Errno::ENOSPC),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: opened by this value, and nothing else has the descriptor.
        let _ = unsafe { syscall!(Sysno::close, self.0) };
    }
}
