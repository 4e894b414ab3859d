//! An emulated break that writes down what it was asked.

use crate::arena::Arena;
use hmalloc::Heap;
use hmalloc::brk::{Brk, Emulated, Refused};
use std::ops::Range;

/// A call that was granted, or advice that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// The break rose over these addresses.
    Raised(Range<usize>),
    /// The break fell below these addresses.
    Lowered(Range<usize>),
    Discarded(Range<usize>),
    /// The memory of metadata in the room.
    DiscardedAside(Range<usize>),
    ExpectedUse(Range<usize>),
    /// A piece of the room for metadata was mapped,
    MappedAside(Range<usize>),
    /// and returned.
    Unmapped(Range<usize>),
}

/// The break of `brk`, and its calls in order.
#[derive(Debug)]
pub struct Watched<'a> {
    pub brk: Emulated<'a>,
    pub log: Vec<Call>,
    /// Whether there is a room for metadata.
    pub has_room: bool,
    /// The number of calls for a piece of it that are still granted.
    pub pieces: usize,
    /// How often lowering or discarding was refused.
    pub refused: usize,
    /// From the lowest to the highest address of metadata that was mapped in the room.
    aside: Range<usize>,
    /// What is answered where a page is looked at: whether it holds memory.
    pub resident: bool,
}

pub type WatchedHeap<'a> = Heap<Watched<'a>>;

/// An untouched heap in `arena`, watched.
pub fn watched(arena: &mut Arena) -> WatchedHeap<'_> {
    Heap::new(Watched::new(arena.brk()))
}

impl<'a> Watched<'a> {
    pub fn new(brk: Emulated<'a>) -> Self {
        Self { brk, log: Vec::new(), has_room: true, pieces: usize::MAX, refused: 0, aside: 0..0, resident: false }
    }

    /// Bytes that were returned to the kernel, off the break or by discarding, since the log was last cleared. What was
    /// returned twice counts once.
    pub fn returned(&self) -> usize {
        let given = |call: &Call| match call {
            Call::Lowered(range) | Call::Discarded(range) => Some(range.clone()),
            _ => None,
        };
        let mut ranges: Vec<_> = self.log.iter().filter_map(given).collect();
        ranges.sort_by_key(|range| range.start);
        let (mut bytes, mut end) = (0, 0);
        for range in ranges {
            bytes += range.end.saturating_sub(range.start.max(end));
            end = end.max(range.end);
        }
        bytes
    }
}

// SAFETY: every promise is the emulated break's; writing a call down changes nothing about it.
unsafe impl Brk for Watched<'_> {
    fn query(&self) -> Result<usize, Refused> {
        self.brk.query()
    }

    unsafe fn move_break(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        let moved = unsafe { self.brk.move_break(from, to) };
        self.refused += usize::from(moved.is_err() && to < from);
        moved?;
        self.log.push(if from < to { Call::Raised(from..to) } else { Call::Lowered(to..from) });
        Ok(())
    }

    fn map(&mut self, bytes: usize) -> Result<usize, Refused> {
        self.brk.map(bytes)
    }

    fn room(&mut self) -> Result<Range<usize>, Refused> {
        if self.has_room { self.brk.room() } else { Err(Refused) }
    }

    fn map_at(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        self.pieces = self.pieces.checked_sub(1).ok_or(Refused)?;
        self.brk.map_at(start, bytes)?;
        let low = if self.aside.is_empty() { start } else { self.aside.start.min(start) };
        self.aside = low..self.aside.end.max(start + bytes);
        self.log.push(Call::MappedAside(start..start + bytes));
        Ok(())
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { self.brk.unmap(start, bytes) }?;
        self.log.push(Call::Unmapped(start..start + bytes));
        Ok(())
    }

    unsafe fn discard(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { self.brk.discard(start, bytes) }.inspect_err(|_| self.refused += 1)?;
        let aside = !self.aside.is_empty() && self.aside.start <= start;
        let range = start..start + bytes;
        self.log.push(if aside { Call::DiscardedAside(range) } else { Call::Discarded(range) });
        Ok(())
    }

    unsafe fn seal(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { self.brk.seal(start, bytes) }
    }

    fn expect_use(&mut self, start: usize, bytes: usize) {
        self.brk.expect_use(start, bytes);
        self.log.push(Call::ExpectedUse(start..start + bytes));
    }

    fn is_locked(&mut self, start: usize) -> bool {
        self.brk.is_locked(start)
    }

    fn is_resident(&mut self, start: usize) -> bool {
        assert!(start.is_multiple_of(self.page_size()));
        self.resident
    }

    fn now(&self) -> Option<u64> {
        self.brk.now()
    }

    fn page_size(&self) -> usize {
        self.brk.page_size()
    }
}
