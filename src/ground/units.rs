//! Units: pieces of 4 KiB, the smallest kernel page. A slab has a bit for each of its units.

/// Bytes of a unit.
pub(crate) const UNIT: usize = 4096;

/// The most units of a slab: a header has a bit for each.
pub(crate) const MAX_UNITS: usize = u32::BITS as usize;

/// The units in which the bytes from offset `from` to `to` of a slab lie. There must be at least one byte.
pub(crate) fn units_of_bytes(from: usize, to: usize) -> u32 {
    debug_assert!(from < to && to <= MAX_UNITS * UNIT);
    let (first, last) = (from / UNIT, (to - 1) / UNIT);
    (u32::MAX >> (MAX_UNITS - 1 - (last - first))) << first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_lie_in_the_units_from_their_first_to_their_last() {
        for (from, to, units) in [
            (0, 1, 0b1),
            (0, UNIT, 0b1),
            (0, UNIT + 1, 0b11),
            (UNIT - 1, UNIT, 0b1),
            (UNIT - 1, UNIT + 1, 0b11),
            (UNIT, 3 * UNIT, 0b110),
            (MAX_UNITS * UNIT - 1, MAX_UNITS * UNIT, 1 << 31),
            (0, MAX_UNITS * UNIT, u32::MAX),
        ] {
            assert_eq!(units_of_bytes(from, to), units, "{from}..{to}");
        }
    }
}
