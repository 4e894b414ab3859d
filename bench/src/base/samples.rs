//! The samples of one process, in memory that no allocator knows.

use super::kernel;
use super::stats;

/// More than a median needs.
const MOST: usize = 100_000;
/// As many are taken whatever they cost, unless that is twice the budget.
const LEAST: usize = 3;

pub(crate) struct Samples {
    table: &'static mut [f64],
    count: usize,
    /// Nanoseconds.
    budget: u64,
}

impl Samples {
    pub(crate) fn new(milliseconds: u64) -> Self {
        Self { table: kernel::table(MOST, |_| 0.0), count: 0, budget: milliseconds * 1_000_000 }
    }

    /// Keeps a sample after `spent` nanoseconds in all, and says whether there should be another.
    pub(crate) fn add(&mut self, sample: f64, spent: u64) -> bool {
        self.table[self.count] = sample;
        self.count += 1;
        let has_time = self.count < LEAST || (self.count < MOST && spent < self.budget);
        has_time && spent <= 2 * self.budget
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The middle one, the fastest, the slowest, and how many there are.
    pub(crate) fn figures(&mut self) -> [f64; 4] {
        let samples = &mut self.table[..self.count];
        let middle = stats::middle(samples);
        [middle, samples[0], samples[samples.len() - 1], samples.len() as f64]
    }
}

#[cfg(test)]
mod tests {
    use super::Samples;

    #[test]
    fn samples_are_taken_until_the_budget_is_spent() {
        let mut samples = Samples::new(1);
        assert_eq!(
            [200_000, 400_000, 600_000, 1_000_000].map(|spent| samples.add(2.0, spent)),
            [true, true, true, false]
        );
        samples.add(9.0, 0);
        assert_eq!(samples.figures(), [2.0, 2.0, 9.0, 5.0]);
    }

    #[test]
    fn there_are_three_unless_that_takes_twice_as_long() {
        let mut samples = Samples::new(1);
        assert_eq!([1_500_000, 1_900_000, 1_950_000].map(|spent| samples.add(1.0, spent)), [true, true, false]);
        assert!(!Samples::new(1).add(1.0, 2_000_001));
    }
}
