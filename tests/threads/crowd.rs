//! What scenarios with several threads share: a process whose threads end together, volumes, places to meet.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, SeqCst};
use std::sync::{Condvar, Mutex, MutexGuard};
use support::calls::KIB;
use support::child::Ended;

/// Runs `body` in a process of its own, which a panic in any thread ends: other threads would wait for that one for ever.
pub(crate) fn scenario<T>(test: &T, body: impl FnOnce() + Send + 'static) {
    let ended = observe(test, body);
    assert!(ended.finished, "the scenario failed: {ended:#?}");
}

/// The same, and tells how the process ended.
pub(crate) fn observe<T>(test: &T, body: impl FnOnce() + Send + 'static) -> Ended {
    support::child::observe(test, "", &[], |_| {
        end_all_on_panic();
        body();
    })
}

fn end_all_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        // SAFETY: nothing runs after it.
        unsafe { libc::_exit(101) };
    }));
}

/// A number from the environment, or the usual one. A scenario that was asked for more than usual is not ended by the
/// clock.
pub(crate) fn volume(name: &str, usual: usize) -> usize {
    let Ok(text) = std::env::var(name) else { return usual };
    // SAFETY: takes an alarm away.
    unsafe { libc::alarm(0) };
    text.parse().expect("a number")
}

/// `usual`, times `HMALLOC_TEST_FACTOR`.
pub(crate) fn times(usual: usize) -> usize {
    usual * volume("HMALLOC_TEST_FACTOR", 1)
}

/// Bytes of physical memory that the process occupies.
pub(crate) fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").expect("/proc is mounted");
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).expect("a line");
    line.split_whitespace().next().and_then(|word| word.parse::<usize>().ok()).expect("a number") * KIB
}

/// Where threads meet again and again, to go on at the same instant.
#[derive(Debug)]
pub(crate) struct Meeting {
    parties: usize,
    arrived: AtomicUsize,
    /// How many wait asleep.
    asleep: AtomicUsize,
    bed: Mutex<()>,
    bell: Condvar,
}

/// For how long a thread waits awake: some hundred times what a round of a race takes.
const AWAKE: usize = 500;

impl Meeting {
    pub(crate) const fn of(parties: usize) -> Self {
        let [arrived, asleep] = [const { AtomicUsize::new(0) }; 2];
        Self { parties, arrived, asleep, bed: Mutex::new(()), bell: Condvar::new() }
    }

    /// Returns when all have come for the `round`th time, counted from 0. They spin, for a thread that sleeps goes on late. Who
    /// waits long does sleep: one of them has no processor, and one that yields its own goes on waiting behind all others
    /// that want it, while one that is woken soon runs.
    pub(crate) fn meet(&self, round: usize) {
        let all = (round + 1) * self.parties;
        if self.arrived.fetch_add(1, SeqCst) + 1 >= all {
            if self.asleep.load(SeqCst) > 0 {
                drop(self.bed());
                self.bell.notify_all();
            }
            return;
        }
        for _ in 0..AWAKE {
            if self.arrived.load(Acquire) >= all {
                return;
            }
            spin_loop();
        }
        self.sleep(all);
    }

    #[cold]
    fn sleep(&self, all: usize) {
        let mut bed = self.bed();
        // Who comes last sees this, or is counted when `arrived` is read.
        self.asleep.fetch_add(1, SeqCst);
        while self.arrived.load(SeqCst) < all {
            bed = self.bell.wait(bed).expect("no thread panics in bed");
        }
        self.asleep.fetch_sub(1, SeqCst);
    }

    fn bed(&self) -> MutexGuard<'_, ()> {
        self.bed.lock().expect("no thread panics in bed")
    }
}

/// Lets a little time pass, another one each round: who meets shall not go on in the same order each time.
pub(crate) fn dawdle(round: usize, number: usize) {
    let steps = round.wrapping_add(number * 7).wrapping_mul(0x9E37_79B1) >> 7 & 63;
    (0..steps).for_each(|step| _ = black_box(step));
}
