//! Backing off: a kind of system call that failed is not tried again for some time.

use crate::kernel::parts::RETURNS;

/// In milliseconds, as the clock counts.
pub(crate) const SECOND: u64 = 1000;

/// When a kind of call may be tried again after it failed.
#[derive(Debug)]
pub(crate) struct Backoff {
    /// Dirty pages when it failed last.
    failed_with: usize,
    /// When it may be tried again, and how long that was from the failure.
    until: u64,
    wait: u64,
}

impl Backoff {
    /// The longest wait between two tries, in milliseconds.
    const WAIT_MAX: u64 = 64 * SECOND;

    pub(crate) const fn new() -> Self {
        Self { failed_with: 0, until: 0, wait: 0 }
    }

    /// Whether the call may be tried: it did not fail, or twice as much is dirty now, or the wait is over.
    pub(crate) fn may_try(&self, dirty: usize, now: Option<u64>) -> bool {
        self.failed_with == 0 || dirty >= 2 * self.failed_with || now.is_some_and(|now| self.is_over(now))
    }

    /// Whether the wait after a failure is over.
    pub(crate) fn is_over(&self, now: u64) -> bool {
        self.failed_with > 0 && self.until > 0 && now >= self.until
    }

    /// Whether the last try failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed_with > 0
    }

    /// Notes that the call failed, or had no effect.
    pub(crate) fn fail(&mut self, dirty: usize, now: Option<u64>) {
        self.failed_with = dirty.max(1);
        if !RETURNS {
            return;
        }
        self.wait = (self.wait * 2).clamp(SECOND, Self::WAIT_MAX);
        self.until = now.map_or(0, |now| now + self.wait);
    }

    /// Notes that the call succeeded.
    pub(crate) fn succeed(&mut self) {
        *self = Self::new();
    }
}
