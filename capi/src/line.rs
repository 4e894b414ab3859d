//! Formatted lines to a file descriptor, without allocation.

use core::ffi::c_int;
use core::fmt::{self, Write};
pub(crate) use hmalloc::process::STDERR;
use hmalloc::process::write_line;
use syscalls::Errno;

/// A text on the stack. What does not fit is left out.
pub(crate) struct Text<const MAX: usize> {
    bytes: [u8; MAX],
    length: usize,
}

impl<const MAX: usize> Text<MAX> {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; MAX], length: 0 }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl<const MAX: usize> Write for Text<MAX> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (place, &byte) in self.bytes.iter_mut().skip(self.length).zip(text.as_bytes()) {
            *place = byte;
            self.length += 1;
        }
        Ok(())
    }
}

/// The longest line, with its newline.
const LINE: usize = 512;

/// Writes `hmalloc: TEXT` and a newline: the form in which the crate reports a misuse.
pub(crate) fn say(descriptor: c_int, text: fmt::Arguments<'_>) -> Result<(), Errno> {
    let mut line = Text::<LINE>::new();
    let _ = write!(line, "hmalloc: {text}");
    // Without room for the newline, it replaces the last byte.
    line.length = line.length.min(LINE - 1);
    let _ = line.write_str("\n");
    write_line(descriptor, line.as_bytes())
}
