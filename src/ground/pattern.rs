//! The pattern of checked mode: what stands in memory that no caller may write to, so that a write there is found.
//!
//! Each block has a word of its own, made of its address and of a secret of the process. It stands in the slack behind the
//! request, and in the whole of a free slot: so nothing has to be written when a block is handed out, and the last byte of a
//! slot is the same whether the block is live or free.
//!
//! ```text
//! a live block of 20 bytes in a slot of 32           the same slot, free
//! +--------------------+------------+                +--------------------------------+
//! | the caller's       | the word   |                | the word, four times           |
//! +--------------------+------------+                +--------------------------------+
//! 0                    20          32                0                               32
//! ```
//!
//! A byte of it is 0x80 to 0xbf: not 0, no ASCII, no small number and not 0xff, which is what programs write past an end. As
//! an address, a word of eight such bytes leads nowhere.

mod pair;

use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use pair::Pair;

/// Bytes of a word.
const WORD: usize = 8;
/// Pairs of words that are filled or read in one step: 64 bytes, mostly a cache line.
const STRIDE: usize = 4;
/// In each byte of a word this bit is set,
const SET: u64 = 0x8080_8080_8080_8080;
/// and this one clear.
const CLEAR: u64 = 0x4040_4040_4040_4040;

/// The secret of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Secret(pub(crate) u64);

impl Secret {
    /// The word of the block at `address`.
    #[inline(always)]
    pub(crate) fn word(self, address: usize) -> u64 {
        let mixed = (address as u64 ^ self.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 32 | SET) & !CLEAR
    }
}

/// Bytes that differ from what should be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Changed {
    /// Offset of the first, from the block's start.
    pub(crate) first: usize,
    /// How many.
    pub(crate) bytes: usize,
}

/// The bits of a word that its bytes from number `from` on have in memory.
#[inline(always)]
fn from_byte(from: usize) -> u64 {
    let shift = 8 * (from % WORD) as u32;
    if cfg!(target_endian = "little") { u64::MAX << shift } else { u64::MAX >> shift }
}

/// Fills a block's bytes from offset `from` up to `to`, a multiple of eight, with its word.
///
/// # Safety
///
/// The block is at least `to` bytes long, at a multiple of eight, and in no other use there.
#[inline(always)]
pub(crate) unsafe fn fill(block: usize, from: usize, to: usize, word: u64) {
    let whole = from.next_multiple_of(WORD).min(to);
    let bytes = word.to_ne_bytes();
    for at in from..whole {
        // SAFETY: the caller's promise.
        unsafe { with_exposed_provenance_mut::<u8>(block + at).write(bytes[at % WORD]) };
    }
    for at in (whole..to).step_by(WORD) {
        // SAFETY: as above.
        unsafe { with_exposed_provenance_mut::<u64>(block + at).write(word) };
    }
}

/// [`fill`] from a block's start on. Both are multiples of 16, so that it takes few steps.
///
/// # Safety
///
/// As for [`fill`].
#[inline(always)]
pub(crate) unsafe fn fill_start(block: usize, to: usize, word: u64) {
    let (pair, mut at) = (Pair::of(word), with_exposed_provenance_mut::<Pair>(block));
    let mut left = to / size_of::<Pair>();
    while left >= STRIDE {
        // SAFETY: the caller's promise.
        unsafe {
            at.cast::<[Pair; STRIDE]>().write([pair; STRIDE]);
            at = at.add(STRIDE);
        }
        left -= STRIDE;
    }
    while left > 0 {
        // SAFETY: as above.
        unsafe {
            at.write(pair);
            at = at.add(1);
        }
        left -= 1;
    }
}

/// [`is_intact`] from a block's start on. Both are multiples of 16.
///
/// # Safety
///
/// As for [`is_intact`].
#[inline(always)]
pub(crate) unsafe fn is_start_intact(block: usize, to: usize, word: u64) -> bool {
    let (pair, mut at) = (Pair::of(word), with_exposed_provenance::<Pair>(block));
    let (mut left, mut changed) = (to / size_of::<Pair>(), Pair::of(0));
    while left >= STRIDE {
        // SAFETY: the caller's promise.
        unsafe {
            let all = at.cast::<[Pair; STRIDE]>().read();
            changed = all.into_iter().fold(changed, |changed, found| changed.with_changes(found, pair));
            at = at.add(STRIDE);
        }
        left -= STRIDE;
    }
    while left > 0 {
        // SAFETY: as above.
        unsafe {
            changed = changed.with_changes(at.read(), pair);
            at = at.add(1);
        }
        left -= 1;
    }
    changed.is_zero()
}

/// Whether a block's bytes from offset `from` up to `to`, a multiple of eight, are those of its word.
///
/// # Safety
///
/// The block is at least `to` bytes long, at a multiple of eight, and was [filled](fill) there once.
#[inline(always)]
pub(crate) unsafe fn is_intact(block: usize, from: usize, to: usize, word: u64) -> bool {
    if from >= to {
        return true;
    }
    let first = from & !(WORD - 1);
    // SAFETY: the caller's promise; a word that the caller's own bytes begin is read byte by byte.
    let mut changed = unsafe { part(block, from, word) };
    let mut at = first + WORD;
    while at < to {
        // SAFETY: as above.
        changed |= unsafe { with_exposed_provenance::<u64>(block + at).read() } ^ word;
        at += WORD;
    }
    changed == 0
}

/// Whether the last byte of a block of `bytes` bytes, a multiple of eight, is that of its word. Reads no other: those before
/// it may be a caller's, who writes them meanwhile.
///
/// # Safety
///
/// The block is so long, at a multiple of eight, and its last byte was [filled](fill) once.
#[inline(always)]
pub(crate) unsafe fn is_last_intact(block: usize, bytes: usize, word: u64) -> bool {
    // SAFETY: the caller's promise.
    unsafe { with_exposed_provenance::<u8>(block + bytes - 1).read() == word.to_ne_bytes()[WORD - 1] }
}

/// What of the word around offset `from` has changed, from there on.
///
/// # Safety
///
/// As for [`is_intact`].
#[inline(always)]
unsafe fn part(block: usize, from: usize, word: u64) -> u64 {
    if cfg!(miri) {
        // The bytes before may never have been written, which an interpreter minds.
        let bytes = word.to_ne_bytes();
        // SAFETY: the caller's promise.
        let changed = |at: usize| unsafe { with_exposed_provenance::<u8>(block + at).read() } != bytes[at % WORD];
        return (from..(from + 1).next_multiple_of(WORD)).any(changed).into();
    }
    let at = with_exposed_provenance::<u64>(block + (from & !(WORD - 1)));
    // SAFETY: the caller's promise, and the bytes before are the same block's. Volatile: the compiler does not see what they are.
    (unsafe { at.read_volatile() } ^ word) & from_byte(from)
}

/// Which bytes from offset `from` up to `to` are not those of the block's word.
///
/// # Safety
///
/// As for [`is_intact`].
#[cold]
#[inline(never)]
pub(crate) unsafe fn changed(block: usize, from: usize, to: usize, word: u64) -> Option<Changed> {
    let bytes = word.to_ne_bytes();
    // SAFETY: the caller's promise.
    let differs = |at: &usize| unsafe { with_exposed_provenance::<u8>(block + at).read() } != bytes[at % WORD];
    let first = (from..to).find(differs)?;
    Some(Changed { first, bytes: (first..to).filter(differs).count() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    /// A block of 64 bytes in memory of its own.
    fn with_block(test: impl FnOnce(usize)) {
        let mut memory = vec![0_u64; 8];
        test(memory.as_mut_ptr().expose_provenance());
        drop(memory);
    }

    #[test]
    fn each_byte_of_a_word_is_one_that_programs_seldom_write() {
        for address in (0..if cfg!(miri) { 1 << 12 } else { 1 << 16 }).step_by(16) {
            let word = Secret(0x1234_5678_9abc_def0).word(address);
            assert!(word.to_ne_bytes().iter().all(|byte| (0x80..0xc0).contains(byte)), "{word:x}");
        }
        let words = [16, 32, 48].map(|address| Secret(7).word(address));
        assert!(words[0] != words[1] && words[1] != words[2] && words[0] != Secret(8).word(16));
    }

    #[test]
    fn a_changed_byte_is_found_wherever_it_is_and_no_other_is() {
        with_block(|block| {
            let word = Secret(99).word(block);
            // An interpreter takes each offset in a word at least once.
            for from in (0..64).step_by(if cfg!(miri) { 5 } else { 1 }) {
                // SAFETY: 64 bytes of this test's.
                unsafe { fill(block, 0, 64, word) };
                // SAFETY: as above.
                assert!(unsafe { is_intact(block, from, 64, word) });
                for at in 0..64 {
                    let byte = with_exposed_provenance_mut::<u8>(block + at);
                    // SAFETY: as above.
                    unsafe {
                        let before = byte.replace(0);
                        assert_eq!(is_intact(block, from, 64, word), at < from, "{at} from {from}");
                        assert_eq!(is_last_intact(block, 64, word), at != 63);
                        let found = changed(block, from, 64, word);
                        assert_eq!(found, (at >= from).then_some(Changed { first: at, bytes: 1 }));
                        byte.write(before);
                    }
                }
            }
        });
    }

    #[test]
    fn a_part_is_filled_and_nothing_before_it() {
        with_block(|block| {
            // SAFETY: 64 bytes of this test's.
            unsafe {
                fill(block, 21, 64, Secret(5).word(block));
                assert_eq!(with_exposed_provenance::<u64>(block + 8).read(), 0);
                assert!(with_exposed_provenance::<u8>(block + 20).read() == 0);
                assert!(is_intact(block, 21, 64, Secret(5).word(block)));
            }
        });
    }
}
