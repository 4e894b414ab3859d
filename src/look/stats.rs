//! A heap in numbers.

use crate::central::spans::Spans;
use crate::ground::header::PAGE;
use crate::kernel::brk::{Brk, Source};
use crate::look::blocks::{SpanInfos, SpanKind};

/// The heap in numbers. Bytes unless said otherwise.
///
/// `heap_bytes` = `live_bytes` + `free_bytes` + `metadata_bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Stats {
    /// Blocks that callers hold. A count.
    pub live_blocks: usize,
    /// What callers may use of them: the sum of their usable sizes.
    pub live_bytes: usize,
    /// Free spans, free slots and tails of slabs; and a large block that was resized, while its content is copied.
    pub free_bytes: usize,
    /// Headers and page map.
    pub metadata_bytes: usize,
    /// The part of `metadata_bytes` that is mapped aside, away from all blocks: also the tiers of threads.
    pub aside_bytes: usize,
    /// Memory between the heap's start and its end over which another user raised the break. Not part of `heap_bytes`.
    pub foreign_bytes: usize,
    /// All memory that the heap has from the kernel: pages below the break, regions, and metadata aside.
    pub heap_bytes: usize,
    /// The part of `heap_bytes` that is in regions, because the break could not be raised.
    pub mapped_bytes: usize,
    /// The largest value that `heap_bytes` has had.
    pub peak_heap_bytes: usize,
    /// How often the kernel was asked to move the break. A count.
    pub brk_calls: usize,
    /// How often the kernel was asked for a region. A count.
    pub map_calls: usize,
    /// Where the memory comes from.
    pub source: Source,
}

impl Stats {
    pub(crate) fn of<B: Brk>(spans: &Spans<B>, infos: SpanInfos<'_>) -> Self {
        let mut stats = Self {
            heap_bytes: spans.heap_bytes(),
            metadata_bytes: spans.map.aside_bytes() + spans.counters.thread_bytes,
            aside_bytes: spans.map.aside_bytes() + spans.counters.thread_bytes,
            mapped_bytes: spans.counters.region_pages * PAGE,
            peak_heap_bytes: spans.counters.peak_bytes,
            brk_calls: spans.counters.brk_calls,
            map_calls: spans.counters.map_calls,
            source: spans.brk.source(),
            ..Self::default()
        };
        let mut infos = infos;
        loop {
            let sampled = infos.sampled();
            let Some(info) = infos.next() else { return stats };
            match info.kind {
                SpanKind::Metadata => stats.metadata_bytes += info.bytes,
                SpanKind::Foreign => stats.foreign_bytes += info.bytes,
                SpanKind::Free => stats.free_bytes += info.bytes,
                SpanKind::Large => {
                    let (block, rest) = sampled.unwrap_or((info.bytes, 0));
                    stats.live_blocks += 1;
                    stats.live_bytes += block;
                    stats.metadata_bytes += rest;
                }
                SpanKind::Slab { slot, live, .. } => {
                    stats.live_blocks += live;
                    stats.live_bytes += live * slot;
                    stats.free_bytes += info.bytes - live * slot;
                }
            }
        }
    }
}
