//! Damage that was found in slabs when they were retired, until it is reported: the caller of a retired slab is in the central
//! part.

use crate::checked::Checked;
use crate::checked::content::Room;
use crate::door::misuse::Misuse;
use crate::ground::header::Slab;
use crate::ground::record::State;
use crate::ground::records::{Records, Watch};
use crate::tier::slot::Slot;
use core::cell::Cell;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

/// How many are remembered. More are not told of.
const FOUND: usize = 16;

/// In the count of a heap whose calls all have something to do besides: so that they need no look of their own at whether they
/// have.
const ALWAYS: usize = 1 << 16;

/// What was found. For the holder of the central lock.
pub(crate) struct Found {
    count: AtomicUsize,
    all: [Cell<Option<Misuse>>; FOUND],
}

impl Found {
    /// Nothing. `always` says that [`is_quiet`](Self::is_quiet) is never true.
    pub(crate) const fn new(always: bool) -> Self {
        let count = if always { ALWAYS } else { 0 };
        Self { count: AtomicUsize::new(count), all: [const { Cell::new(None) }; FOUND] }
    }

    /// Whether a call has nothing to report, and nothing else to do besides what it is for.
    #[inline(always)]
    pub(crate) fn is_quiet(&self) -> bool {
        self.count.load(Relaxed) == 0
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Relaxed).is_multiple_of(ALWAYS)
    }

    /// Takes one.
    pub(crate) fn take(&self) -> Option<Misuse> {
        let found = self.all.iter().find_map(Cell::take)?;
        self.count.store(self.count.load(Relaxed) - 1, Relaxed);
        Some(found)
    }

    fn put(&self, misuse: Misuse) {
        if let Some(place) = self.all.iter().find(|place| place.get().is_none()) {
            place.set(Some(misuse));
            self.count.store(self.count.load(Relaxed) + 1, Relaxed);
        }
    }
}

impl Watch for Checked {
    fn records(&self) -> &Records {
        &self.records
    }

    fn retiring(&self, slab: Slab) {
        for slot in (0..slab.opened()).map(|number| Slot::new(slab, number)) {
            let Some(record) = self.records.of(slab, slot.number()) else { return };
            let (room, known) = (Room::of_slot(slot, slot.address()), record.load());
            // SAFETY: nothing in the slab is live, and what is free was filled.
            unsafe {
                if matches!(known.state, State::Free | State::Edge)
                    && !self.is_free_intact(room, known, Self::filled_from(room, known.state))
                {
                    self.found.put(self.explain_free(room, known, record));
                }
            }
        }
    }
}
