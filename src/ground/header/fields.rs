//! Access for tests that break things: every field of all groups.

use super::record::{Kind, Place, Slab, Span, Standing};
use crate::ground::shared::{SharedU16, SharedU32, SharedUsize};
use core::cell::Cell;

/// The cells of a record.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    pub(crate) start: &'a SharedUsize,
    pub(crate) reciprocal: &'a SharedU32,
    pub(crate) slot_size: &'a SharedU16,
    pub(crate) slack_max: &'a SharedU16,
    pub(crate) pages: &'a SharedU32,
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
            pages: &record.central.pages,
            dirty: &pages.dirty,
        }
    }
}

impl Span {
    /// Forges the span's kind.
    pub(crate) fn forge_kind(self, kind: Kind) {
        self.record().state.kind.set(kind as u8);
    }
}

impl Slab {
    pub(crate) fn fields<'a>(self) -> Fields<'a> {
        self.span().fields()
    }

    /// Forges how many slots are opened, the slab's place, and its count.
    pub(crate) fn forge(self, opened: usize, place: Place, until_review: usize) {
        let state = &self.span().record().state;
        state.standing.set(Standing(state.standing.get()).with_opened(opened).with_place(place).0);
        state.until_review.set(until_review as u16);
    }

    /// Forges which units are known to be zero.
    pub(crate) fn forge_zero_units(self, units: u32) {
        self.span().record().central.zero_units.set(units);
    }
}
