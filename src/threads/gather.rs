//! Gathering: all slabs become those of the heap's own tier, while every other owner is stopped.
//!
//! Nothing is believed of what the tiers say, but for the slabs' live bits and what others have freed: so it serves also
//! where a thread was killed in the middle of an operation.

use super::{OwnTier, World};
use crate::central::spans::Spans;
use crate::ground::header::{Slab, Span};
use crate::tier::Tier;

/// Gives the slabs of all tiers to `common`. Afterwards no slot is freed and not taken, and no page is in an inbox: also if an
/// owner was killed when it was about to put one in.
pub(crate) fn gather<B>(world: &World, common: &mut Tier, spans: &mut Spans<B>) {
    for tier in world.tiers() {
        tier.others.discard_inboxes();
        // SAFETY: it is stopped, and its slabs become those of `common` now.
        unsafe { tier.clear() };
        // A living owner may be busy for a moment, until it sees that it is stopped.
        if tier.lease.is_busy() && tier.was_killed() {
            world.put_aside(tier);
        }
    }
    let any_killed = world.tiers().any(OwnTier::is_put_aside);
    let mut next = spans.first;
    while let Some(span) = next {
        next = span.next();
        let owner = span.as_slab().and_then(|slab| Some((slab, world.tier(slab.owner_number())?)));
        if let Some((slab, tier)) = owner {
            spans.verify_slab(slab);
            tier.others.take_all(slab, tier.is_put_aside());
            if any_killed {
                tier.others.release_page(slab);
            }
            next = take_over(slab, common, spans).map_or(next, Span::next);
        }
    }
    for tier in world.tiers().filter(|tier| tier.is_put_aside()) {
        tier.lease.reset();
        world.vacate(tier);
    }
}

/// Makes a slab one of `common`'s, by its live bits alone. If nothing in it is live it is retired, and the free span that
/// contains it returned.
fn take_over<B>(slab: Slab, common: &mut Tier, spans: &mut Spans<B>) -> Option<Span> {
    slab.set_owner(common.number);
    common.receive(slab, spans)
}
