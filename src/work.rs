//! What works on a heap in one turn: a tier, over the central part. It is the heap's own tier, or that of a thread, which has
//! its turn in the central part then.

pub(crate) mod checked;
mod free;
mod resize;
mod sampled;

use crate::central::spans::{OutOfMemory, Spans};
use crate::ground::company::if_threads;
use crate::ground::contents::Unfilled;
use crate::ground::header::{Kind, PAGE, Span, pages_of};
use crate::ground::profiling::Unnamed;
use crate::ground::size_class::SizeClass;
use crate::kernel::brk::Brk;
use crate::kernel::parts::{LIMITS, SPEED};
use crate::threads::World;
use crate::tier::Tier;
use core::alloc::Layout;
use core::ptr::NonNull;
pub(crate) use resize::Begun;

/// Span operations between two times that all tiers are asked for memory.
const ASK_ALL_EVERY: u32 = 256;

/// A tier over the central part.
pub(crate) struct Work<'a, B: Brk> {
    pub(crate) tier: &'a mut Tier,
    pub(crate) spans: &'a mut Spans<B>,
    pub(crate) slack_kept: &'a mut bool,
    /// See [`world`](Self::world).
    pub(crate) world: Option<&'a World>,
    /// The heap's own tier, if `tier` is another.
    pub(crate) common: Option<&'a mut Tier>,
    /// Whether the heap drains, so that tiers which are not used now should give up what they hold.
    pub(crate) wants_rest: bool,
    /// The block that was sampled in this turn, whose stack is still to be looked at.
    pub(crate) unnamed: Option<Unnamed>,
}

impl<'a, B: Brk> Work<'a, B> {
    /// The tiers of threads, if there are any.
    #[inline(always)]
    pub(crate) fn world(&self) -> Option<&'a World> {
        if_threads(self.world)
    }

    /// The block for [`allocate_zeroed`](crate::Heap::allocate_zeroed), before the zeros are written.
    pub(crate) fn allocate_unfilled(&mut self, layout: Layout) -> Result<Unfilled, OutOfMemory> {
        if let Some(class) = SizeClass::of(layout) {
            let sampled = match self.sample_due(class, layout) {
                Some(sampled) => sampled,
                None => {
                    let found = self.find_slot(class)?;
                    match self.tier.pop_unfilled(found, layout.size()) {
                        Some(unfilled) => return Ok(unfilled),
                        None => self.sample_found(found, layout)?,
                    }
                }
            };
            // SAFETY: the block is new, and at least this long.
            return Ok(unsafe { Unfilled::new(sampled, layout.size()) });
        }
        let span = self.allocate_large(layout)?;
        let dirty = (span.bytes() - span.zero_end() * PAGE).min(layout.size());
        // SAFETY: the block is new, and at least this long.
        Ok(unsafe { Unfilled::new(payload_of(span), dirty) })
    }

    pub(crate) fn allocate(&mut self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        if !SPEED {
            return self.allocate_slow(layout);
        }
        if SizeClass::of(layout).is_none() {
            return self.allocate_large(layout).map(payload_of);
        }
        self.tier.allocate_common(layout).map_or_else(|| self.allocate_slow(layout), Ok)
    }

    /// Allocates when the alignment is larger than usual, the class has no slot at hand, or no class serves the
    /// request.
    #[inline(never)]
    pub(crate) fn allocate_slow(&mut self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        let Some(class) = SizeClass::of(layout) else { return self.allocate_large(layout).map(payload_of) };
        if let Some(payload) = self.sample_due(class, layout) {
            return Ok(payload);
        }
        let found = self.find_slot(class)?;
        self.tier.pop(found).map_or_else(|| self.sample_found(found, layout), Ok)
    }

    /// Makes sure that a class has a slot at hand that serves requests of `class`, and returns that class.
    fn find_slot(&mut self, class: SizeClass) -> Result<SizeClass, OutOfMemory> {
        if self.tier.has_slot(class) {
            return Ok(class);
        }
        self.spans.begin_request();
        let host = self.tier.host(class);
        if self.tier.has_slot(host) || self.refill(host) {
            return Ok(host);
        }
        // The last resort is the coarse class, without asking the kernel again.
        if !LIMITS {
            return Err(OutOfMemory);
        }
        self.spans.end_asking();
        let coarse = class.coarse();
        let found = self.tier.has_slot(coarse) || self.refill(coarse);
        found.then_some(coarse).ok_or(OutOfMemory)
    }

    /// Whether all tiers may be asked for memory, because there is no other: not again at once, as it takes a walk over the
    /// heap.
    pub(crate) fn may_ask_all(&mut self) -> bool {
        let Some(world) = self.world() else { return false };
        let may = world.asked_all.get() == 0 || self.spans.thrift.since(world.asked_all.get()) > ASK_ALL_EVERY;
        if may {
            world.asked_all.set(self.spans.thrift.now());
        }
        may
    }

    fn refill(&mut self, class: SizeClass) -> bool {
        self.tier.drain(&self.spans.map.lookup);
        if let Some(common) = if_threads(self.common.as_deref_mut())
            && self.tier.needs_slab(class)
            && let Some(slab) = common.first_listed(class)
        {
            self.spans.verify_slab(slab);
            common.give_up(slab);
            self.tier.adopt(slab);
        }
        let refilled = self.tier.refill(class, self.spans).is_ok();
        if SPEED && refilled && self.world().is_some_and(World::has_company) {
            self.tier.stock(class, self.spans);
        }
        refilled
    }

    pub(crate) fn take_large(&mut self, layout: Layout) -> Result<Span, OutOfMemory> {
        self.spans.begin_request();
        let tier = &mut *self.tier;
        self.spans.take(pages_of(layout.size()), layout.align(), &mut |spans| tier.retire_idle(spans))
    }
}

pub(crate) fn payload_of(span: Span) -> NonNull<u8> {
    debug_assert!(span.is(Kind::Large) || span.is_sampled());
    let payload = core::ptr::with_exposed_provenance_mut(span.start());
    // SAFETY: a span starts at a page of the heap, which is never page 0.
    unsafe { NonNull::new_unchecked(payload) }
}
