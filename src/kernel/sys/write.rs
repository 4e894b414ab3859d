//! One line to a descriptor that the program made, whatever it is: a file, a terminal, a pipe that is broken, full or
//! in non-blocking mode.

use super::signals::HeldSignals;
use crate::kernel::call::{Errno, Sysno, syscall};
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;

/// The descriptor of standard error, whatever the program has made of it.
pub const STDERR: i32 = 2;

/// How many seconds a line waits for room, altogether.
const PATIENCE: usize = 2;
/// How often a line is tried. A timer that interrupts every 50 microseconds leaves it the whole of its patience.
const ATTEMPTS: usize = 1 << 16;
const POLLOUT: i16 = 4;

/// The last line was given up for lack of room. The next one does not wait: a program that reports a thousand lines to
/// a pipe that no process reads loses [`PATIENCE`] once.
static GAVE_UP: AtomicBool = AtomicBool::new(false);

/// The kernel's `struct pollfd`.
#[repr(C)]
struct Poll {
    descriptor: i32,
    wanted: i16,
    found: i16,
}

/// Writes a line to standard error. One that cannot be written is no error here: there is nowhere to say so.
pub(crate) fn write_to_stderr(line: &[u8]) {
    let _ = write_line(STDERR, line);
}

/// Writes a line of at most 4096 bytes, in one write unless the kernel cuts it short. Neither a signal nor a broken or
/// a full pipe ends or stops the caller: a line that finds no room within two seconds is given up.
///
/// Room for a whole line is what a pipe or a socket means by being writable. A terminal means room for one byte, so a
/// terminal that is stopped may make the caller wait; so may a pipe that another writer fills between look and write.
///
/// # Errors
///
/// Why not all of it was written. `EAGAIN` if it was given up.
pub fn write_line(descriptor: i32, line: &[u8]) -> Result<(), Errno> {
    let held = HeldSignals::new();
    let patience = if GAVE_UP.load(Relaxed) { 0 } else { PATIENCE };
    let result = write_all(descriptor, line, patience);
    GAVE_UP.store(result == Err(Errno::EAGAIN), Relaxed);
    held.release(result.err());
    result
}

fn write_all(descriptor: i32, mut left: &[u8], seconds: usize) -> Result<(), Errno> {
    // The kernel's old `struct timespec`: two words. It counts down across interruptions.
    let mut patience = [seconds, 0];
    for _ in 0..ATTEMPTS {
        if left.is_empty() {
            return Ok(());
        }
        if !has_room(descriptor, &mut patience)? {
            continue;
        }
        // SAFETY: the kernel reads the bytes.
        match unsafe { syscall!(Sysno::write, descriptor, left.as_ptr(), left.len()) } {
            Ok(0) => return Err(Errno::EIO),
            Ok(count) => left = left.get(count..).unwrap_or_default(),
            // Interrupted, or another writer was faster.
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Errno::EAGAIN)
}

/// Waits until a write would not block. `false` if it was interrupted; `EAGAIN` once the patience is at an end.
fn has_room(descriptor: i32, patience: &mut [usize; 2]) -> Result<bool, Errno> {
    let mut poll = Poll { descriptor, wanted: POLLOUT, found: 0 };
    // SAFETY: the kernel writes to the one `Poll` and, in what is left of it, to the time. No signal mask is passed.
    match unsafe { syscall!(Sysno::ppoll, &raw mut poll, 1, patience.as_mut_ptr(), 0, 0) } {
        Ok(0) => Err(Errno::EAGAIN),
        Err(Errno::EINTR) => Ok(false),
        // Writable or broken. Or the kernel does not say, as in a sandbox or where a process may open nothing (EINVAL):
        // the write will.
        Ok(_) | Err(_) => Ok(true),
    }
}
