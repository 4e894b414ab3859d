//! One line at a time to a file descriptor, without allocating.

use core::ffi::c_int;
use core::fmt::{self, Write};
use syscalls::{Errno, Sysno, syscall};

/// The file descriptor of standard error.
pub(crate) const STDERR: c_int = 2;

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

/// Writes `hmalloc: TEXT` and a newline. One write, unless that is interrupted or cut short.
pub(crate) fn say(descriptor: c_int, text: fmt::Arguments<'_>) -> Result<(), ()> {
    let mut line = Line { bytes: [0; Line::MAX], length: 0 };
    let _ = write!(line, "hmalloc: {text}");
    line.bytes[line.length] = b'\n';
    let mut left = &line.bytes[..=line.length];
    while !left.is_empty() {
        // SAFETY: the kernel reads the bytes.
        match unsafe { syscall!(Sysno::write, descriptor, left.as_ptr(), left.len()) } {
            Ok(0) => return Err(()),
            Ok(count) => left = &left[count.min(left.len())..],
            Err(Errno::EINTR) => {}
            Err(_) => return Err(()),
        }
    }
    Ok(())
}
