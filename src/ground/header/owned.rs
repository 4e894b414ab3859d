//! Whose slab it is, and the notes beside that: in which lines of freed words other threads may have freed slots of it.

use super::record::{MAX_SLOTS, Slab};
use crate::ground::atomic::fence_after_update;
use crate::ground::freed::SLOTS_OF_LINE;
use core::sync::atomic::Ordering::Relaxed;

/// In an owner's word, above the owner's number: in which lines of freed words other threads may have freed slots.
const LINES_SHIFT: u32 = 8;
const NUMBER: u16 = (1 << LINES_SHIFT) - 1;

const _: () = assert!(MAX_SLOTS / SLOTS_OF_LINE <= (u16::BITS - LINES_SHIFT) as usize, "a bit for each line");

impl Slab {
    /// Whose slab it is, and in the bits above, in which lines of freed words other threads may have freed slots of it since
    /// its owner last looked. An owner compares this with its own number, and so learns both at once.
    #[inline(always)]
    pub(crate) fn owner_word(self) -> u16 {
        self.state().owner.load(Relaxed)
    }

    /// The number of the tier that owns it.
    #[inline]
    pub(crate) fn owner_number(self) -> u16 {
        self.owner_word() & NUMBER
    }

    /// Whether other threads may have freed slots of it since its owner last looked.
    #[inline]
    pub(crate) fn is_freed_by_others(self) -> bool {
        self.owner_word() & !NUMBER != 0
    }

    /// Notes that another thread has freed the slot of this number, before it looks whether the owner has been told. Returns the
    /// owner's number; or nothing if that was noted before: then whoever did it tells the owner.
    #[inline(always)]
    pub(crate) fn note_freed_by_others(self, slot: usize) -> Option<u16> {
        let line = 1 << (LINES_SHIFT as usize + slot / SLOTS_OF_LINE);
        if self.owner_word() & line != 0 {
            return None;
        }
        let before = self.state().owner.fetch_or(line, Relaxed);
        // Partner: the fence of an owner that has taken the page out of an inbox. Else the page could be seen there, and the
        // note not.
        fence_after_update();
        (before & line == 0).then_some(before & NUMBER)
    }

    /// Whether other threads may have freed the slot of this number since its owner last looked.
    #[inline]
    pub(crate) fn may_be_freed_by_others(self, slot: usize) -> bool {
        self.owner_word() >> (LINES_SHIFT as usize + slot / SLOTS_OF_LINE) & 1 == 1
    }

    /// Forgets that other threads have freed slots, before the owner looks which. Returns a bit for each line of freed words
    /// in which it may find some.
    pub(crate) fn forget_freed_by_others(self) -> u16 {
        let lines = self.state().owner.fetch_and(NUMBER, Relaxed) >> LINES_SHIFT;
        // Partner: the fence between a free by another thread and its look at the note. Else the note could be seen there, and
        // what was freed not here.
        fence_after_update();
        lines
    }

    /// Gives the slab to another tier. The caller has the old one at rest, holds the central lock, and has taken what others
    /// have freed: so a note that is still there says nothing, and whoever frees next tells the new owner.
    pub(crate) fn set_owner(self, number: u16) {
        debug_assert!(number <= NUMBER);
        self.state().owner.swap(number, Relaxed);
    }
}
