//! The heap in one line, and the report.

use crate::line::say;
use crate::shared::HEAP;
use core::ffi::c_int;
use hmalloc::Corruption;
use syscalls::Errno;

/// Checks the whole heap.
pub(crate) fn check() -> Result<(), Corruption> {
    HEAP.check()
}

/// Writes the summary to `descriptor`.
pub(crate) fn print(descriptor: c_int) -> Result<(), Errno> {
    say(descriptor, format_args!("{}", HEAP.summary()))
}

/// Writes the report to `descriptor`.
pub(crate) fn write(descriptor: c_int) -> Result<(), Errno> {
    HEAP.say_report(descriptor)
}
