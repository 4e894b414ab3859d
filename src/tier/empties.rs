//! The empty slabs that a tier keeps for their classes.
//!
//! Without any, a class whose blocks come and go would take a slab from the central part for nearly each of them. So a few
//! are kept whatever they hold. Where that is not enough, the tier sees it: it needs a new slab soon after it has retired
//! one. Each such slab makes room for as many pages more, up to a bound, so only those keep more who use it again and
//! again. The room shrinks when the heap drains or grows.

use crate::ground::header::{PAGE, Slab};
use crate::kernel::parts::SPEED;

/// The most empty slabs that are kept.
const EMPTIES_MAX: usize = 24;
/// So many are kept in any tier.
pub(crate) const EMPTIES_FEW: usize = 4;
/// The most room for others, in pages: what stays where nothing lives is promised, and this is a part of it.
const ROOM_MAX: u32 = ((768 << 10) / PAGE) as u32;

/// The empty slabs (I10).
#[derive(Debug)]
pub(crate) struct Empties {
    /// The first `count` are they.
    pub(crate) slabs: [Option<Slab>; EMPTIES_MAX],
    pub(crate) count: usize,
    /// Their pages.
    pub(crate) pages: u32,
    /// While they have no more pages than this, more than [a few](EMPTIES_FEW) are kept.
    room: u32,
    /// Pages of slabs that were retired for want of room, and have not been missed yet.
    retired: u32,
}

impl Empties {
    pub(crate) const fn new() -> Self {
        Self { slabs: [None; EMPTIES_MAX], count: 0, pages: 0, room: 0, retired: 0 }
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Option<Slab>] {
        if SPEED { &self.slabs[..self.count] } else { &[] }
    }

    /// Remembers a slab, if there is room. Else it is to be retired.
    pub(super) fn keep(&mut self, slab: Slab) -> bool {
        let pages = slab.span().page_count() as u32;
        let is_kept = self.count < EMPTIES_FEW || (self.count < EMPTIES_MAX && self.pages + pages <= self.room);
        if is_kept {
            self.slabs[self.count] = Some(slab);
            (self.count, self.pages) = (self.count + 1, self.pages + pages);
        } else {
            self.retired = (self.retired + pages).min(ROOM_MAX);
        }
        is_kept
    }

    /// Forgets a slab, which a class uses or which is retired.
    pub(super) fn forget(&mut self, slab: Slab) {
        // Mostly it is one of the last.
        if let Some(at) = self.all().iter().rposition(|&empty| empty == Some(slab)) {
            (self.count, self.pages) = (self.count - 1, self.pages - slab.span().page_count() as u32);
            self.slabs.swap(at, self.count);
        }
    }

    /// Notes that the central part had to be asked for a slab: with more room there would have been one, if others were
    /// retired before.
    pub(super) fn note_missed(&mut self, slab: Slab) {
        if !SPEED {
            return;
        }
        let missed = (slab.span().page_count() as u32).min(self.retired);
        self.retired -= missed;
        self.room = (self.room + missed).min(ROOM_MAX);
    }

    /// Has less room from now on, because memory is needed or returned.
    pub(super) fn shrink(&mut self) {
        if SPEED {
            (self.room, self.retired) = (self.room / 2, 0);
        }
    }
}
