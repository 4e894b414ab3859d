//! From bytes to requests. A few bytes for each, so that a small change of the input is a small change of the sequence.

use arbitrary::{Result, Unstructured};
use hmalloc::PAGE;
use std::alloc::Layout;

/// The longest sequence.
pub(crate) const STEPS_MAX: usize = 150;

/// A number below `bound`, which is at most 65,536.
pub(crate) fn below(input: &mut Unstructured<'_>, bound: usize) -> Result<usize> {
    input.int_in_range(0..=bound - 1)
}

/// A size, mostly small, and often one where the heap works in another way.
pub(crate) fn size(input: &mut Unstructured<'_>) -> Result<usize> {
    let kind = below(input, 16)?;
    let number = usize::from(input.arbitrary::<u16>()?);
    Ok(match kind {
        0..=3 => number % 129,
        4..=6 => number % 2048,
        7 | 8 => number % (16 << 10),
        9 | 10 => (16 << 10) + number % (40 << 10),
        11 | 12 => (56 << 10) + number,
        13 => (128 << 10) + number * 30,
        14 => number % 65 * PAGE,
        _ => (isize::MAX as usize - (1 << 20)) - number * number,
    })
}

/// A power of two up to 1 MiB, mostly a small one.
pub(crate) fn align(input: &mut Unstructured<'_>) -> Result<usize> {
    const LOGARITHMS: [u32; 16] = [0, 0, 0, 1, 2, 3, 3, 4, 4, 5, 6, 8, 12, 14, 15, 20];
    Ok(1 << LOGARITHMS[below(input, LOGARITHMS.len())?])
}

/// A size and an alignment.
pub(crate) fn layout(input: &mut Unstructured<'_>) -> Result<Layout> {
    let (size, align) = (size(input)?, align(input)?);
    Layout::from_size_align(size, align).map_err(|_| arbitrary::Error::IncorrectFormat)
}

/// A number that chooses among what there is.
pub(crate) fn which(input: &mut Unstructured<'_>) -> Result<usize> {
    Ok(usize::from(input.arbitrary::<u16>()?))
}
