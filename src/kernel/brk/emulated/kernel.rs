//! What the kernel does when the heap asks: the emulated break's side of the seam.

use super::Emulated;
use super::gaps::Gaps;
use crate::kernel::brk::room::Room;
use crate::kernel::brk::{Brk, Refused, Source};
use core::ops::Range;

// SAFETY: `shift` clears whole pages when they are raised over, the break stays between the arena's start and `limit`,
// the room and mappings are taken from the rest of the arena, no part of them twice, and what returns `Refused` has
// changed nothing.
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
            self.foreign.forget_above(to);
            let (start, end) = self.foreign.last();
            self.raised = if end == to { start } else { to };
        }
        Ok(())
    }

    /// In a gap between others, or behind the last one.
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
        if !self.faults.discard || start < self.start || start + bytes > self.end {
            return Err(Refused);
        }
        self.fill(start, start + bytes, 0);
        Ok(())
    }

    unsafe fn relocate(&mut self, from: usize, to: usize, bytes: usize) -> Result<(), Refused> {
        let inside = |start: usize| start >= self.start && start.checked_add(bytes).is_some_and(|end| end <= self.end);
        debug_assert!([from, to, bytes].iter().all(|number| number.is_multiple_of(self.page)));
        if self.faults.relocations == 0 || !inside(from) || !inside(to) || from.abs_diff(to) < bytes {
            return Err(Refused);
        }
        self.faults.relocations -= 1;
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
        self.faults.locked
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
