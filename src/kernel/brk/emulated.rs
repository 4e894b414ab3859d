//! A program break inside a byte array, with a kernel's manners and its failures on demand.

mod counts;
mod faults;
mod foreign;
mod gaps;
mod kernel;

use super::room::Room;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use faults::Faults;
use foreign::Foreign;
use gaps::Gaps;

/// What a neighbour leaves in memory it used: anything but zero.
const STALE: u8 = 0xA5;

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
    foreign: Foreign,
    page: usize,
    faults: Faults,
    calls: usize,
    relocated: usize,
    /// Where the next mapping would start.
    map_end: usize,
    /// What was unmapped below that.
    gaps: Gaps,
    mapped: usize,
    expected_use: usize,
    sealed: usize,
    now: Option<u64>,
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
            foreign: Foreign::NONE,
            page: 4096,
            faults: Faults::NONE,
            calls: 0,
            relocated: 0,
            map_end: end,
            gaps: Gaps::NONE,
            mapped: 0,
            expected_use: 0,
            sealed: 0,
            now: None,
            arena: PhantomData,
        };
        let first_page_end = emulated.page_end(start);
        emulated.fill(start, first_page_end, STALE);
        emulated
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
        } else if self.faults.dirty {
            self.fill(to, new_pages_end, STALE);
        }
        self.current = to;
    }
}
