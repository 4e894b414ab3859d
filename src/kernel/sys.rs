//! The last things a process says and does: one line on a descriptor, and dying.

mod signals;
mod write;

pub use signals::abort;
pub(crate) use write::write_to_stderr;
pub use write::{STDERR, write_line};

/// Writes a line to standard error and ends the process by `SIGABRT`.
#[cold]
pub(crate) fn die(line: &str) -> ! {
    write_to_stderr(line.as_bytes());
    abort()
}
