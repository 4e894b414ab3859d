//! The file that `HMALLOC_LOG` names.

use crate::kernel::line::say;
use crate::kernel::sys::STDERR;
use core::ffi::{CStr, c_int};
use core::fmt;
use syscalls::{Errno, Sysno, syscall};

const MIPS: bool = cfg!(any(target_arch = "mips", target_arch = "mips64"));
/// Each with 32 bits and with 64.
const ARM_OR_POWERPC: bool =
    cfg!(any(target_arch = "arm", target_arch = "aarch64", target_arch = "powerpc", target_arch = "powerpc64"));

pub(super) const AT_FDCWD: isize = -100;
pub(super) const O_WRONLY: usize = 1;
pub(super) const O_CREAT: usize = if MIPS { 0o400 } else { 0o100 };
pub(super) const O_TRUNC: usize = 0o1000;
pub(super) const O_NOCTTY: usize = if MIPS { 0o4000 } else { 0o400 };
const O_APPEND: usize = if MIPS { 0o10 } else { 0o2000 };
pub(super) const O_NONBLOCK: usize = if MIPS { 0o200 } else { 0o4000 };
pub(super) const O_NOFOLLOW: usize = if ARM_OR_POWERPC { 0o100_000 } else { 0o400_000 };
pub(super) const O_CLOEXEC: usize = 0o2_000_000;

/// The names of likely errors. The `syscalls` crate has all of them, in a table that the loader would have to relocate
/// in each process.
const NAMES: [(Errno, &str); 12] = [
    (Errno::EACCES, "EACCES"),
    (Errno::EAGAIN, "EAGAIN"),
    (Errno::EFBIG, "EFBIG"),
    (Errno::EISDIR, "EISDIR"),
    (Errno::ELOOP, "ELOOP"),
    (Errno::EMFILE, "EMFILE"),
    (Errno::ENAMETOOLONG, "ENAMETOOLONG"),
    (Errno::ENOENT, "ENOENT"),
    (Errno::ENOSPC, "ENOSPC"),
    (Errno::ENOTDIR, "ENOTDIR"),
    (Errno::ENXIO, "ENXIO"),
    (Errno::EROFS, "EROFS"),
];

/// An error, as its name or its number.
pub(crate) struct Reason(pub(crate) Errno);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(known, _)| *known == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "error {}", self.0.into_raw()),
        }
    }
}

/// Has `print` append to the file that the path names, or without one, or if that fails, write to standard error, after the
/// reason.
pub(crate) fn print(path: Option<&CStr>, print: impl Fn(c_int) -> Result<(), Errno>) {
    if let Some(path) = path {
        let Err(reason) = append(path, &print) else { return };
        let reason = Reason(reason);
        let _ = say(STDERR, format_args!("HMALLOC_LOG cannot be written, {reason}: standard error it is"));
    }
    let _ = print(STDERR);
}

fn append(path: &CStr, print: impl Fn(c_int) -> Result<(), Errno>) -> Result<(), Errno> {
    let log = open(path)?;
    let result = print(log);
    // SAFETY: opened above, and nothing else has the descriptor.
    let _ = unsafe { syscall!(Sysno::close, log) };
    result
}

/// Opens a file to append to. A path that ends in a symbolic link is refused, and so is a FIFO without a reader,
/// because opening never waits. The file does not become the controlling terminal, and is closed if another thread
/// executes a program.
fn open(path: &CStr) -> Result<c_int, Errno> {
    let flags = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    // SAFETY: the kernel reads the path.
    let opened = unsafe { syscall!(Sysno::openat, AT_FDCWD, path.as_ptr(), flags, 0o666) }?;
    c_int::try_from(opened).map_err(|_| Errno::EBADF)
}
