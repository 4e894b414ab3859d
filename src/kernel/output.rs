//! Text that goes to a file in pieces of some KiB, put together in a mapping of its own: whoever writes may be a signal handler on a
//! small stack.

use super::brk::{map_alone, unmap_alone};
use super::file::File;
use core::fmt;
use syscalls::Errno;

const BUFFER: usize = 16 << 10;

/// A file that is written, with what is not in it yet.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    buffer: &'static mut [u8],
    filled: usize,
    error: Option<Errno>,
}

impl Output {
    pub(crate) fn new(file: File) -> Result<Self, Errno> {
        let mapping = map_alone(BUFFER).map_err(|_| Errno::ENOMEM)?;
        // SAFETY: a mapping of that size, which no other code uses.
        let buffer =
            unsafe { core::slice::from_raw_parts_mut(core::ptr::with_exposed_provenance_mut(mapping), BUFFER) };
        Ok(Self { file, buffer, filled: 0, error: None })
    }

    /// Adds bytes. After an error nothing is written any more.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        for piece in bytes.chunks(BUFFER) {
            if BUFFER - self.filled < piece.len() {
                self.flush()?;
            }
            if let Some(place) = self.buffer.get_mut(self.filled..self.filled + piece.len()) {
                place.copy_from_slice(piece);
                self.filled += piece.len();
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Errno> {
        let filled = core::mem::take(&mut self.filled);
        let written = match self.error {
            Some(error) => Err(error),
            None => self.file.write(self.buffer.get(..filled).unwrap_or_default()),
        };
        self.error = written.err();
        written
    }

    /// Writes the rest. Says whether all was written.
    pub(crate) fn finish(mut self) -> Result<(), Errno> {
        self.flush()
    }
}

impl fmt::Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and not used any more.
        unsafe { unmap_alone(self.buffer.as_mut_ptr().addr(), BUFFER) };
    }
}
