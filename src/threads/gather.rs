//! Gathering: all slabs become those of the heap's own tier, while every other owner is stopped.
//!
//! Nothing is believed of what the tiers say, but for the slabs' live bits and what others have freed: so it serves also
//! where a thread was killed in the middle of an operation.

use super::{OwnTier, World};
use crate::central::spans::Spans;
use crate::ground::header::{Slab, Span};
use crate::tier::Tier;

/// Gives the slabs of those tiers for which `which` says so to `common`.
pub(crate) fn gather<B>(world: &World, common: &mut Tier, spans: &mut Spans<B>, which: impl Fn(&OwnTier) -> bool) {
    for tier in world.tiers().filter(|tier| which(tier)) {
        tier.others.discard_inboxes();
        // SAFETY: it is stopped, and its slabs become those of `common` now.
        unsafe { tier.clear() };
        // A living owner may be busy for a moment, until it sees that it is stopped.
        if tier.lease.is_busy() && tier.was_killed() {
            tier.lease.reset();
            world.vacate(tier);
        }
    }
    let mut next = spans.first;
    while let Some(span) = next {
        next = span.next();
        let owner = span.as_slab().and_then(|slab| Some((slab, world.tier(slab.owner_number())?)));
        if let Some((slab, tier)) = owner.filter(|(_, tier)| which(tier)) {
            spans.verify_slab(slab);
            tier.others.take_all(slab);
            next = take_over(slab, common, spans).map_or(next, Span::next);
        }
    }
}

/// Makes a slab one of `common`'s, by its live bits alone. If nothing in it is live it is retired, and the free span that
/// contains it returned.
fn take_over<B>(slab: Slab, common: &mut Tier, spans: &mut Spans<B>) -> Option<Span> {
    slab.set_owner(common.number);
    common.receive(slab, spans)
}
