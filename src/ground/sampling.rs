//! Which requests of a tier are samples: the count of bytes until the next one.
//!
//! Bytes are counted where a class claims a word of slots, not where it hands them out. If the sample falls on one of these
//! slots, the class claims only those before it: so the request that comes there finds none, takes the slow path, and is the
//! sample. Of slots of `s` bytes each is one with the chance `1 - e^(-s/mean)`, wherever a word begins or ends.

use crate::ground::chance::{interval, next_random};
use crate::ground::shared::{SharedU32, SharedUsize};

/// The count of one tier. All zeros: nothing is sampled. Written by the tier's owner, or by whoever has stopped it.
#[derive(Debug)]
pub(crate) struct Sampling {
    /// The mean number of bytes from a sample to the next. 0: nothing is sampled.
    mean: SharedUsize,
    /// Bytes until the next sample.
    until: SharedUsize,
    /// The halves of the state of the random numbers.
    state: [SharedU32; 2],
    /// A bit for each class whose next request without a slot at hand is a sample.
    due: [SharedU32; 2],
}

impl Sampling {
    /// Begins to sample one of `mean` bytes; with 0 ends it.
    pub(crate) fn begin(&self, mean: usize, seed: u64) {
        self.set_state(seed);
        self.due.iter().for_each(|due| due.set(0));
        self.mean.set(mean);
        self.until.set(self.draw());
    }

    fn set_state(&self, state: u64) {
        self.state[0].set(state as u32);
        self.state[1].set((state >> 32) as u32);
    }

    /// How many bytes pass until the next sample.
    fn draw(&self) -> usize {
        let state = u64::from(self.state[0].get()) | u64::from(self.state[1].get()) << 32;
        let (next, random) = next_random(state);
        self.set_state(next);
        interval(self.mean.get(), random)
    }

    /// Counts the free slots of a word, which class number `class` is about to claim, and returns those before the sample that
    /// falls on one of them: mostly all.
    #[inline(never)]
    pub(crate) fn cut(&self, class: usize, slot_size: usize, free: u64) -> u64 {
        if self.mean.get() == 0 {
            return free;
        }
        let (until, bytes) = (self.until.get(), free.count_ones() as usize * slot_size);
        if until >= bytes {
            self.until.set(until - bytes);
            return free;
        }
        self.until.set(self.draw());
        let due = &self.due[class / 32 % 2];
        due.set(due.get() | 1 << (class % 32));
        first_bits(free, until / slot_size)
    }

    /// Counts a block of its own. Whether it is a sample.
    pub(crate) fn counts(&self, bytes: usize) -> bool {
        if self.mean.get() == 0 {
            return false;
        }
        let until = self.until.get();
        let sampled = until < bytes;
        self.until.set(if sampled { self.draw() } else { until - bytes });
        sampled
    }

    /// Whether the next request of a class that has no slot at hand is a sample.
    #[inline]
    pub(crate) fn is_due(&self, class: usize) -> bool {
        self.due[class / 32 % 2].get() >> (class % 32) & 1 == 1
    }

    /// Notes that the sample was taken, or cannot be.
    pub(crate) fn clear_due(&self, class: usize) {
        let due = &self.due[class / 32 % 2];
        due.set(due.get() & !(1 << (class % 32)));
    }

    /// Does something while nothing is sampled.
    pub(crate) fn pause<R>(&self, act: impl FnOnce() -> R) -> R {
        let mean = self.mean.get();
        self.mean.set(0);
        let result = act();
        self.mean.set(mean);
        result
    }
}

/// The lowest `count` bits that are set.
fn first_bits(bits: u64, count: usize) -> u64 {
    let rest = (0..count).fold(bits, |rest, _| rest & rest.wrapping_sub(1));
    bits & !rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;

    fn of_mean(mean: usize) -> Box<Sampling> {
        let none = Sampling {
            mean: SharedUsize::new(0),
            until: SharedUsize::new(0),
            state: [SharedU32::new(0), SharedU32::new(0)],
            due: [SharedU32::new(0), SharedU32::new(0)],
        };
        none.begin(mean, 7);
        Box::new(none)
    }

    /// However slots come in words, each is a sample with the same chance, and it is the slot after those that were claimed.
    #[test]
    fn each_slot_has_the_same_chance_wherever_words_begin() {
        let (mean, slot, rounds) = (4096, 64, if cfg!(miri) { 300 } else { 60_000 });
        let chance = -(-(64.0_f64) / 4096.0).exp_m1();
        for words in [u64::MAX, 0x1, 0x8000_0000_0010_0001] {
            let (sampling, mut slots, mut samples) = (of_mean(mean), 0_u32, 0_u32);
            while slots < rounds {
                let mut left = words;
                while left != 0 {
                    let claimed = sampling.cut(40, slot, left);
                    slots += claimed.count_ones();
                    left &= !claimed;
                    if sampling.is_due(40) {
                        assert!(claimed == 0 || left == 0 || claimed < 1 << left.trailing_zeros(), "the lowest first");
                        // The request takes no slot of the word, but stands for the next one.
                        left &= left.wrapping_sub(1);
                        (slots, samples) = (slots + 1, samples + 1);
                        sampling.clear_due(40);
                    }
                }
            }
            let share = f64::from(samples) / f64::from(slots);
            assert!(cfg!(miri) || (share / chance - 1.0).abs() < 0.12, "{share} is not {chance} in words {words:#x}");
        }
    }

    #[test]
    fn a_mean_of_one_samples_everything_and_of_none_nothing() {
        let all = of_mean(1);
        assert_eq!(all.cut(3, 16, u64::MAX), 0);
        assert!(all.is_due(3) && !all.is_due(35) && !all.is_due(2) && all.counts(1));
        all.pause(|| assert_eq!(all.cut(5, 16, 6), 6));
        let none = of_mean(0);
        assert_eq!(none.cut(3, 16, 5), 5);
        assert!(!none.is_due(3) && !none.counts(usize::MAX));
    }
}
