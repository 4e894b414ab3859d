//! Whose each slab is, and what of it callers hold, while every thread is stopped and nothing is gathered.

use super::{Pin, TierOwner};
use crate::door::block::{Block, BlockState};
use crate::ground::header::{BITMAP_WORDS, Kind, Slab, Span};
use crate::look::blocks::{SpanInfos, SpanKind};
use crate::threads::{OwnTier, World};
use crate::tier::Tier;
use crate::tier::slot::Slot;

/// The tiers of a heap: its own, and those of threads if there are any. All are at rest.
#[derive(Clone, Copy)]
pub(super) struct Looker<'a> {
    pub(super) common: &'a Tier,
    pub(super) world: Option<&'a World>,
}

// Each of these stands once in a program, and not at each call: a program is 3 KB shorter for it.
impl Looker<'_> {
    /// The live slots of word number `index` of a slab's bitmap, without those that other threads have freed.
    fn live_word(&self, slab: Slab, index: usize) -> u64 {
        let live = slab.live()[index].get();
        if !slab.is_freed_by_others() {
            return live;
        }
        let owner = self.world.and_then(|world| world.tier(slab.owner_number()));
        owner.map_or(live, |owner| live & !owner.others.freed_in_word(slab, index))
    }

    /// The tier that owns a slab.
    #[cold]
    #[inline(never)]
    fn tier(&self, slab: Slab) -> &Tier {
        let own = self.world.and_then(|world| world.tier(slab.owner_number()));
        // SAFETY: its owner is stopped as long as this exists.
        own.map_or(self.common, |own| unsafe { &*own.tier() })
    }

    /// The units of a slab in which no block is live, and which may hold kernel memory. What its class has claimed and not handed
    /// out counts as what it was before.
    #[cold]
    #[inline(never)]
    pub(super) fn dirty_units(&self, slab: Slab) -> u32 {
        let clean = self.tier(slab).classes[slab.size_class().index()].claimed_and_clean(slab);
        slab.units() & !slab.live_units() & !slab.zero_units() & !clean
    }

    /// How many slots of a slab callers hold.
    #[cold]
    #[inline(never)]
    pub(super) fn live(&self, slab: Slab) -> usize {
        (0..BITMAP_WORDS).map(|index| self.live_word(slab, index).count_ones() as usize).sum()
    }

    /// Whether a trim would make the span a free one. It gives up the guarded blocks that were freed and are kept.
    #[cold]
    #[inline(never)]
    pub(super) fn is_idle(&self, span: Span) -> bool {
        span.is(Kind::Free) || is_kept(span) || span.as_slab().is_some_and(|slab| self.live(slab) == 0)
    }

    /// The first live block of a slab, or the last.
    #[cold]
    #[inline(never)]
    fn block(&self, slab: Slab, last: bool) -> Option<Block> {
        let mut words =
            (0..BITMAP_WORDS).map(|index| (index, self.live_word(slab, index))).filter(|&(_, word)| word != 0);
        let (index, word) = if last { words.next_back() } else { words.next() }?;
        let bit = if last { word.ilog2() } else { word.trailing_zeros() };
        let slot = Slot::new(slab, index * 64 + bit as usize);
        Some(Block { address: slot.address(), size: slab.slot_size(), state: BlockState::Used })
    }

    /// A span at the border of free memory, which lies above it or below it.
    pub(super) fn pin(&self, span: Span, free_above: bool) -> Pin {
        let (address, bytes) = (span.start(), span.bytes());
        let Some(slab) = span.as_slab() else {
            let kind = SpanInfos::kind(span);
            let used = match span.is_sampled() {
                true => Block { address: span.sample_payload(), size: span.sample_bytes(), state: BlockState::Used },
                false => Block { address, size: bytes, state: BlockState::Used },
            };
            return Pin { address, bytes, kind, tier: None, block: (kind == SpanKind::Large).then_some(used) };
        };
        let kind = SpanKind::Slab { slot: slab.slot_size(), capacity: slab.capacity(), live: self.live(slab) };
        Pin { address, bytes, kind, tier: Some(slab.owner_number().into()), block: self.block(slab, free_above) }
    }

    pub(super) fn owner(&self, number: usize) -> TierOwner {
        let own = self.world.and_then(|world| world.tier(number as u16));
        own.map_or(TierOwner::InTurns, owner_of)
    }
}

/// Whether it is that of a guarded block that was freed, and is kept inaccessible.
pub(super) fn is_kept(span: Span) -> bool {
    span.is_sampled() && span.is_held()
}

fn owner_of(own: &OwnTier) -> TierOwner {
    match own.task() {
        _ if own.thread() == 0 || own.is_put_aside() => TierOwner::Unowned,
        0 => TierOwner::FirstThread,
        task if own.is_abandoned() => TierOwner::Ended(task),
        task => TierOwner::Thread(task),
    }
}
