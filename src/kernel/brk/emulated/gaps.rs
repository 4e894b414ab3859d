//! What was unmapped between the mappings of an emulated kernel, and can be mapped again.

/// Gaps that are remembered. The addresses of further ones stay unused until all mappings are gone.
const GAPS_MAX: usize = 32;

/// Stretches of addresses, none of which border on each other.
#[derive(Debug)]
pub(super) struct Gaps([(usize, usize); GAPS_MAX]);

impl Gaps {
    /// None.
    pub(super) const NONE: Self = Self([(0, 0); GAPS_MAX]);

    /// Takes `bytes` bytes from the start of a gap that is large enough.
    pub(super) fn take(&mut self, bytes: usize) -> Option<usize> {
        let gap = self.0.iter_mut().find(|(start, end)| end - start >= bytes && bytes > 0)?;
        let start = gap.0;
        gap.0 += bytes;
        Some(start)
    }

    /// Adds a gap, which joins those that it borders on.
    pub(super) fn add(&mut self, mut start: usize, mut end: usize) {
        for gap in &mut self.0 {
            if gap.0 != gap.1 && (gap.1 == start || gap.0 == end) {
                (start, end) = (start.min(gap.0), end.max(gap.1));
                *gap = (0, 0);
            }
        }
        if let Some(unused) = self.0.iter_mut().find(|gap| gap.0 == gap.1) {
            *unused = (start, end);
        }
    }

    /// Takes the gap that ends at `end`, if there is one. Returns its start, or `end`.
    pub(super) fn take_before(&mut self, end: usize) -> usize {
        let gap = self.0.iter_mut().find(|gap| gap.0 != gap.1 && gap.1 == end);
        gap.map_or(end, |gap| core::mem::take(gap).0)
    }
}

#[cfg(test)]
mod tests {
    use super::Gaps;

    #[test]
    fn gaps_join_and_are_taken_from_their_start() {
        let mut gaps = Gaps::NONE;
        gaps.add(100, 200);
        gaps.add(300, 400);
        assert_eq!((gaps.take(101), gaps.take(0)), (None, None));
        gaps.add(200, 300);
        assert_eq!((gaps.take(250), gaps.take(51), gaps.take(50)), (Some(100), None, Some(350)));
        assert_eq!(gaps.take(1), None);
        gaps.add(500, 600);
        assert_eq!((gaps.take_before(700), gaps.take_before(600), gaps.take_before(600)), (700, 500, 600));
    }
}
