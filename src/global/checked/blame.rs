//! Of which block it is said that bytes between two were overwritten: the one before which they lie, or the one behind whose end.
//!
//! | what the slot before is | what was written there | of which block it is said |
//! |---|---|---|
//! | never handed out | its last bytes | the block behind it |
//! | free | its last byte, too | the block behind it |
//! | free | other bytes alone | that free block, when it is looked at |
//! | live | its last byte alone, of several | the block behind it |
//! | live | from its size on | that one, when it is looked at |
//! | live, with one byte behind its end | that byte | both |

use super::{NEAR, Place};
use crate::checked::Checked;
use crate::checked::content::{EDGE, Room};
use crate::door::block::{Block, BlockState};
use crate::door::misuse::{Misuse, MisuseKind};
use crate::ground::record::{Known, Record, State};
use crate::tier::slot::Slot;

/// What is wrong before a live slot that is `known`, if the end of the slot before, `before`, is not what it should be.
#[cold]
#[inline(never)]
pub(super) fn explain_before(checked: &Checked, place: Place<'_>, known: Known, before: Known) -> Option<Misuse> {
    let record = place.before.filter(|record| !record.is_empty())?;
    let room = Room { start: place.room.start - place.room.bytes, ..place.room };
    let mut or_after = None;
    if before.state == State::Live {
        // SAFETY: its slack was filled.
        let slack = unsafe { checked.explain_slack(room, before, record) };
        let from_its_end =
            matches!(slack.kind, MisuseKind::Overwritten(damage) if damage.first == before.size as isize);
        match before.size + 1 < room.bytes {
            true if from_its_end => return None,
            true => {}
            false => or_after = Some(Block { address: room.start, size: before.size, state: BlockState::Used }),
        }
    }
    let is_free = place.owned && matches!(before.state, State::Free | State::Edge);
    let from = if is_free { filled_near_end(checked, room, before) } else { room.bytes - 1 };
    // SAFETY: filled from there on.
    let mut misuse = unsafe { checked.explain_before(room, from, known, place.record) };
    if let MisuseKind::Overwritten(damage) = &mut misuse.kind {
        damage.or_after = or_after;
    }
    if is_free {
        // Told of: the caller alone hands it out.
        record.set_state(State::Damaged);
    }
    Some(misuse)
}

/// From where on a slot that is not live holds its word up to its end, of the bytes that are looked at for the block behind it.
fn filled_near_end(checked: &Checked, room: Room, known: Known) -> usize {
    let near = room.bytes - NEAR;
    if known.state == State::Free && checked.checks.zeroes() { known.size.clamp(near, room.bytes - 1) } else { near }
}

/// What is said of a slot that is not live, and not intact, when all contents are looked at.
pub(super) fn explain_free(checked: &Checked, slot: Slot, room: Room, known: Known, record: &Record) -> Option<Misuse> {
    // SAFETY: the caller's slot is not live, and was filled.
    let free = unsafe { checked.explain_free(room, known, record) };
    // SAFETY: as above.
    let reaches_end = unsafe { checked.is_last_changed(room) };
    let next = slot.number() + 1;
    if !reaches_end || next >= slot.slab.opened() {
        return Some(free);
    }
    let from = room.bytes.saturating_sub(EDGE) as isize;
    let at_end_alone = matches!(free.kind, MisuseKind::Overwritten(damage) if damage.first >= from);
    let (behind, next) = (Slot::new(slot.slab, next), checked.records.of(slot.slab, next)?);
    let behind_known = next.load();
    match behind_known.state {
        State::Live if behind.is_live() => {
            let from = filled_near_end(checked, room, known);
            // SAFETY: as above.
            Some(unsafe { checked.explain_before(room, from, behind_known, next) })
        }
        // It was told of when that block was freed.
        State::Damaged if at_end_alone => None,
        _ => Some(free),
    }
}

/// Whether the one byte behind a live block was told of when the block behind it was freed.
pub(super) fn is_told(checked: &Checked, slot: Slot, room: Room, known: Known) -> bool {
    let next = slot.number() + 1;
    known.size + 1 == room.bytes
        && next < slot.slab.opened()
        && checked.records.of(slot.slab, next).is_some_and(|next| next.load().state == State::Damaged)
}
