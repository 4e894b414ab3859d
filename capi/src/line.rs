//! One line at a time to a file descriptor, without allocating.

use core::ffi::c_int;
use core::fmt::{self, Write};
pub(crate) use hmalloc::process::STDERR;
use hmalloc::process::write_line;
use syscalls::Errno;

/// A line under construction on the stack. What does not fit is left out.
struct Line {
    bytes: [u8; Self::MAX],
    length: usize,
}

impl Line {
    const MAX: usize = 512;
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes().iter().take(Self::MAX - 1 - self.length) {
            self.bytes[self.length] = byte;
            self.length += 1;
        }
        Ok(())
    }
}

/// Writes `hmalloc: TEXT` and a newline, as the crate writes a misuse.
pub(crate) fn say(descriptor: c_int, text: fmt::Arguments<'_>) -> Result<(), Errno> {
    let mut line = Line { bytes: [0; Line::MAX], length: 0 };
    let _ = write!(line, "hmalloc: {text}");
    line.bytes[line.length] = b'\n';
    write_line(descriptor, &line.bytes[..=line.length])
}
