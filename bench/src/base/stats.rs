//! What is made of several numbers of the same thing.

/// The middle one; the mean of the two in the middle if their count is even.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { *upper } else { (sorted[middle - 1] + upper) / 2.0 })
}

/// The middle one of samples, which are sorted for it, the upper one of two. Takes no memory, which a child must not
/// take from what it measures.
pub(crate) fn middle(samples: &mut [f64]) -> f64 {
    samples.sort_unstable_by(f64::total_cmp);
    samples[samples.len() / 2]
}

pub(crate) fn smallest(values: &[f64]) -> Option<f64> {
    values.iter().copied().min_by(f64::total_cmp)
}

pub(crate) fn largest(values: &[f64]) -> Option<f64> {
    values.iter().copied().max_by(f64::total_cmp)
}

/// Which of several processes stands for all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Process {
    /// As a user meets it on average.
    Middle,
    /// With the least disturbance by others.
    Best,
}

impl Process {
    pub(crate) fn of(self, values: &[f64]) -> Option<f64> {
        match self {
            Process::Middle => median(values),
            Process::Best => smallest(values),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        if self == Process::Middle { "middle" } else { "best" }
    }

    pub(crate) fn other(self) -> Self {
        if self == Process::Middle { Process::Best } else { Process::Middle }
    }
}

/// Whether `ratio` is at most `bound` as printed, with two digits behind the point.
pub(crate) fn at_most(ratio: f64, bound: f64) -> bool {
    ratio < bound + 0.005
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_even_one_and_none() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!((median(&[7.0]), median(&[])), (Some(7.0), None));
        // Numbers, not texts, are sorted.
        assert_eq!(median(&[10.0, 9.0, 100.0]), Some(10.0));
    }

    #[test]
    fn one_slow_sample_does_not_move_the_middle() {
        let mut samples = [2.0, 900.0, 1.0, 2.5, 1.5];
        assert_eq!(middle(&mut samples), 2.0);
        assert_eq!(samples, [1.0, 1.5, 2.0, 2.5, 900.0]);
    }

    #[test]
    fn smallest_and_largest() {
        assert_eq!((smallest(&[2.0, 1.0, 3.0]), largest(&[2.0, 1.0, 3.0])), (Some(1.0), Some(3.0)));
        assert_eq!((smallest(&[]), largest(&[])), (None, None));
    }

    #[test]
    fn the_middle_and_the_best_process() {
        let medians = [5.0, 2.0, 3.0];
        assert_eq!((Process::Middle.of(&medians), Process::Best.of(&medians)), (Some(3.0), Some(2.0)));
        assert_eq!(Process::Best.other(), Process::Middle);
    }

    #[test]
    fn bounds_hold_what_the_table_shows() {
        assert_eq!([0.9, 1.0, 1.004, 1.006].map(|ratio| at_most(ratio, 1.0)), [true, true, true, false]);
        assert_eq!([1.3, 1.304, 1.306].map(|ratio| at_most(ratio, 1.3)), [true, true, false]);
    }
}
