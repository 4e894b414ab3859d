//! What checked mode knows of one block: its exact size, its alignment, its state, and which threads had it.
//!
//! ```text
//! word                                             high           allocated_by   freed_by
//! 31        16 15     9 8        3 2      0        31        0    31        0    31        0
//! +-----------+--------+----------+--------+       +----------+   +----------+   +----------+
//! | size, low | unused | align,   | state  |       | size,    |   | thread   |   | thread   |
//! | half      |        | log2     |        |       | the rest |   |          |   |          |
//! +-----------+--------+----------+--------+       +----------+   +----------+   +----------+
//! ```
//!
//! | state | what it says | and what stands in the slot |
//! |---|---|---|
//! | `Empty` | nothing is known, so nothing is verified: it is new, or an unchecked block was here | anything |
//! | `Live` | a caller holds it | the block's word from the size on |
//! | `Large` | the same, of a large block, whose record is that of its first page | the same, up to a bound |
//! | `Busy` | it is being freed or resized by one thread | its word from some size on |
//! | `Free` | it was freed | its word; or with zeros up to its size, if that is asked for |
//! | `Edge` | it was never handed out | its word, in the last bytes |
//! | `Damaged` | a write was found there: it is never handed out again | what was found |
//!
//! One thread takes a block from `Live` to `Busy`, by one exchange: so of two that free it only one looks into it and fills
//! it. All others only read, and find `Busy`.
//!
//! | ordering | its partner | what breaks without it |
//! |---|---|---|
//! | `set`, `end_claim`, Release | `load`, `live`, `state`, Acquire | who finds a state finds older bytes in the slot |
//! | `claim`, `claim_live`, Acquire | `set`, Release | the fill comes before the last holder's writes |

use super::atomic::{Acquire, AtomicU32, Relaxed, Release};
use core::alloc::Layout;

/// Of a thread that is not known.
pub(crate) const UNKNOWN: u32 = u32::MAX;

/// The state of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum State {
    Empty,
    Live,
    Large,
    Busy,
    Free,
    Edge,
    Damaged,
}

impl State {
    /// By number. There are seven; the last stands here twice, so that whatever three bits say is one of them.
    const ALL: [Self; 8] =
        [Self::Empty, Self::Live, Self::Large, Self::Busy, Self::Free, Self::Edge, Self::Damaged, Self::Damaged];
}

/// What a record says in one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) state: State,
    pub(crate) size: usize,
    pub(crate) align: usize,
}

/// The word of a small block that is live.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Living(u32);

impl Living {
    /// Bytes that were asked for.
    #[inline(always)]
    pub(crate) fn size(self) -> usize {
        (self.0 >> SIZE_SHIFT) as usize
    }
}

/// The record. All zeros: `Empty`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Record {
    word: AtomicU32,
    /// 0 but for a large block.
    high: AtomicU32,
    allocated_by: AtomicU32,
    freed_by: AtomicU32,
}

const STATE: u32 = 7;
const ALIGN_SHIFT: u32 = 3;
const ALIGN: u32 = 63;
const SIZE_SHIFT: u32 = 16;

#[inline(always)]
fn word_of(state: State, size: usize, align: usize) -> u32 {
    state as u32 | align.trailing_zeros() << ALIGN_SHIFT | (size as u32 & 0xffff) << SIZE_SHIFT
}

#[inline(always)]
fn state_of(word: u32) -> State {
    State::ALL[(word & STATE) as usize]
}

impl Record {
    /// What it says.
    #[inline(always)]
    pub(crate) fn load(&self) -> Known {
        self.known(self.word.load(Acquire))
    }

    #[inline(always)]
    fn known(&self, word: u32) -> Known {
        let (state, low) = (state_of(word), (word >> SIZE_SHIFT) as usize);
        // One that is being resized, or is damaged, may be that of a large block, too.
        let high =
            if matches!(state, State::Large | State::Busy | State::Damaged) { self.high.load(Relaxed) } else { 0 };
        let size = low | (u64::from(high) << 16) as usize;
        Known { state, size, align: 1 << ((word >> ALIGN_SHIFT & ALIGN) % usize::BITS) }
    }

    /// What is said of a small block that is live. `None` if this is no such block, or `layout` names another size or alignment.
    #[inline(always)]
    pub(crate) fn live(&self, layout: Option<Layout>) -> Option<Living> {
        let word = self.word.load(Acquire);
        let living = Living(word);
        let is_it = |layout: Layout| {
            layout.size() == living.size() && layout.align().trailing_zeros() == word >> ALIGN_SHIFT & ALIGN
        };
        (word & STATE == State::Live as u32 && layout.is_none_or(is_it)).then_some(living)
    }

    /// The state that it says.
    #[inline(always)]
    pub(crate) fn state(&self) -> State {
        state_of(self.word.load(Acquire))
    }

    /// Makes a small block that is live a busy one, for the caller alone. False if another thread was first. Where no other thread can,
    /// `alone`, that takes no atomic operation.
    #[inline(always)]
    pub(crate) fn claim_live(&self, living: Living, alone: bool) -> bool {
        let busy = living.0 & !STATE | State::Busy as u32;
        if alone {
            self.word.store(busy, Relaxed);
            return true;
        }
        self.word.compare_exchange(living.0, busy, Acquire, Relaxed).is_ok()
    }

    /// Says the same of it in another state. For the one thread that has claimed it.
    #[inline(always)]
    pub(crate) fn end_claim(&self, living: Living, state: State) {
        self.word.store(living.0 & !STATE | state as u32, Release);
    }

    /// Whether nothing is known.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.word.load(Acquire) & STATE == State::Empty as u32
    }

    /// Sets all of it. For the one thread that has the block.
    #[inline(always)]
    pub(crate) fn set(&self, state: State, size: usize, align: usize) {
        // 0 but for a large block: a state that is set alone later may read it.
        let high = if state == State::Large { (size as u64 >> 16) as u32 } else { 0 };
        self.high.store(high, Relaxed);
        self.word.store(word_of(state, size, align), Release);
    }

    /// Sets the state alone.
    #[inline(always)]
    pub(crate) fn set_state(&self, state: State) {
        self.word.store(self.word.load(Relaxed) & !STATE | state as u32, Release);
    }

    /// Forgets all.
    pub(crate) fn forget(&self) {
        // First: a state that is set alone later may read it.
        self.high.store(0, Relaxed);
        self.word.store(0, Release);
    }

    /// Makes a block that is `known` to be live a busy one, for the caller alone. False if another thread was first. Where no
    /// other thread can, `alone`, that takes no atomic operation.
    #[inline(always)]
    pub(crate) fn claim(&self, known: Known, alone: bool) -> bool {
        let from = word_of(known.state, known.size, known.align);
        let to = from & !STATE | State::Busy as u32;
        if alone {
            self.word.store(to, Relaxed);
            return true;
        }
        self.word.compare_exchange(from, to, Acquire, Relaxed).is_ok()
    }

    /// The threads that allocated it and freed it last.
    pub(crate) fn threads(&self) -> [u32; 2] {
        [self.allocated_by.load(Relaxed), self.freed_by.load(Relaxed)]
    }

    #[inline(always)]
    pub(crate) fn note_allocated(&self, thread: u32) {
        self.allocated_by.store(thread, Relaxed);
    }

    #[inline(always)]
    pub(crate) fn note_freed(&self, thread: u32) {
        self.freed_by.store(thread, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let zero = || AtomicU32::new(0);
        Record { word: zero(), high: zero(), allocated_by: zero(), freed_by: zero() }
    }

    #[test]
    fn what_is_set_is_said() {
        let record = record();
        assert!(record.is_empty());
        for (state, size) in [(State::Live, 0), (State::Live, 57_343), (State::Large, 1 << 40), (State::Free, 65_535)] {
            for shift in [0, 4, 12, 30] {
                let size = if usize::BITS == 32 { size % (1 << 30) } else { size };
                record.set(state, size, 1 << shift);
                assert_eq!(record.load(), Known { state, size, align: 1 << shift });
            }
        }
    }

    #[test]
    fn a_damaged_block_keeps_its_size_and_leaves_none_behind() {
        let record = record();
        record.set(State::Large, 100_000, 16);
        record.set_state(State::Damaged);
        assert_eq!(record.load(), Known { state: State::Damaged, size: 100_000, align: 16 });
        // A small block after a large one, with a record that was forgotten or not.
        for forget in [false, true] {
            record.set(State::Large, 100_000, 16);
            if forget {
                record.forget();
                record.set_state(State::Damaged);
                assert_eq!(record.load().size, 0);
            }
            record.set(State::Live, 24, 16);
            record.set_state(State::Damaged);
            assert_eq!(record.load().size, 24);
        }
    }

    #[test]
    fn a_block_is_claimed_once() {
        let record = record();
        record.set(State::Live, 24, 16);
        let known = record.load();
        assert!(record.claim(known, false) && !record.claim(known, false));
        assert_eq!(record.load().state, State::Busy);
        record.set_state(State::Live);
        assert_eq!(record.load(), known);
        assert!(record.claim(known, true));
        assert!(record.live(None).is_none());
        record.set_state(State::Live);
        let [as_said, larger] = [24, 32].map(|size| record.live(Layout::from_size_align(size, 16).ok()));
        let living = as_said.expect("it is live");
        assert!(larger.is_none() && record.live(Layout::from_size_align(24, 8).ok()).is_none());
        assert!(record.claim_live(living, false) && !record.claim_live(living, false));
        record.end_claim(living, State::Free);
        assert_eq!((record.load().size, record.state()), (24, State::Free));
    }
}
