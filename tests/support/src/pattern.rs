//! Bytes that tell one block, and one place in it, from another.

use std::sync::OnceLock;

const PIECE: usize = 64 << 10;
const PHASES: usize = 4099;

fn table() -> &'static [u8] {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let next = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        (0..PIECE + PHASES).map(next).collect()
    })
}

/// The pieces of a pattern `bytes` bytes long: what belongs at which offset.
fn pieces(seed: usize, bytes: usize) -> impl Iterator<Item = (usize, &'static [u8])> {
    let phase = seed.wrapping_mul(2_654_435_761) % PHASES;
    (0..bytes).step_by(PIECE).enumerate().map(move |(index, offset)| {
        let from = (phase + index * 61) % PHASES;
        (offset, &table()[from..][..PIECE.min(bytes - offset)])
    })
}

/// Writes the pattern of `seed`.
pub fn fill(bytes: &mut [u8], seed: usize) {
    for (offset, piece) in pieces(seed, bytes.len()) {
        bytes[offset..][..piece.len()].copy_from_slice(piece);
    }
}

/// The first offset at which `bytes` is not the pattern of `seed`.
pub fn first_difference(bytes: &[u8], seed: usize) -> Option<usize> {
    for (offset, piece) in pieces(seed, bytes.len()) {
        let actual = &bytes[offset..][..piece.len()];
        if actual != piece {
            return (0..piece.len()).find(|&at| actual[at] != piece[at]).map(|at| offset + at);
        }
    }
    None
}

/// The first offset at which `bytes` is not `byte`.
pub fn first_other_than(bytes: &[u8], byte: u8) -> Option<usize> {
    // A comparison of the slice with itself, shifted by one, is one `memcmp` even in an unoptimised build.
    let same = bytes.is_empty() || (bytes[0] == byte && bytes[1..] == bytes[..bytes.len() - 1]);
    if same { None } else { bytes.iter().position(|&actual| actual != byte) }
}
