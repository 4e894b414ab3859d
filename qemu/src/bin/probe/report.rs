//! Writing a line to a broken and to a full pipe: signal sets, times and flags differ between architectures.

use crate::steps::{Failure, ensure};
use hmalloc::process::write_line;
use hmalloc_runtime::Errno;
use syscalls::{Sysno, syscall};

/// As long as what a pipe takes whole or not at all.
const LINE: [u8; 4096] = [b'x'; 4096];
/// More lines than fit into a pipe.
const MANY: usize = 4096;

/// The process survives a broken pipe and a full one, and gets the reason why nothing was written.
pub(crate) fn run() -> Result<(), Failure> {
    let [reader, writer] = pipe()?;
    close(reader);
    for _ in 0..2 {
        ensure(write_line(writer, &LINE) == Err(Errno::EPIPE), "a broken pipe", 0)?;
    }
    let [reader, writer] = pipe()?;
    let lines = (0..MANY).take_while(|_| write_line(writer, &LINE).is_ok()).count();
    ensure(lines > 0 && lines < MANY, "a pipe's room", lines)?;
    ensure(write_line(writer, &LINE) == Err(Errno::EAGAIN), "a full pipe", lines)?;
    let mut read = [0; LINE.len()];
    for _ in 0..2 {
        // SAFETY: the kernel writes to the buffer, of the size that is passed.
        let count = unsafe { syscall!(Sysno::read, reader, read.as_mut_ptr(), read.len()) };
        ensure(count == Ok(LINE.len()), "reading", count.unwrap_or(0))?;
        ensure(write_line(writer, &LINE).is_ok(), "a pipe with room again", lines)?;
    }
    Ok(())
}

fn pipe() -> Result<[i32; 2], Failure> {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two numbers.
    let made = unsafe { syscall!(Sysno::pipe2, ends.as_mut_ptr(), 0) };
    ensure(made.is_ok(), "a pipe", 0).map(|()| ends)
}

fn close(descriptor: i32) {
    // SAFETY: made above; it is not used again.
    let _ = unsafe { syscall!(Sysno::close, descriptor) };
}
