//! A kind of system call that failed is left alone for some time.

/// In milliseconds, as the clock counts.
pub(crate) const SECOND: u64 = 1000;

/// A kind of call that is not tried again at once after it failed.
#[derive(Debug)]
pub(crate) struct Backoff {
    /// Dirty pages when it failed last.
    failed_with: usize,
    /// When it may be tried again, and how long it was to be left alone.
    until: u64,
    wait: u64,
}

impl Backoff {
    /// The longest time for which a call is not tried, in milliseconds.
    const WAIT_MAX: u64 = 64 * SECOND;

    pub(crate) const fn new() -> Self {
        Self { failed_with: 0, until: 0, wait: 0 }
    }

    /// Whether the call may be tried: it did not fail, or there is twice as much now, or its time is over.
    pub(crate) fn may_try(&self, dirty: usize, now: Option<u64>) -> bool {
        self.failed_with == 0 || dirty >= 2 * self.failed_with || now.is_some_and(|now| self.is_over(now))
    }

    pub(crate) fn is_over(&self, now: u64) -> bool {
        self.failed_with > 0 && self.until > 0 && now >= self.until
    }

    /// Whether it failed when it was tried last.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed_with > 0
    }

    /// The call failed, or was of no use.
    pub(crate) fn fail(&mut self, dirty: usize, now: Option<u64>) {
        self.failed_with = dirty.max(1);
        self.wait = (self.wait * 2).clamp(SECOND, Self::WAIT_MAX);
        self.until = now.map_or(0, |now| now + self.wait);
    }

    pub(crate) fn succeed(&mut self) {
        *self = Self::new();
    }
}
