//! Numbers of bytes for a person to read.

use core::fmt::{self, Display, Formatter, Write};

/// A number of bytes, displayed in the largest unit of which there is at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub usize);

impl Display for Bytes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(bytes) = *self;
        let (unit, shift) = match bytes {
            0x4000_0000.. => ("GiB", 30),
            0x10_0000.. => ("MiB", 20),
            0x400.. => ("KiB", 10),
            _ => return pad(f, format_args!("{bytes} B")),
        };
        let tenths = (bytes >> (shift - 10)) * 10 / 1024;
        pad(f, format_args!("{}.{} {unit}", tenths / 10, tenths % 10))
    }
}

/// Writes a short text in the width that the formatter has.
fn pad(f: &mut Formatter<'_>, text: fmt::Arguments<'_>) -> fmt::Result {
    let mut short = Short { filled: 0, text: [0; SHORT] };
    short.write_fmt(text)?;
    f.pad(core::str::from_utf8(&short.text[..short.filled]).unwrap_or_default())
}

/// More than the longest text of a [`Bytes`].
const SHORT: usize = 32;

struct Short {
    filled: usize,
    text: [u8; SHORT],
}

impl Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.filled + text.len();
        self.text.get_mut(self.filled..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.filled = end;
        Ok(())
    }
}
