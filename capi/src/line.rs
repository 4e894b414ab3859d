//! Formatted lines to a file descriptor, without allocation.

use core::ffi::c_int;
use core::fmt::{self, Write};
use hmalloc::process::write_line;
pub(crate) use hmalloc::process::{STDERR, Text};
use syscalls::Errno;

/// The longest line, with its newline.
const LINE: usize = 512;

/// Writes `hmalloc: TEXT` and a newline: the form in which the crate reports a misuse.
pub(crate) fn say(descriptor: c_int, text: fmt::Arguments<'_>) -> Result<(), Errno> {
    let mut line = Text::<LINE>::new();
    let _ = write!(line, "hmalloc: {text}");
    line.end_line();
    write_line(descriptor, line.as_bytes())
}
