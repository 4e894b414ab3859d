//! What the probe's steps share: failures with a reason, waiting, and random numbers.

use core::fmt;
use syscalls::{Sysno, syscall};

/// Why a step failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure {
    what: &'static str,
    number: usize,
}

impl Failure {
    /// A failure, with a number that helps to find the cause.
    pub(crate) fn new(what: &'static str, number: usize) -> Self {
        Self { what, number }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:#x})", self.what, self.number)
    }
}

/// Fails with `what`, and a number that helps to find the cause, unless `holds`.
pub(crate) fn ensure(holds: bool, what: &'static str, number: usize) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::new(what, number)) }
}

/// Waits until `holds`, and lets others run meanwhile.
pub(crate) fn wait_until(holds: impl Fn() -> bool) {
    while !holds() {
        core::hint::spin_loop();
        // SAFETY: it only lets other threads run.
        let _ = unsafe { syscall!(Sysno::sched_yield) };
    }
}

/// Pseudorandom numbers: Marsaglia's xorshift on 32 bits, which is fast on every architecture.
pub(crate) struct Random(pub(crate) u32);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as usize % limit
    }
}
