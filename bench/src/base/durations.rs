//! How long each call of a fixed sequence takes, in nanoseconds.
//!
//! Processes that make the same calls are interrupted in different places. A call counts with the fastest of its
//! repetitions, so what is slow in this count is slow by itself.

use super::kernel;
use anyhow::{Context, Result, ensure};
use std::io::Write;
use std::time::Instant;

/// Of the calls so far, in a table that no allocator knows.
pub(crate) struct Durations {
    table: &'static mut [u32],
    count: usize,
}

impl Durations {
    /// With room for this many calls.
    pub(crate) fn new(calls: usize) -> Self {
        Self { table: kernel::table(calls, |_| 0), count: 0 }
    }

    #[inline(always)]
    pub(crate) fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let answer = call();
        self.table[self.count] = u32::try_from(begin.elapsed().as_nanos()).unwrap_or(u32::MAX);
        self.count += 1;
        answer
    }

    pub(crate) fn forget_last(&mut self) {
        self.count -= 1;
    }

    /// Writes them to standard output, four bytes each.
    pub(crate) fn write(&self) -> Result<()> {
        Ok(std::io::stdout().write_all(bytemuck::cast_slice(&self.table[..self.count]))?)
    }
}

/// Of what several processes wrote: each call's fastest, as far as all of them came.
pub(crate) fn fastest(answers: impl IntoIterator<Item = Result<Vec<u8>>>) -> Result<Vec<u32>> {
    let mut fastest: Option<Vec<u32>> = None;
    for answer in answers {
        let answer = answer?;
        let (durations, rest) = answer.as_chunks::<4>();
        ensure!(rest.is_empty(), "{} bytes are no whole number of durations", answer.len());
        let durations = durations.iter().map(|bytes| u32::from_ne_bytes(*bytes));
        fastest = Some(match fastest {
            None => durations.collect(),
            Some(known) => known.into_iter().zip(durations).map(|(known, other)| other.min(known)).collect(),
        });
    }
    fastest.context("no process wrote durations")
}

#[cfg(test)]
mod tests {
    use super::fastest;

    fn answer(durations: &[u32]) -> anyhow::Result<Vec<u8>> {
        Ok(bytemuck::cast_slice(durations).to_vec())
    }

    #[test]
    fn an_interruption_that_does_not_recur_does_not_count() {
        let answers = [[50, 900_000, 40, 7_000], [60, 45, 800_000, 7_100], [55, 50, 42, 6_900]];
        assert_eq!(fastest(answers.iter().map(|durations| answer(durations))).unwrap(), [50, 45, 40, 6_900]);
    }

    #[test]
    fn as_many_count_as_all_have() {
        assert_eq!(fastest([answer(&[1, 2]), answer(&[1])]).unwrap(), [1]);
        assert!(fastest([Ok(vec![0; 5])]).is_err() && fastest([]).is_err());
    }
}
