//! What was given back amid the mappings of an emulated kernel, and can be mapped again.

/// Holes that are remembered. Of more, the addresses stay unused until all mappings are gone.
const HOLES_MAX: usize = 32;

/// Stretches of addresses, none of which border on each other.
#[derive(Debug)]
pub(super) struct Holes([(usize, usize); HOLES_MAX]);

impl Holes {
    /// None.
    pub(super) const NONE: Self = Self([(0, 0); HOLES_MAX]);

    /// Takes `bytes` bytes from the start of a hole that is large enough.
    pub(super) fn take(&mut self, bytes: usize) -> Option<usize> {
        let hole = self.0.iter_mut().find(|(start, end)| end - start >= bytes && bytes > 0)?;
        let start = hole.0;
        hole.0 += bytes;
        Some(start)
    }

    /// Adds a hole, which joins those that it borders on.
    pub(super) fn add(&mut self, mut start: usize, mut end: usize) {
        for hole in &mut self.0 {
            if hole.0 != hole.1 && (hole.1 == start || hole.0 == end) {
                (start, end) = (start.min(hole.0), end.max(hole.1));
                *hole = (0, 0);
            }
        }
        if let Some(unused) = self.0.iter_mut().find(|hole| hole.0 == hole.1) {
            *unused = (start, end);
        }
    }

    /// Takes the hole that ends at `end`, if there is one. Returns its start, or `end`.
    pub(super) fn take_before(&mut self, end: usize) -> usize {
        let hole = self.0.iter_mut().find(|hole| hole.0 != hole.1 && hole.1 == end);
        hole.map_or(end, |hole| core::mem::take(hole).0)
    }
}

#[cfg(test)]
mod tests {
    use super::Holes;

    #[test]
    fn holes_join_and_are_taken_from_their_start() {
        let mut holes = Holes::NONE;
        holes.add(100, 200);
        holes.add(300, 400);
        assert_eq!((holes.take(101), holes.take(0)), (None, None));
        holes.add(200, 300);
        assert_eq!((holes.take(250), holes.take(51), holes.take(50)), (Some(100), None, Some(350)));
        assert_eq!(holes.take(1), None);
        holes.add(500, 600);
        assert_eq!((holes.take_before(700), holes.take_before(600), holes.take_before(600)), (700, 500, 600));
    }
}
