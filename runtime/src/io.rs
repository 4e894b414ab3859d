//! Files, and text output that survives partial writes and interruptions.

use core::ffi::CStr;
use core::fmt::{self, Write};
use syscalls::{Errno, Sysno, syscall};

/// An open file: a file descriptor. It may be copied freely, because nothing closes it: a file stays open until the
/// process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File(usize);

/// Standard input.
pub const STDIN: File = File(0);
/// Standard output.
pub const STDOUT: File = File(1);
/// Standard error.
pub const STDERR: File = File(2);

/// `openat`'s name for "relative to the current directory".
const AT_FDCWD: usize = -100isize as usize;

/// Without this flag a 32-bit process cannot open files of 2 GiB and more.
const O_LARGEFILE: usize = if cfg!(target_pointer_width = "64") {
    0
} else if cfg!(target_arch = "arm") {
    0x2_0000
} else if cfg!(target_arch = "powerpc") {
    0x1_0000
} else if cfg!(target_arch = "mips") {
    0x2000
} else {
    0x8000
};

impl File {
    /// Opens an existing file for reading. A directory opens, too, and the first read of it fails with `EISDIR`.
    ///
    /// # Errors
    ///
    /// Why the kernel refused. An interruption (`EINTR`) is none: the call is repeated.
    pub fn open(path: &CStr) -> Result<Self, Errno> {
        retry(|| {
            // SAFETY: `path` ends with a zero byte, and opening a file for reading changes nothing in this process.
            unsafe { syscall!(Sysno::openat, AT_FDCWD, path.as_ptr(), O_LARGEFILE, 0) }
        })
        .map(Self)
    }

    /// Reads into `buffer`, in one system call. Returns how many bytes came: fewer than fit where no more are ready,
    /// and 0 at the end.
    ///
    /// # Errors
    ///
    /// Why the kernel refused. An interruption (`EINTR`) is none.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        retry(|| {
            // SAFETY: the kernel writes at most `len` bytes into the buffer.
            unsafe { syscall!(Sysno::read, self.0, buffer.as_mut_ptr(), buffer.len()) }
        })
    }

    /// Writes all of `bytes`, in as many system calls as the kernel makes of it.
    ///
    /// # Errors
    ///
    /// Why the kernel refused; some of the bytes may have been written. A pipe without a reader is `EPIPE`, and raises
    /// no signal. An interruption (`EINTR`) is none.
    pub fn write_all(&self, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            let written = retry(|| {
                // SAFETY: the kernel reads at most `len` bytes of the slice.
                unsafe { syscall!(Sysno::write, self.0, bytes.as_ptr(), bytes.len()) }
            })?;
            if written == 0 {
                return Err(Errno::EIO);
            }
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }
}

/// Repeats a system call until no signal interrupts it.
fn retry(mut call: impl FnMut() -> Result<usize, Errno>) -> Result<usize, Errno> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            answer => return answer,
        }
    }
}

const BUFFER: usize = 1024;

/// Text output through a buffer of 1 KiB, which is part of the value: nothing is allocated. Call
/// [`flush`](Self::flush) at the end, for dropping it writes nothing.
///
/// The first error is kept. From then on nothing is written, and both `write!` and [`flush`](Self::flush) fail.
#[derive(Debug)]
pub struct Output {
    file: File,
    filled: usize,
    failed: Option<Errno>,
    buffer: [u8; BUFFER],
}

impl Output {
    /// A writer to `file`, with an empty buffer.
    pub const fn new(file: File) -> Self {
        Self { file, filled: 0, failed: None, buffer: [0; BUFFER] }
    }

    /// Writes what is in the buffer.
    ///
    /// # Errors
    ///
    /// The first error of all writes so far.
    pub fn flush(&mut self) -> Result<(), Errno> {
        if self.failed.is_none() {
            self.failed = self.file.write_all(&self.buffer[..self.filled]).err();
        }
        self.filled = 0;
        self.failed.map_or(Ok(()), Err)
    }
}

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut bytes = text.as_bytes();
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BUFFER - self.filled));
            self.buffer[self.filled..self.filled + now.len()].copy_from_slice(now);
            self.filled += now.len();
            bytes = later;
            if self.filled == BUFFER {
                self.flush().map_err(|_| fmt::Error)?;
            }
        }
        if self.failed.is_some() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Displays an argument or a path as text. A sequence that is not UTF-8, and a character that would control the
/// terminal, becomes U+FFFD.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a>(pub &'a CStr);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.to_bytes().utf8_chunks() {
            for character in part.valid().chars() {
                f.write_char(if character.is_control() { char::REPLACEMENT_CHARACTER } else { character })?;
            }
            if !part.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

/// Writes a message to standard error: `say(format_args!("..."))`. It is one system call if the message fits the buffer
/// of an [`Output`]. An error is ignored, for there is nowhere left to report it.
pub fn say(message: fmt::Arguments<'_>) {
    let mut output = Output::new(STDERR);
    let _ = output.write_fmt(message);
    let _ = output.flush();
}
