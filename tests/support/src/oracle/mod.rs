//! The oracle: what every byte of the heap is, from the outside.
//!
//! It knows which payloads are live because it watched every call. Whatever it learns from the heap (its blocks,
//! spans and statistics) has to agree with that and among itself.

mod audit;
mod snapshot;

pub use snapshot::{Expected, Snapshot};

use hmalloc::{SpanInfo, SpanKind};
use std::alloc::Layout;
use std::collections::BTreeMap;

/// An answer of the model: fine, or what is wrong.
pub type Verdict<T = ()> = Result<T, String>;

/// Returns what is wrong unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}

/// Every payload is a multiple of this; what is not is `MisuseKind::Misaligned`.
pub const SMALLEST_ALIGNMENT: usize = 16;

/// A payload that the heap handed out.
#[derive(Debug, Clone, Copy)]
pub struct Live {
    pub payload: *mut u8,
    pub usable: usize,
    pub layout: Layout,
    /// Its pattern, and its age: later payloads have larger seeds.
    pub seed: usize,
}

/// What the caller of the heap knows.
#[derive(Debug, Default)]
pub struct Oracle {
    pub live: BTreeMap<usize, Live>,
    /// Payload starts that were freed and not handed out since, and the step in which they were.
    pub freed: BTreeMap<usize, usize>,
    /// The slabs by address: their slot size, and the step since which they stand.
    pub slabs: BTreeMap<usize, (usize, usize)>,
    /// Looks at the heap so far.
    pub step: usize,
    /// Ranges over which someone else raised the break, as start and end.
    pub foreign: Vec<(usize, usize)>,
}

impl Oracle {
    /// The live payload that `bytes` bytes at `start` would touch.
    pub fn overlapped(&self, start: usize, bytes: usize) -> Option<(usize, Live)> {
        let below =
            self.live.range(..=start).next_back().filter(|(at, live)| **at == start || *at + live.usable > start);
        let within = || self.live.range(start..start + bytes).next();
        below.or_else(within).map(|(at, live)| (*at, *live))
    }

    /// Notes which slabs came and went.
    pub fn note_slabs(&mut self, spans: &[SpanInfo]) {
        self.step += 1;
        let before = std::mem::take(&mut self.slabs);
        for span in spans {
            if let SpanKind::Slab { slot, .. } = span.kind {
                let same = before.get(&span.address).filter(|(was, _)| *was == slot);
                self.slabs.insert(span.address, *same.unwrap_or(&(slot, self.step)));
            }
        }
    }

    /// Whether a payload that started at `address` was freed while the slab at `slab` stood.
    fn freed_in(&self, slab: usize, address: usize) -> bool {
        let since = self.slabs.get(&slab).map(|(_, since)| since);
        self.freed.get(&address).is_some_and(|freed| since.is_some_and(|since| since <= freed))
    }

    /// Whether `bytes` bytes at `start` touch memory that is someone else's.
    pub fn touches_foreign(&self, start: usize, bytes: usize) -> bool {
        self.foreign.iter().any(|&(from, to)| start < to && from < start + bytes)
    }
}
