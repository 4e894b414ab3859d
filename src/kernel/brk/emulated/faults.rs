//! What an emulated kernel is told to grant and to refuse.

use super::{Emulated, STALE};

/// What is refused, and what else goes wrong.
#[derive(Debug)]
pub(super) struct Faults {
    cap: usize,
    /// Raises at or after this call number are refused.
    refuse_from: usize,
    /// The one call number that is refused, up or down.
    refuse_at: usize,
    refuse_lowering: bool,
    pub(super) dirty: bool,
    pub(super) discard: bool,
    /// Relocations that are granted from now on.
    pub(super) relocations: usize,
    pub(super) locked: bool,
}

impl Faults {
    /// What any arena can do is granted, anything else is refused.
    pub(super) const NONE: Self = Self {
        cap: usize::MAX,
        refuse_from: usize::MAX,
        refuse_at: usize::MAX,
        refuse_lowering: false,
        dirty: false,
        discard: false,
        relocations: 0,
        locked: false,
    };
}

impl Emulated<'_> {
    /// Uses pages of `bytes` bytes, a power of two, instead of 4096. Call it before the first raise.
    ///
    /// # Panics
    ///
    /// If `bytes` is not a power of two, or the break has moved already, or mappings or a room for metadata exist.
    pub fn set_page_size(&mut self, bytes: usize) {
        let unused = self.current == self.start && self.mapped == 0 && self.room.range().is_empty();
        assert!(bytes.is_power_of_two() && unused);
        self.page = bytes;
        // Mappings start at a page, too: the break's last page must not reach into the first of them.
        self.limit = self.page_end(self.limit).min(self.end);
        (self.maps, self.map_end) = (self.limit, self.limit);
        let first_page_end = self.page_end(self.start);
        self.fill(self.start, first_page_end, STALE);
    }

    /// Every raise after the next `calls` moves is refused, as by `RLIMIT_DATA`. `usize::MAX` lifts the fault.
    pub fn fail_after(&mut self, calls: usize) {
        self.faults.refuse_from = self.calls.saturating_add(calls);
    }

    /// Refuses one move, the one after the next `calls` moves, whether it raises or lowers.
    pub fn fail_once(&mut self, calls: usize) {
        self.faults.refuse_at = self.calls.saturating_add(calls);
    }

    /// Refuses raises that would put more than `bytes` bytes between the arena's start and the break.
    pub fn set_cap(&mut self, bytes: usize) {
        self.faults.cap = bytes;
    }

    /// Whether lowering the break is refused, as Linux does when `RLIMIT_DATA` is below what is in use.
    pub fn refuse_lowering(&mut self, refuse: bool) {
        self.faults.refuse_lowering = refuse;
    }

    /// Whether a lowered break leaves scribbled bytes in the part of its page that it gave up. A heap that took them
    /// for zero when the break is raised again would hand them out as zeroed memory.
    pub fn set_dirty(&mut self, dirty: bool) {
        self.faults.dirty = dirty;
    }

    /// Whether [`Brk::discard`](crate::brk::Brk::discard) works, by clearing the bytes, or is refused, which is the
    /// default: an arena's memory is its owner's and cannot be returned.
    pub fn allow_discard(&mut self, allow: bool) {
        self.faults.discard = allow;
    }

    /// Grants the next `count` calls of [`Brk::relocate`](crate::brk::Brk::relocate), by moving the bytes; by default
    /// they are refused.
    pub fn allow_relocations(&mut self, count: usize) {
        self.faults.relocations = count;
    }

    /// Sets the arena's last `bytes` bytes aside for [`Brk::map`](crate::brk::Brk::map); 0 refuses every mapping, which
    /// is the default. It is less if the [room](crate::brk::Brk::room) for metadata, which is taken from what is left,
    /// is there already.
    ///
    /// # Panics
    ///
    /// If the break stands in that part already, or mappings exist.
    pub fn allow_mappings(&mut self, bytes: usize) {
        let limit = self.page_end(self.end.saturating_sub(bytes).max(self.start)).min(self.end);
        assert!(self.mapped == 0 && self.current <= limit);
        let room = self.room.range();
        self.maps = limit.max(room.end);
        self.limit = if room.is_empty() { limit } else { room.start };
        self.map_end = self.maps;
    }

    /// Whether all memory is locked from now on, so that what is discarded is there again at once.
    pub fn set_locked(&mut self, locked: bool) {
        self.faults.locked = locked;
    }

    /// Sets the clock, in milliseconds. Until this is called first there is none.
    pub fn set_clock(&mut self, milliseconds: u64) {
        self.now = Some(milliseconds);
    }

    /// Whether the move number `call`, to `to`, is refused.
    pub(super) fn refuses(&self, call: usize, to: usize) -> bool {
        let raise = to > self.current;
        let outside = to < self.start || to > self.limit || to - self.start > self.faults.cap;
        call == self.faults.refuse_at
            || (raise && (outside || call >= self.faults.refuse_from))
            || (to < self.current && (to < self.start || self.faults.refuse_lowering))
    }
}
