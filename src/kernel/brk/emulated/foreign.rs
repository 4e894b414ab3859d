//! Others who move an emulated break, and what they have raised it over.

use super::{Emulated, STALE};

/// Stretches that are remembered. The heap may lower the break to the end of one.
const FOREIGN_MAX: usize = 32;

/// What others raised the break over, from the lowest address up: the last [`FOREIGN_MAX`] stretches.
#[derive(Debug)]
pub(super) struct Foreign([(usize, usize); FOREIGN_MAX]);

impl Foreign {
    /// None.
    pub(super) const NONE: Self = Self([(0, 0); FOREIGN_MAX]);

    /// The highest stretch.
    pub(super) fn last(&self) -> (usize, usize) {
        self.0[FOREIGN_MAX - 1]
    }

    /// Adds a stretch above all others.
    fn note(&mut self, from: usize, to: usize) {
        match &mut self.0[FOREIGN_MAX - 1] {
            last if last.1 == from => last.1 = to,
            _ => {
                self.0.rotate_left(1);
                self.0[FOREIGN_MAX - 1] = (from, to);
            }
        }
    }

    /// Forgets what others had above the break, which is at `end`.
    pub(super) fn forget_above(&mut self, end: usize) {
        while self.last().1 > end {
            let (from, _) = self.last();
            if from < end {
                self.0[FOREIGN_MAX - 1].1 = end;
            } else {
                self.0[FOREIGN_MAX - 1] = (0, 0);
                self.0.rotate_right(1);
            }
        }
    }
}

impl Emulated<'_> {
    /// Someone else moves the break by `bytes`: up, writing into what they take, or down. It stays within the arena,
    /// and does not go below where the heap has raised it to.
    pub fn foreign_move(&mut self, bytes: isize) {
        let floor = self.raised;
        self.shift_foreign(bytes, floor);
    }

    /// As [`foreign_move`](Self::foreign_move), but down to the arena's start if so many bytes are asked for.
    ///
    /// # Safety
    ///
    /// Memory of the heap that is above the break afterwards may be overwritten: nothing of it is used any more,
    /// neither blocks by their holders nor the heap, except that it may be asked where the break is and told that it
    /// was lowered.
    pub unsafe fn foreign_move_below(&mut self, bytes: isize) {
        let floor = self.start;
        self.shift_foreign(bytes, floor);
    }

    fn shift_foreign(&mut self, bytes: isize, floor: usize) {
        let before = self.current;
        let to = before.saturating_add_signed(bytes).clamp(floor.min(before), self.limit);
        self.shift(to);
        if to > before {
            self.fill(before, to, STALE);
            self.foreign.note(before, to);
        } else {
            self.foreign.forget_above(to);
        }
    }
}
