//! Large blocks that were freed, and are inaccessible for a while: no longer live, and not free yet. A read or a write there is
//! told by the processor. They hold addresses, and no memory.

use crate::ground::header::Span;

/// The most blocks that wait.
const BLOCKS: usize = 32;
/// The most bytes of addresses that wait.
pub(super) const BYTES_MAX: usize = if usize::BITS == 64 { 256 << 20 } else { 8 << 20 };
/// How long a block waits at most, in milliseconds, while others are freed.
const WAIT_MAX: u64 = 5000;

/// A block that waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) span: Span,
    /// Whether its memory went back to the kernel: then it reads as zero.
    pub(crate) zero: bool,
    since: u64,
}

impl Waiting {
    pub(crate) fn new(span: Span, zero: bool, now: Option<u64>) -> Self {
        Self { span, zero, since: now.unwrap_or(0) }
    }
}

/// The blocks that wait, oldest first.
pub(crate) struct Quarantine {
    /// Those from `first` on, `count` of them, around the end.
    blocks: [Option<Waiting>; BLOCKS],
    first: usize,
    count: usize,
    bytes: usize,
}

impl Quarantine {
    pub(crate) const fn new() -> Self {
        Self { blocks: [None; BLOCKS], first: 0, count: 0, bytes: 0 }
    }

    /// Whether a block of so many bytes may wait at all.
    pub(crate) fn admits(bytes: usize) -> bool {
        bytes <= BYTES_MAX
    }

    /// Has a block wait, after all that must [go](Self::next_due) for it.
    pub(crate) fn push(&mut self, waiting: Waiting) {
        self.blocks[(self.first + self.count) % BLOCKS] = Some(waiting);
        (self.count, self.bytes) = (self.count + 1, self.bytes + waiting.span.bytes());
    }

    /// Takes out the oldest block if it must go before one of `bytes` bytes can wait, or has waited for long.
    pub(crate) fn next_due(&mut self, bytes: usize, now: Option<u64>) -> Option<Waiting> {
        let oldest = self.blocks[self.first].filter(|_| self.count > 0)?;
        let is_old = now.is_some_and(|now| now.saturating_sub(oldest.since) > WAIT_MAX);
        if self.count < BLOCKS && self.bytes + bytes <= BYTES_MAX && !is_old {
            return None;
        }
        self.pop()
    }

    /// Takes out the oldest block.
    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        let oldest = self.blocks[self.first].take()?;
        self.first = (self.first + 1) % BLOCKS;
        (self.count, self.bytes) = (self.count - 1, self.bytes - oldest.span.bytes());
        Some(oldest)
    }
}
