//! What stands in a block, as its record says: verified, and made so. Nothing here needs the heap.

use crate::checked::Checked;
use crate::door::block::{Block, BlockState};
use crate::door::damage::Damage;
use crate::door::misuse::{Misuse, MisuseKind};
use crate::ground::callers::Callers;
use crate::ground::header::Span;
use crate::ground::pattern::{Changed, changed, fill, fill_start, is_intact, is_start_intact};
use crate::ground::record::{Known, Record, State, UNKNOWN};
use crate::ground::refused::Hands;
use crate::tier::slot::Slot;

/// The bytes before a block that are looked at, if no caller has them: of the slot, or of the guard, that ends there.
pub(crate) const EDGE: usize = 64;
/// The bytes behind a large block that are looked at.
const TAIL: usize = 4096;

/// Of a slot that was never handed out.
const NOBODY: Hands = Hands { threads: [UNKNOWN; 2], stacks: [0; 2] };

/// A block, and where it ends for the heap.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    pub(crate) start: usize,
    /// Bytes, a multiple of 16.
    pub(crate) bytes: usize,
}

impl Room {
    #[inline(always)]
    pub(crate) fn of_slot(slot: Slot, address: usize) -> Self {
        Self { start: address, bytes: slot.slab.slot_size() }
    }

    pub(crate) fn of_span(span: Span) -> Self {
        Self { start: span.start(), bytes: span.bytes() }
    }

    /// Where what is looked at behind a block of `size` bytes ends.
    #[inline(always)]
    fn tail(self, size: usize, state: State) -> usize {
        if state == State::Large { self.bytes.min(size.next_multiple_of(16).saturating_add(TAIL)) } else { self.bytes }
    }
}

impl Checked {
    /// Whether a live block's slack is intact.
    ///
    /// # Safety
    ///
    /// The room is that of a block whose record said what is `known`, and which is not free.
    #[inline(always)]
    pub(crate) unsafe fn is_slack_intact(&self, room: Room, known: Known) -> bool {
        let to = room.tail(known.size, known.state);
        // SAFETY: the caller's promise: the slack was filled when the block was made.
        unsafe { is_intact(room.start, known.size, to, self.secret.word(room.start)) }
    }

    /// Fills a block's slack, from `from` on, or from its size on.
    ///
    /// # Safety
    ///
    /// The room is the caller's.
    #[inline(always)]
    pub(crate) unsafe fn fill_from(&self, room: Room, from: usize, known: Known) {
        let to = room.tail(known.size, known.state);
        // SAFETY: the caller's promise.
        unsafe { fill(room.start, from, to, self.secret.word(room.start)) }
    }

    /// Makes the slot of a block that was `known` a free one's. Its slack is intact.
    ///
    /// # Safety
    ///
    /// The room is the caller's.
    #[inline(always)]
    pub(crate) unsafe fn fill_freed(&self, room: Room, size: usize) {
        if self.checks.zeroes() {
            // SAFETY: the caller's promise.
            unsafe { core::ptr::with_exposed_provenance_mut::<u8>(room.start).write_bytes(0, size) };
        } else {
            // SAFETY: as above.
            unsafe { fill_start(room.start, size.next_multiple_of(16), self.secret.word(room.start)) };
        }
    }

    /// Whether a slot that is not live holds what it should from `from` on.
    ///
    /// # Safety
    ///
    /// The room is a slot's, and its record says what is `known`.
    #[inline(always)]
    pub(crate) unsafe fn is_free_intact(&self, room: Room, known: Known, from: usize) -> bool {
        let word = self.secret.word(room.start);
        if from == 0 && !self.checks.zeroes() {
            // SAFETY: the caller's promise.
            return unsafe { is_start_intact(room.start, room.bytes, word) };
        }
        let zeroed = if self.checks.zeroes() { known.size.min(room.bytes) } else { 0 };
        // SAFETY: the caller's promise: it was filled when it was freed.
        unsafe {
            is_intact(room.start, zeroed.max(from), room.bytes, word)
                && (zeroed <= from || is_zero(room.start, from, zeroed))
        }
    }

    /// Offset from which on a slot that is not live is filled: of one that was never handed out, its last bytes.
    #[inline(always)]
    pub(crate) fn filled_from(room: Room, state: State) -> usize {
        if state == State::Edge { room.bytes.saturating_sub(EDGE) } else { 0 }
    }

    /// Who allocated a live block, which is near the address `near`.
    fn hands_of_live(&self, near: usize, record: &Record) -> Hands {
        let stacks = self.records.callers(near, record).map_or([0; 2], Callers::of_live);
        Hands { threads: [record.threads()[0], UNKNOWN], stacks }
    }

    /// Who allocated and freed a block that is free.
    pub(crate) fn hands_of_freed(&self, near: usize, record: &Record) -> Hands {
        let stacks = self.records.callers(near, record).map_or([0; 2], Callers::of_freed);
        Hands { threads: record.threads(), stacks }
    }

    /// What is wrong with a live block whose slack is not intact.
    ///
    /// # Safety
    ///
    /// As for [`is_slack_intact`](Self::is_slack_intact).
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn explain_slack(&self, room: Room, known: Known, record: &Record) -> Misuse {
        let to = room.tail(known.size, known.state);
        // SAFETY: the caller's promise.
        let found = unsafe { changed(room.start, known.size, to, self.secret.word(room.start)) };
        let found = found.unwrap_or(Changed { first: known.size, bytes: 0 });
        let mut damage = Damage::new(found.first as isize, found.bytes, self.hands_of_live(room.start, record));
        // SAFETY: as above.
        damage.at_least = unsafe { self.is_last_changed(Room { bytes: to, ..room }) };
        overwritten(room.start, known.size, BlockState::Used, damage)
    }

    /// Whether the last byte of a room is not what should be there.
    ///
    /// # Safety
    ///
    /// It was filled there.
    pub(crate) unsafe fn is_last_changed(&self, room: Room) -> bool {
        // SAFETY: the caller's promise.
        room.bytes > 0 && !unsafe { is_intact(room.start, room.bytes - 1, room.bytes, self.secret.word(room.start)) }
    }

    /// What is wrong before a live block, when `before` is the room that ends where it starts.
    ///
    /// # Safety
    ///
    /// `before` was filled from offset `from` on.
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn explain_before(&self, before: Room, from: usize, known: Known, record: &Record) -> Misuse {
        // SAFETY: the caller's promise.
        let found = unsafe { changed(before.start, from, before.bytes, self.secret.word(before.start)) };
        let found = found.unwrap_or(Changed { first: before.bytes, bytes: 0 });
        let first = found.first as isize - before.bytes as isize;
        let damage = Damage::new(first, found.bytes, self.hands_of_live(before.start, record));
        overwritten(before.start + before.bytes, known.size, BlockState::Used, damage)
    }

    /// What is wrong with a slot that is not live.
    ///
    /// # Safety
    ///
    /// As for [`is_free_intact`](Self::is_free_intact).
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn explain_free(&self, room: Room, known: Known, record: &Record) -> Misuse {
        let from = Self::filled_from(room, known.state);
        let zeroed = if self.checks.zeroes() { known.size.clamp(from, room.bytes) } else { from };
        // SAFETY: the caller's promise.
        let [zeros, rest] = unsafe {
            [
                changed(room.start, from, zeroed, 0),
                changed(room.start, zeroed, room.bytes, self.secret.word(room.start)),
            ]
        };
        let all = zeros.into_iter().chain(rest);
        let bytes = all.clone().map(|found| found.bytes).sum();
        let first = all.map(|found| found.first).next().unwrap_or(0);
        let hands = if known.state == State::Edge { NOBODY } else { self.hands_of_freed(room.start, record) };
        let size = if known.state == State::Edge { room.bytes } else { known.size };
        overwritten(room.start, size, BlockState::Free, Damage::new(first as isize, bytes, hands))
    }
}

fn overwritten(address: usize, size: usize, state: BlockState, damage: Damage) -> Misuse {
    Misuse { kind: MisuseKind::Overwritten(damage), address, found: Some(Block { address, size, state }) }
}

/// Whether the bytes from offset `from` up to `to` are zero.
///
/// # Safety
///
/// They may be read.
unsafe fn is_zero(start: usize, from: usize, to: usize) -> bool {
    let byte = |at: usize| core::ptr::with_exposed_provenance::<u8>(start + at);
    let whole = (to - to % 16).max(from);
    // SAFETY: the caller's promise; the first part ends at a multiple of 16.
    unsafe { is_intact(start, from, whole, 0) && (whole..to).all(|at| byte(at).read() == 0) }
}
