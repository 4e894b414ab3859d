//! How large live blocks are.

use crate::look::blocks::{SpanInfos, SpanKind};
use crate::look::figures::Grouped;
use core::fmt;

/// Blocks of at most 16 bytes, of at most 32, and so on by doubling.
const BANDS: usize = usize::BITS as usize - FIRST;
/// The first doubling: the logarithm of the smallest slot.
const FIRST: usize = 4;
/// Characters in the longest bar.
const BAR: usize = 40;

/// Live blocks by size, in doublings: a person's histogram by its `Display`.
///
/// ```
/// # static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
/// let block = HEAP.allocate(core::alloc::Layout::new::<[u8; 100]>())?;
/// let histogram = HEAP.histogram();
/// let band = histogram.bands().next().unwrap();
/// assert_eq!((band.smallest, band.largest, band.blocks, band.bytes), (65, 128, 1, 128));
/// println!("{histogram}");
/// # Ok::<(), hmalloc::OutOfMemory>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Histogram {
    blocks: [usize; BANDS],
    bytes: [usize; BANDS],
}

/// The blocks of some sizes. Bytes are what callers may use of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SizeBand {
    /// The smallest size, in bytes.
    pub smallest: usize,
    /// The largest size, in bytes.
    pub largest: usize,
    /// How many live blocks have a size between these.
    pub blocks: usize,
    /// The sum of their sizes, in bytes.
    pub bytes: usize,
}

impl Histogram {
    pub(crate) fn of(spans: SpanInfos<'_>) -> Self {
        let mut histogram = Self { blocks: [0; BANDS], bytes: [0; BANDS] };
        let mut spans = spans;
        loop {
            let sampled = spans.sampled();
            let Some(span) = spans.next() else { return histogram };
            match span.kind {
                SpanKind::Large => histogram.count(sampled.map_or(span.bytes, |(block, _)| block), 1),
                SpanKind::Slab { slot, live, .. } => histogram.count(slot, live),
                _ => {}
            }
        }
    }

    fn count(&mut self, size: usize, blocks: usize) {
        let band = (size.next_power_of_two().ilog2() as usize).saturating_sub(FIRST).min(BANDS - 1);
        self.blocks[band] += blocks;
        self.bytes[band] += size * blocks;
    }

    /// The bands in which there are blocks, from small to large.
    pub fn bands(&self) -> impl Iterator<Item = SizeBand> {
        let all = self.blocks.iter().zip(&self.bytes).enumerate();
        all.filter(|&(_, (&blocks, _))| blocks > 0).map(|(band, (&blocks, &bytes))| {
            let largest = 1 << (band + FIRST);
            SizeBand { smallest: if band == 0 { 1 } else { largest / 2 + 1 }, largest, blocks, bytes }
        })
    }
}

/// A line for each band, with a bar for its bytes.
impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.bytes.iter().copied().max().unwrap_or(0).max(1);
        writeln!(f, "{:>14} {:>14} {:>18}", "up to bytes", "blocks", "bytes")?;
        for SizeBand { largest, blocks, bytes, .. } in self.bands() {
            let bar = (bytes as u128 * BAR as u128).div_ceil(most as u128) as usize;
            write!(f, "{:>14} {:>14} {:>18} {:#<bar$}", Grouped(largest), Grouped(blocks), Grouped(bytes), "")?;
            f.write_str("\n")?;
        }
        Ok(())
    }
}
