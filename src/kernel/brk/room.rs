//! A room in a byte array: which parts of it are mapped.

use super::{HEAP_PAGE, ROOM_PER_PAGE, Refused};
use core::ops::Range;

/// Parts that can be mapped at a time: the heap has two, each of which grows and shrinks at its end.
const PIECES: usize = 4;

/// The last bytes of an array that a break shares with a room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    start: usize,
    end: usize,
    /// Empty where there is none.
    pieces: [(usize, usize); PIECES],
}

impl Room {
    /// No room yet.
    pub(super) const NONE: Self = Self { start: 0, end: 0, pieces: [(0, 0); PIECES] };

    /// A room right below `limit` for a heap in `bytes` bytes, if it lies above `current`.
    pub(super) fn below(limit: usize, bytes: usize, current: usize, kernel_page: usize) -> Result<Self, Refused> {
        let end = limit & !(kernel_page - 1);
        // One more page and two more kernel pages make up for rounding.
        let all = ((bytes / HEAP_PAGE + 1) * ROOM_PER_PAGE).next_multiple_of(kernel_page) + 2 * kernel_page;
        let start = end.checked_sub(all).ok_or(Refused)?;
        if start < current.next_multiple_of(kernel_page) {
            return Err(Refused);
        }
        Ok(Self { start, end, ..Self::NONE })
    }

    /// All of it; empty if there is none.
    pub(super) fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// Takes a part that lies in the room and is not mapped.
    pub(super) fn map(&mut self, start: usize, bytes: usize, kernel_page: usize) -> Result<(), Refused> {
        let end = start.checked_add(bytes).ok_or(Refused)?;
        let whole = start.is_multiple_of(kernel_page) && bytes.is_multiple_of(kernel_page) && bytes > 0;
        let inside = start >= self.start && end <= self.end;
        let taken = self.pieces.iter().any(|&(from, to)| from < end && start < to);
        if !whole || !inside || taken {
            return Err(Refused);
        }
        let before = self.pieces.iter_mut().find(|piece| piece.1 == start);
        match before {
            Some(piece) => piece.1 = end,
            None => *self.pieces.iter_mut().find(|piece| piece.0 == piece.1).ok_or(Refused)? = (start, end),
        }
        Ok(())
    }

    /// Unmaps a part of a piece, if what is left of it can be remembered.
    pub(super) fn unmap(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        let end = start.checked_add(bytes).ok_or(Refused)?;
        let around = |&(from, to): &(usize, usize)| from <= start && start < end && end <= to;
        let at = self.pieces.iter().position(around).ok_or(Refused)?;
        let (from, to) = self.pieces[at];
        let left = [(from, start), (end, to)].map(|(from, to)| if from < to { (from, to) } else { (0, 0) });
        if let [(1.., _), (1.., _)] = left {
            let other = self.pieces.iter().position(|piece| piece.0 == piece.1).ok_or(Refused)?;
            self.pieces[other] = left[1];
        }
        self.pieces[at] = if left[0] == (0, 0) { left[1] } else { left[0] };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_maps_nothing_twice_and_nothing_outside() {
        let mut room = Room::below(1 << 24, 1 << 20, 0, 4096).expect("room");
        let Range { start, end } = room.range();
        assert!(end == 1 << 24 && end - start >= 65 * 200 && end - start <= 65 * 200 + 4 * 4096);
        assert_eq!(room.map(start - 4096, 4096, 4096), Err(Refused));
        assert_eq!(room.map(end, 4096, 4096), Err(Refused));
        assert_eq!(room.map(start + 1, 4096, 4096), Err(Refused));
        assert_eq!(room.map(start, 0, 4096), Err(Refused));
        assert_eq!(room.map(start, 4096, 4096), Ok(()));
        assert_eq!(room.map(start, 8192, 4096), Err(Refused));
        assert_eq!(room.map(start + 4096, 8192, 4096), Ok(()));
        assert_eq!(room.unmap(start + 8192, 8192), Err(Refused), "half of it is not mapped");
        assert_eq!(room.unmap(start, 4096), Ok(()), "the start of a piece");
        assert_eq!(room.unmap(start, 4096), Err(Refused));
        assert_eq!(room.map(start, 4096, 4096), Ok(()));
        assert_eq!(room.unmap(start + 8192, 4096), Ok(()), "the end of one");
        assert_eq!(room.map(start + 8192, 4096, 4096), Ok(()));
        assert_eq!(room.unmap(start + 4096, 4096), Ok(()), "the middle of one");
        assert_eq!(room.map(start + 4096, 8192, 4096), Err(Refused));
        for page in 0..3 {
            assert_eq!(room.unmap(start + page * 4096, 4096).is_ok(), page != 1);
        }
        assert_eq!(room.map(start, end - start, 4096), Ok(()));
        // What is left in more pieces than can be remembered stays as it is.
        let odd = (1..(end - start) >> 12).step_by(2).take(PIECES + 1);
        assert_eq!(odd.filter(|page| room.unmap(start + page * 4096, 4096).is_ok()).count(), PIECES - 1);
        assert!(Room::below(1 << 24, 1 << 20, (1 << 24) - 4096, 4096).is_err(), "the break is there");
        assert!(Room::below(4096, 1 << 20, 0, 4096).is_err(), "there are no such addresses");
    }
}
