//! Access for tests that break things: every field of all groups.

use super::record::{Kind, Owner, Place, Slab, Span};
use core::cell::Cell;

/// The cells of a record.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    pub(crate) start: &'a Cell<usize>,
    pub(crate) reciprocal: &'a Cell<u32>,
    pub(crate) slot_size: &'a Cell<u16>,
    pub(crate) slack_max: &'a Cell<u16>,
    pub(crate) capacity: &'a Cell<u16>,
    pub(crate) pages: &'a Cell<u32>,
    pub(crate) kind: &'a Cell<Kind>,
    pub(crate) dirty: &'a Cell<u32>,
}

impl Span {
    pub(crate) fn fields<'a>(self) -> Fields<'a> {
        let (record, pages) = (self.record(), self.pages_of_any());
        Fields {
            start: &record.shared.start,
            reciprocal: &record.shared.reciprocal,
            slot_size: &record.shared.slot_size,
            slack_max: &record.shared.slack_max,
            capacity: &record.central.capacity,
            pages: &record.central.pages,
            kind: &record.central.kind,
            dirty: &pages.dirty,
        }
    }
}

impl Slab {
    pub(crate) fn fields<'a>(self) -> Fields<'a> {
        self.span().fields()
    }

    /// Forges how many slots are opened, the slab's place, and its count.
    pub(crate) fn forge(self, opened: usize, place: Place, until_review: usize) {
        let owner: &Owner = self.owner();
        owner.standing.set(owner.standing.get().with_opened(opened).with_place(place));
        owner.until_review.set(until_review as u16);
    }

    /// Forges which units are known to be zero.
    pub(crate) fn forge_zero_units(self, units: u32) {
        self.owner().zero_units.set(units);
    }
}
