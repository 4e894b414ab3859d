//! How much of all processors other programs have: nothing else says whether wall time can be believed.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use std::time::Duration;

/// Processor time since the machine started.
#[derive(Clone, Copy)]
pub(crate) struct Neighbours {
    /// Of all processors.
    all: Duration,
    busy: Duration,
    /// Of this program, and of its children that have ended.
    own: Duration,
}

impl Neighbours {
    pub(crate) fn begin() -> Self {
        let ticks = procfs::ticks_per_second();
        let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let [all, busy] = count(&text).map(|count| Duration::from_millis(count * 1000 / ticks));
        let of = |who| getrusage(who).map_or(0, |usage| microseconds(usage.user_time(), usage.system_time()));
        let own = Duration::from_micros(of(UsageWho::RUSAGE_SELF) + of(UsageWho::RUSAGE_CHILDREN));
        Self { all, busy, own }
    }

    /// What others had since then.
    pub(crate) fn percent(self) -> f64 {
        self.until(Self::begin())
    }

    fn until(self, now: Self) -> f64 {
        let [all, busy, own] = [now.all - self.all, now.busy - self.busy, now.own - self.own];
        100.0 * busy.saturating_sub(own).as_secs_f64() / all.as_secs_f64().max(f64::EPSILON)
    }
}

fn microseconds(user: TimeVal, system: TimeVal) -> u64 {
    (user + system).num_microseconds() as u64
}

/// Ticks of all processors, and those in which they were not idle, from the first line of `/proc/stat`: user, nice,
/// system, idle, waiting for a disk, two kinds of interrupts, and what a host took away. What follows is in the first.
fn count(text: &str) -> [u64; 2] {
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
    let all = ticks.iter().sum();
    [all, all - ticks.iter().skip(3).take(2).sum::<u64>()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_waiting_are_not_busy() {
        assert_eq!(count("cpu  100 20 30 400 50 6 7 8 90 0\ncpu0 1 2 3"), [621, 171]);
        assert_eq!(count(""), [0, 0]);
        let [all, busy] = count(&std::fs::read_to_string("/proc/stat").expect("a file that every Linux has"));
        assert!(busy > 0 && all > busy, "{busy} of {all}");
    }

    #[test]
    fn what_others_had_is_what_we_did_not_have() {
        let of = |[all, busy, own]: [u64; 3]| {
            let [all, busy, own] = [all, busy, own].map(Duration::from_secs);
            Neighbours { all, busy, own }
        };
        assert_eq!(of([100, 50, 10]).until(of([120, 64, 19])), 25.0);
        assert_eq!(of([100, 50, 10]).until(of([120, 58, 19])), 0.0);
    }
}
