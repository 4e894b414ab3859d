//! Waiting for other threads, awake: what is measured lasts microseconds, and the kernel's wake-ups as long.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::thread::yield_now;

/// How often a thread looks before it offers its processor to others.
const LOOKS: usize = 500;

/// Waits until `is_so`.
#[inline(always)]
pub(super) fn wait_until(mut is_so: impl FnMut() -> bool) {
    let mut looks = 0;
    while !is_so() {
        looks += 1;
        if looks < LOOKS { spin_loop() } else { yield_now() }
    }
}

/// In cache lines of its own: two, because neighbours are fetched in pairs.
#[repr(align(128))]
pub(super) struct Apart<T>(pub(super) T);

/// Where threads wait for each other, again and again.
pub(super) struct Meet {
    count: usize,
    arrived: Apart<AtomicUsize>,
    meetings: Apart<AtomicUsize>,
}

impl Meet {
    /// Of `count` threads.
    pub(super) fn new(count: usize) -> Self {
        Self { count, arrived: Apart(AtomicUsize::new(0)), meetings: Apart(AtomicUsize::new(0)) }
    }

    /// Returns when all have called it. What each did before, all see.
    pub(super) fn wait(&self) {
        let meeting = self.meetings.0.load(Relaxed);
        if self.arrived.0.fetch_add(1, AcqRel) + 1 == self.count {
            self.arrived.0.store(0, Relaxed);
            self.meetings.0.store(meeting + 1, Release);
        } else {
            wait_until(|| self.meetings.0.load(Acquire) != meeting);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_see_what_each_did_before_they_met() {
        const THREADS: usize = 3;
        let (meet, sum) = (Meet::new(THREADS), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for round in 1..=1_000 {
                        sum.fetch_add(1, Relaxed);
                        meet.wait();
                        assert_eq!(sum.load(Relaxed), round * THREADS);
                        meet.wait();
                    }
                });
            }
        });
    }
}
