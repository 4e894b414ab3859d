//! What is live and what is free, as a program knows it that sees the answers and the break.

use crate::level::Level;
use std::collections::BTreeMap;

/// C's strictest alignment, on the machine that grades.
const ALIGN: usize = 16;

/// A live block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Live {
    pub(crate) payload: isize,
    /// Bytes that were asked for.
    pub(crate) size: usize,
    /// Where the block ends that serves it, at least.
    pub(crate) end: isize,
}

/// Free bytes without a header in between: a payload that can be handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) start: isize,
    pub(crate) end: isize,
}

impl Stretch {
    pub(crate) fn bytes(&self) -> usize {
        (self.end - self.start).max(0).unsigned_abs()
    }
}

/// The heap from outside.
pub(crate) struct Model {
    level: Level,
    pub(crate) header: usize,
    pub(crate) live: BTreeMap<usize, Live>,
    /// Where each block that was ever handed out begins.
    payloads: BTreeMap<usize, isize>,
    free: Vec<Stretch>,
    /// What others raised the break over.
    pub(crate) others: Vec<Stretch>,
    pub(crate) brk: isize,
    pub(crate) raises_refused: bool,
    lowering_refused: bool,
    /// Free blocks may be on top although nothing is wrong.
    top_unknown: bool,
}

impl Model {
    pub(crate) fn new(level: Level, header: usize) -> Self {
        let (live, payloads, free, others) = (BTreeMap::new(), BTreeMap::new(), Vec::new(), Vec::new());
        let (raises_refused, lowering_refused, top_unknown) = (false, false, false);
        Self { level, header, live, payloads, free, others, brk: 0, raises_refused, lowering_refused, top_unknown }
    }

    /// The live block that starts so many bytes behind where `block` starts, or did.
    pub(crate) fn starting_at(&self, block: usize, distance: isize) -> Option<usize> {
        let address = self.payloads.get(&block)?.checked_add(distance)?;
        self.live.iter().find(|(_, live)| live.payload == address).map(|(block, _)| *block)
    }

    /// Whether the block was ever handed out.
    pub(crate) fn was_given(&self, block: usize) -> bool {
        self.payloads.contains_key(&block)
    }

    fn header(&self) -> isize {
        self.header.cast_signed()
    }

    /// Bytes of the block that serves a request.
    pub(crate) fn rounded(&self, size: usize) -> Option<usize> {
        if self.level < Level(2) { Some(size) } else { size.max(1).checked_next_multiple_of(ALIGN) }
    }

    /// The break stood `offset` bytes past a page at first.
    pub(crate) fn is_aligned(&self, payload: isize, offset: usize) -> bool {
        payload.saturating_add_unsigned(offset).unsigned_abs().is_multiple_of(ALIGN)
    }

    /// A free stretch that is large enough.
    pub(crate) fn fit(&self, need: usize) -> Option<Stretch> {
        self.free.iter().find(|stretch| stretch.bytes() >= need && stretch.end > stretch.start).copied()
    }

    /// Whether a block at `payload` may let the break down to its own end: it takes the free block that ends there. (A refused
    /// lowering has left one.)
    pub(crate) fn shrinks_top(&self, payload: isize) -> bool {
        let is_top = |free: &Stretch| free.start <= payload && free.end >= self.brk;
        self.level >= Level(5) && !self.lowering_refused && self.free.iter().any(is_top)
    }

    pub(crate) fn refuse_lowering(&mut self, refuse: bool) {
        self.lowering_refused = refuse;
        self.top_unknown |= refuse;
    }

    pub(crate) fn raise_by_others(&mut self, bytes: usize) {
        self.top_unknown |= bytes > 0;
        self.others.push(Stretch { start: self.brk, end: self.brk.saturating_add_unsigned(bytes) });
    }

    /// A block was handed out at `payload`.
    pub(crate) fn take(&mut self, block: usize, payload: isize, size: usize) {
        let need = self.rounded(size).unwrap_or(size).cast_signed();
        let mut end = payload + need;
        if let Some(at) =
            self.free.iter().position(|free| free.start <= payload && payload < free.end.max(free.start + 1))
        {
            let from = self.free.swap_remove(at);
            end = end.max(self.split(payload, end, from.end));
            let front = Stretch { start: from.start, end: payload - self.header() };
            if self.level >= Level(4) && front.bytes() >= ALIGN {
                self.free.push(front);
            }
        }
        self.payloads.insert(block, payload);
        self.live.insert(block, Live { payload, size, end });
    }

    /// What is behind a block that needs the bytes up to `end` and could have those up to `all`: a stretch of its own, if it can
    /// hold a header and a payload; else the block's. Returns where the block ends.
    fn split(&mut self, payload: isize, end: isize, all: isize) -> isize {
        let rest = Stretch { start: end + self.header(), end: all };
        if self.level < Level(4) || rest.bytes() < ALIGN || rest.start < payload {
            return all;
        }
        self.give(rest);
        end
    }

    /// A stretch is free from now on. Where neighbours are to be joined, it is.
    pub(crate) fn give(&mut self, mut stretch: Stretch) {
        if self.level >= Level(5) {
            let header = self.header();
            while let Some(at) = self
                .free
                .iter()
                .position(|other| other.end + header == stretch.start || stretch.end + header == other.start)
            {
                let other = self.free.swap_remove(at);
                stretch = Stretch { start: stretch.start.min(other.start), end: stretch.end.max(other.end) };
            }
        }
        self.free.push(stretch);
    }

    /// A live block is freed. Returns the highest place where the break may stand afterwards, if one is demanded.
    pub(crate) fn free(&mut self, block: usize) -> Option<isize> {
        let live = self.live.remove(&block)?;
        self.give(Stretch { start: live.payload, end: live.end });
        let header = self.header();
        let was_last = live.end == self.brk;
        match self.level {
            _ if self.lowering_refused => None,
            Level(3) => was_last.then_some(live.payload - header),
            Level(4..) if !self.top_unknown => {
                let top = self.live.values().map(|live| live.end).max();
                // What cannot hold a block stays in the last one.
                Some(top.unwrap_or(0) + header + 2 * ALIGN.cast_signed() - 1)
            }
            Level(4..) if was_last => Some(live.payload - header),
            _ => None,
        }
    }

    /// What lies above the break is not the heap's.
    pub(crate) fn cut(&mut self, brk: isize) {
        self.free.retain_mut(|free| {
            free.end = free.end.min(brk);
            free.start < free.end || free.start == free.end && free.end < brk
        });
    }

    /// Whether a block has room for `need` bytes where it is: its own, those of a free neighbour, or up to the break.
    pub(crate) fn can_stay(&self, live: &Live, need: usize) -> bool {
        let wanted = live.payload.saturating_add_unsigned(need);
        let next = self.free.iter().find(|free| free.start == live.end + self.header());
        let grows = live.end == self.brk && !self.raises_refused && need < (1 << 18);
        wanted <= live.end || next.is_some_and(|next| wanted <= next.end) || grows
    }

    /// A block stays where it is, with another size.
    pub(crate) fn resize(&mut self, block: usize, size: usize, brk: isize) {
        let Some(live) = self.live.remove(&block) else { return };
        let end = live.payload + self.rounded(size).unwrap_or(size).cast_signed();
        let mut all = live.end;
        while let Some(at) = self.free.iter().position(|free| free.start == all + self.header()) {
            all = self.free.swap_remove(at).end;
        }
        // The last block grows and shrinks with the break.
        let all = if all >= brk || end > all { brk.max(end).min(all.max(brk)) } else { all };
        let end = if all > end { self.split(live.payload, end, all) } else { end };
        self.live.insert(block, Live { payload: live.payload, size, end });
        self.cut(brk);
    }
}
