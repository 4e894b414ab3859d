//! A program break inside a byte array, with a kernel's manners and its failures on demand.

mod gaps;

use super::room::Room;
use super::{Brk, Refused, Source};
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::Range;
use gaps::Gaps;

/// What a neighbour leaves in memory it used: anything but zero.
const STALE: u8 = 0xA5;
/// Stretches of other users' memory that are remembered. The heap may lower the break to the end of one.
const FOREIGN_MAX: usize = 32;

/// An emulated break over a caller's arena.
///
/// It does what Linux does: a raise that does not fit is refused and changes nothing, pages that are raised over anew
/// read as zero, and the page in which a lowered break stands keeps its bytes. The bytes of the arena's first page
/// that precede its first page boundary are stale from the start.
///
/// Faults are set with [`fail_after`](Self::fail_after), [`fail_once`](Self::fail_once),
/// [`refuse_lowering`](Self::refuse_lowering), [`set_cap`](Self::set_cap), [`set_dirty`](Self::set_dirty) and
/// [`foreign_move`](Self::foreign_move). Mappings and discarding are refused unless
/// [`allow_mappings`](Self::allow_mappings) or [`allow_discard`](Self::allow_discard) grants them.
#[derive(Debug)]
pub struct Emulated<'a> {
    start: usize,
    /// First address past what the break may reach.
    limit: usize,
    /// Where mappings begin: at the limit, or above a room that lies between.
    maps: usize,
    room: Room,
    end: usize,
    current: usize,
    /// Where the heap's own last raise put the break: what lies below may be in use.
    raised: usize,
    /// What others raised the break over, from the lowest address up: the last [`FOREIGN_MAX`] stretches.
    foreign: [(usize, usize); FOREIGN_MAX],
    page: usize,
    cap: usize,
    calls: usize,
    /// Raises at or after this call number are refused.
    refuse_from: usize,
    /// The one call number that is refused, up or down.
    refuse_at: usize,
    refuse_lowering: bool,
    dirty: bool,
    discard: bool,
    /// Relocations that are granted from now on.
    relocations: usize,
    relocated: usize,
    /// Where the next mapping would start.
    map_end: usize,
    /// What was given back below that.
    gaps: Gaps,
    mapped: usize,
    expected_use: usize,
    sealed: usize,
    now: Option<u64>,
    locked: bool,
    arena: PhantomData<&'a mut [MaybeUninit<u8>]>,
}

// SAFETY: the arena is exclusively borrowed for `'a`; the addresses here stand for that borrow, which is `Send`.
unsafe impl Send for Emulated<'_> {}

impl<'a> Emulated<'a> {
    /// A break that stands at the arena's first byte, over pages of 4096 bytes, with no fault set.
    pub fn new(arena: &'a mut [MaybeUninit<u8>]) -> Self {
        let start = arena.as_mut_ptr().expose_provenance();
        let end = start + arena.len();
        let mut emulated = Self {
            start,
            limit: end,
            maps: end,
            room: Room::NONE,
            end,
            current: start,
            raised: start,
            foreign: [(0, 0); FOREIGN_MAX],
            page: 4096,
            cap: usize::MAX,
            calls: 0,
            refuse_from: usize::MAX,
            refuse_at: usize::MAX,
            refuse_lowering: false,
            dirty: false,
            discard: false,
            relocations: 0,
            relocated: 0,
            map_end: end,
            gaps: Gaps::NONE,
            mapped: 0,
            expected_use: 0,
            sealed: 0,
            now: None,
            locked: false,
            arena: PhantomData,
        };
        let first_page_end = emulated.page_end(start);
        emulated.fill(start, first_page_end, STALE);
        emulated
    }

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
        self.refuse_from = self.calls.saturating_add(calls);
    }

    /// Refuses one move, the one after the next `calls` moves, whether it raises or lowers.
    pub fn fail_once(&mut self, calls: usize) {
        self.refuse_at = self.calls.saturating_add(calls);
    }

    /// Refuses raises that would put more than `bytes` bytes between the arena's start and the break.
    pub fn set_cap(&mut self, bytes: usize) {
        self.cap = bytes;
    }

    /// Whether lowering the break is refused, as Linux does when `RLIMIT_DATA` is below what is in use.
    pub fn refuse_lowering(&mut self, refuse: bool) {
        self.refuse_lowering = refuse;
    }

    /// Whether a lowered break leaves scribbled bytes in the part of its page that it gave up. A heap that took them
    /// for zero when the break is raised again would hand them out as zeroed memory.
    pub fn set_dirty(&mut self, dirty: bool) {
        self.dirty = dirty;
    }

    /// Whether [`Brk::discard`] works (by clearing the bytes) or is refused, which is the default: an arena's memory is
    /// its owner's and cannot be given back.
    pub fn allow_discard(&mut self, allow: bool) {
        self.discard = allow;
    }

    /// Grants the next `count` calls of [`Brk::relocate`], by moving the bytes; by default they are refused.
    pub fn allow_relocations(&mut self, count: usize) {
        self.relocations = count;
    }

    /// Bytes that were relocated, in all.
    pub fn relocated(&self) -> usize {
        self.relocated
    }

    /// Sets the arena's last `bytes` bytes aside for [`Brk::map`]; 0 refuses every mapping, which is the default. It is
    /// less if the [room](Brk::room) for metadata, which is taken from what is left, is there already.
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
            self.note_foreign(before, to);
        } else {
            self.forget_foreign(to);
        }
    }

    fn note_foreign(&mut self, from: usize, to: usize) {
        match &mut self.foreign[FOREIGN_MAX - 1] {
            last if last.1 == from => last.1 = to,
            _ => {
                self.foreign.rotate_left(1);
                self.foreign[FOREIGN_MAX - 1] = (from, to);
            }
        }
    }

    /// Forgets what others had above the break, which is at `end`.
    fn forget_foreign(&mut self, end: usize) {
        while self.foreign[FOREIGN_MAX - 1].1 > end {
            let (from, _) = self.foreign[FOREIGN_MAX - 1];
            if from < end {
                self.foreign[FOREIGN_MAX - 1].1 = end;
            } else {
                self.foreign[FOREIGN_MAX - 1] = (0, 0);
                self.foreign.rotate_right(1);
            }
        }
    }

    /// How often the break was asked to move. Foreign moves and queries do not count.
    pub fn calls(&self) -> usize {
        self.calls
    }

    /// The address where the break stands.
    pub fn current(&self) -> usize {
        self.current
    }

    /// Bytes in mappings that were not given back.
    pub fn mapped(&self) -> usize {
        self.mapped
    }

    /// Bytes that were [made inaccessible](Brk::seal), in all. Here they stay as they are.
    pub fn sealed(&self) -> usize {
        self.sealed
    }

    /// Whether all memory is locked from now on, so that what is discarded is there again at once.
    pub fn set_locked(&mut self, locked: bool) {
        self.locked = locked;
    }

    /// Sets the clock, in milliseconds. Until this is called first there is none.
    pub fn set_clock(&mut self, milliseconds: u64) {
        self.now = Some(milliseconds);
    }

    /// Bytes that were said to be [used soon](Brk::expect_use), in all.
    pub fn expected_use(&self) -> usize {
        self.expected_use
    }

    /// The highest address that the break can reach: below what is set aside for mappings and for metadata.
    pub fn limit(&self) -> usize {
        self.limit
    }

    fn page_end(&self, address: usize) -> usize {
        address.saturating_add(self.page - 1) & !(self.page - 1)
    }

    fn fill(&mut self, from: usize, to: usize, byte: u8) {
        let to = to.min(self.end);
        if from < to {
            // SAFETY: `from..to` lies in the arena, which this value borrows exclusively.
            unsafe { core::ptr::with_exposed_provenance_mut::<u8>(from).write_bytes(byte, to - from) }
        }
    }

    /// What the kernel does to memory when the break moves.
    fn shift(&mut self, to: usize) {
        let (old_pages_end, new_pages_end) = (self.page_end(self.current), self.page_end(to));
        if to > self.current {
            self.fill(old_pages_end, new_pages_end, 0);
        } else if self.dirty {
            self.fill(to, new_pages_end, STALE);
        }
        self.current = to;
    }

    fn refuses(&self, call: usize, to: usize) -> bool {
        let raise = to > self.current;
        let outside = to < self.start || to > self.limit || to - self.start > self.cap;
        call == self.refuse_at
            || (raise && (outside || call >= self.refuse_from))
            || (to < self.current && (to < self.start || self.refuse_lowering))
    }
}

// SAFETY: `shift` clears whole pages when they are raised over, the break stays between the arena's start and `limit`,
// the room and mappings are carved from the rest of the arena, no part of them twice, and nothing happens on the paths that return `Refused`.
unsafe impl Brk for Emulated<'_> {
    fn query(&self) -> Result<usize, Refused> {
        Ok(self.current)
    }

    unsafe fn move_break(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        let call = self.calls;
        self.calls += 1;
        if from != self.current || self.refuses(call, to) {
            return Err(Refused);
        }
        self.shift(to);
        self.raised = to;
        if to < from {
            // What ends at the new break is others' still, and theirs to give up.
            self.forget_foreign(to);
            let (start, end) = self.foreign[FOREIGN_MAX - 1];
            self.raised = if end == to { start } else { to };
        }
        Ok(())
    }

    /// Mappings stack up from `maps`, where none that was given back has left a gap.
    fn map(&mut self, bytes: usize) -> Result<usize, Refused> {
        let bytes = bytes.checked_next_multiple_of(self.page).ok_or(Refused)?;
        let start = match self.gaps.take(bytes) {
            Some(gap) => gap,
            None => {
                let start = self.map_end;
                self.map_end = start.checked_add(bytes).filter(|&end| end <= self.end).ok_or(Refused)?;
                start
            }
        };
        self.fill(start, start + bytes, 0);
        self.mapped += bytes;
        Ok(start)
    }

    /// At the end of what the break can reach, if it is not there yet.
    fn room(&mut self) -> Result<Range<usize>, Refused> {
        if self.room.range().is_empty() {
            self.room = Room::below(self.limit, self.end - self.start, self.current, self.page)?;
            self.limit = self.room.range().start;
        }
        Ok(self.room.range())
    }

    fn map_at(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        self.room.map(start, bytes, self.page)?;
        self.fill(start, start + bytes, 0);
        Ok(())
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        if self.room.range().contains(&start) {
            return self.room.unmap(start, bytes);
        }
        let end = self.page_end(start + bytes);
        if start < self.maps || end > self.map_end {
            return Err(Refused);
        }
        self.mapped -= end - start;
        if self.mapped == 0 {
            (self.map_end, self.gaps) = (self.maps, Gaps::NONE);
        } else if end == self.map_end {
            self.map_end = self.gaps.take_before(start);
        } else {
            self.gaps.add(start, end);
        }
        Ok(())
    }

    unsafe fn discard(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        if !self.discard || start < self.start || start + bytes > self.end {
            return Err(Refused);
        }
        self.fill(start, start + bytes, 0);
        Ok(())
    }

    unsafe fn relocate(&mut self, from: usize, to: usize, bytes: usize) -> Result<(), Refused> {
        let inside = |start: usize| start >= self.start && start.checked_add(bytes).is_some_and(|end| end <= self.end);
        debug_assert!([from, to, bytes].iter().all(|number| number.is_multiple_of(self.page)));
        if self.relocations == 0 || !inside(from) || !inside(to) || from.abs_diff(to) < bytes {
            return Err(Refused);
        }
        self.relocations -= 1;
        self.relocated += bytes;
        let [source, target] = [from, to].map(core::ptr::with_exposed_provenance_mut::<u8>);
        // SAFETY: both ranges lie in the arena, which this value borrows exclusively, and do not overlap.
        unsafe { target.copy_from_nonoverlapping(source, bytes) };
        self.fill(from, from + bytes, 0);
        Ok(())
    }

    /// Only counts: the bytes are an array's.
    unsafe fn seal(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        debug_assert!(start.is_multiple_of(self.page) && bytes.is_multiple_of(self.page) && start + bytes <= self.end);
        self.sealed += bytes;
        Ok(())
    }

    fn expect_use(&mut self, _: usize, bytes: usize) {
        self.expected_use += bytes;
    }

    fn is_locked(&mut self, start: usize) -> bool {
        assert!(start.is_multiple_of(self.page));
        self.locked
    }

    fn now(&self) -> Option<u64> {
        self.now
    }

    fn page_size(&self) -> usize {
        self.page
    }

    fn source(&self) -> Source {
        Source::Emulated
    }
}
