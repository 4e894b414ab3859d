//! Frames that an unwinder has walked, so that a stack which is mostly one that was seen need not be unwound again: that takes some
//! 1,300 instructions for each frame, this 20.
//!
//! ```text
//! sp   -> | frame of the function that has called, at `ip` |
//!         |  ...  `words` words                            |
//! place-> | its return address: the caller's `ip`          |
//! caller's sp -> ...
//! ```
//!
//! What is kept is `words` for a thread, an `ip` and an `sp`. It is the same whenever that thread comes there again, unless the
//! function's frame has no fixed size (`alloca`): then what stands at the place is mostly no return address that is known there, and
//! the stack is unwound. Nothing above what was walked before is read. An entry is one word, so none is ever half another's.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// log2 of how many frames are kept.
const ENTRIES_SHIFT: u32 = 15;
/// Bits of an entry that hold its words.
const WORDS_SHIFT: u32 = 16;
/// Instead of words: there is no frame beyond.
const END: u64 = (1 << WORDS_SHIFT) - 1;

static ENTRIES: [AtomicU64; 1 << ENTRIES_SHIFT] = [const { AtomicU64::new(0) }; 1 << ENTRIES_SHIFT];

/// What follows a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The frame of its caller, whose return address is at this place.
    At(usize),
    End,
}

/// The entry of a frame, and how it is told from others there: by the upper bits of a word.
#[inline(always)]
fn place(thread: usize, ip: usize, sp: usize) -> (&'static AtomicU64, u64) {
    let mixed = (ip as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (sp as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    let mixed = (mixed ^ thread as u64 ^ mixed >> 29).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let index = (mixed ^ mixed >> 32) as usize % ENTRIES.len();
    (&ENTRIES[index], mixed >> WORDS_SHIFT << WORDS_SHIFT | 1 << WORDS_SHIFT)
}

/// What follows the frame of a thread, if that was seen.
#[inline]
pub(crate) fn next(thread: usize, ip: usize, sp: usize) -> Option<Next> {
    let (entry, name) = place(thread, ip, sp);
    let word = entry.load(Relaxed);
    let words = word & END;
    match word - words == name {
        true if words == END => Some(Next::End),
        true => Some(Next::At(sp + words as usize * size_of::<usize>())),
        false => None,
    }
}

/// Keeps what follows a frame, in the place of another one.
pub(crate) fn keep(thread: usize, ip: usize, sp: usize, next: Next) {
    let words = match next {
        Next::End => END,
        Next::At(place) => match place.checked_sub(sp).map(|bytes| (bytes / size_of::<usize>()) as u64) {
            Some(words) if words < END && place.is_multiple_of(size_of::<usize>()) => words,
            _ => return,
        },
    };
    let (entry, name) = place(thread, ip, sp);
    entry.store(name | words, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_told_from_others() {
        let (thread, sp) = (0x7000, 0x7fff_0000);
        assert_eq!(next(thread, 1, sp), None);
        keep(thread, 1, sp, Next::At(sp + 40));
        keep(thread, 2, sp, Next::End);
        assert_eq!((next(thread, 1, sp), next(thread, 2, sp)), (Some(Next::At(sp + 40)), Some(Next::End)));
        for (thread, ip, sp) in [(thread, 3, sp), (thread, 1, sp + 16), (thread + 64, 1, sp)] {
            assert_eq!(next(thread, ip, sp), None);
        }
        // Too long, before the frame, or in the middle of a word: not kept.
        for place in [sp + (8 << 16), sp - 8, sp + 3] {
            keep(thread, 9, sp, Next::At(place));
            assert_eq!(next(thread, 9, sp), None);
        }
    }
}
