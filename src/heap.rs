//! The heap: allocate and free. Control flow only; the work is done a layer below. [`resize`](crate::resize) is the rest.

use crate::central::spans::{OutOfMemory, Spans};
use crate::door::misuse::Misuse;
use crate::door::validate::{Live, admit, admit_slot, explain, wrong_layout};
use crate::ground::contents::Unfilled;
use crate::ground::corrupt::Corruption;
use crate::ground::header::{Kind, PAGE, Slab, Span, pages_of};
use crate::ground::policy::Policy;
use crate::ground::size_class::{MIN_ALIGN, SizeClass};
use crate::kernel::brk::Brk;
use crate::look::blocks::{Blocks, SpanInfos};
use crate::look::check;
use crate::look::stats::Stats;
use crate::tier::Tier;
use crate::tier::slot::Slot;
use core::alloc::Layout;
use core::ptr::NonNull;

/// A heap over a break, with one owner and no lock.
///
/// Nothing happens before the first allocation. What it hands out stays valid until it is freed or the memory under
/// `B` is gone; moving the `Heap` value moves none of it. Dropping a heap gives nothing back.
///
/// # Examples
///
/// ```
/// use core::alloc::Layout;
/// use core::mem::MaybeUninit;
/// use hmalloc::{Heap, MisuseKind, brk::Emulated};
///
/// let mut arena = vec![MaybeUninit::uninit(); 1 << 20];
/// let mut heap = Heap::new(Emulated::new(&mut arena));
/// let payload = heap.allocate(Layout::new::<[u64; 8]>())?;
/// assert_eq!(heap.usable_size(payload.as_ptr()), Ok(64));
/// // SAFETY: nothing uses the block any more.
/// unsafe { heap.free(payload.as_ptr()) }.unwrap();
/// // SAFETY: as above; the heap notices.
/// let again = unsafe { heap.free(payload.as_ptr()) };
/// assert_eq!(again.unwrap_err().kind, MisuseKind::AlreadyFree);
/// # Ok::<(), hmalloc::OutOfMemory>(())
/// ```
#[derive(Debug)]
pub struct Heap<B: Brk> {
    pub(crate) tier: Tier,
    pub(crate) spans: Spans<B>,
    /// A block once kept much more than its request, because there was no memory to move it to. From then on a layout
    /// much smaller than its block proves nothing.
    pub(crate) slack_kept: bool,
}

// SAFETY: the handles in this value lead to headers in memory that `B` stands for (I2), and `B` may be sent. Other handles to
// them are in those headers, or in walks (`Blocks`, `SpanInfos`), which borrow the heap and cannot be sent themselves.
unsafe impl<B: Brk + Send> Send for Heap<B> {}

#[cfg(target_pointer_width = "64")]
const _: () =
    assert!(size_of::<Heap<crate::kernel::brk::Linux>>() >> 10 == 8 && size_of::<Tier>() >> 10 == 3, "src/README.md");

impl<B: Brk> Heap<B> {
    /// An empty heap that will take its memory from `brk`. If someone else lowers the break below its blocks, that is said
    /// in one line and the process dies.
    pub const fn new(brk: B) -> Self {
        Self::with_policy(brk, Policy::Abort)
    }

    /// An empty heap that does what `policy` says if someone else lowers the break below its blocks. Where the process
    /// goes on, their content is lost: the break is raised over them again, and they read as zero.
    pub const fn with_policy(brk: B, policy: Policy) -> Self {
        Self { tier: Tier::new(), spans: Spans::new(brk, policy), slack_kept: false }
    }

    /// A block of at least `layout.size()` bytes at a multiple of `layout.align()`, and of 16. Its content is arbitrary.
    /// A request of 0 bytes gets a block of its own, too.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`] if neither the break nor a mapping could be had. Nothing has changed then.
    #[inline(always)]
    pub fn allocate(&mut self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        match self.allocate_common(layout) {
            Some(payload) => Ok(payload),
            None => self.allocate_other(layout),
        }
    }

    /// A slot that the class of `layout` has at hand, as it has for nearly every request.
    #[inline(always)]
    pub(crate) fn allocate_common(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        if layout.align() > MIN_ALIGN {
            return None;
        }
        self.tier.pop(SizeClass::of_size(layout.size())?)
    }

    /// Like [`allocate`](Self::allocate), and the first `layout.size()` bytes are zero. Memory that the kernel handed out
    /// as zero is not written.
    ///
    /// # Errors
    ///
    /// As for [`allocate`](Self::allocate).
    pub fn allocate_zeroed(&mut self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        self.allocate_unfilled(layout).map(Unfilled::fill)
    }

    /// A block for [`allocate_zeroed`](Self::allocate_zeroed) in which the zeros are still to be written.
    pub(crate) fn allocate_unfilled(&mut self, layout: Layout) -> Result<Unfilled, OutOfMemory> {
        let (payload, dirty) = match SizeClass::of(layout) {
            Some(class) => {
                let class = self.find_slot(class)?;
                let payload = self.tier.pop(class).ok_or(OutOfMemory)?;
                (payload, if self.tier.is_fresh(class) { 0 } else { layout.size() })
            }
            None => {
                let span = self.take_large(layout)?;
                (payload_of(span), (span.bytes() - span.zero_end() * PAGE).min(layout.size()))
            }
        };
        // SAFETY: the block is new, and at least this long.
        Ok(unsafe { Unfilled::new(payload, dirty) })
    }

    /// Allocates what asks for more alignment than usual, what its class has no slot at hand for, or what no class serves.
    #[inline(never)]
    pub(crate) fn allocate_other(&mut self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        let Some(class) = SizeClass::of(layout) else { return self.take_large(layout).map(payload_of) };
        let class = self.find_slot(class)?;
        self.tier.pop(class).ok_or(OutOfMemory)
    }

    /// Sees to it that a class has a slot at hand for requests of `class`, and returns which.
    fn find_slot(&mut self, class: SizeClass) -> Result<SizeClass, OutOfMemory> {
        if self.tier.has_slot(class) {
            return Ok(class);
        }
        self.spans.begin_request();
        let host = self.tier.host(class);
        if self.tier.has_slot(host) || self.tier.refill(host, &mut self.spans).is_ok() {
            return Ok(host);
        }
        // The last resort is a slot that a guest has given back, or what is free.
        self.spans.end_asking();
        let coarse = class.coarse();
        let found = self.tier.has_slot(coarse) || self.tier.refill(coarse, &mut self.spans).is_ok();
        found.then_some(coarse).ok_or(OutOfMemory)
    }

    pub(crate) fn take_large(&mut self, layout: Layout) -> Result<Span, OutOfMemory> {
        self.spans.begin_request();
        let tier = &mut self.tier;
        self.spans.take(pages_of(layout.size()), layout.align(), |spans| tier.retire_idle(spans))
    }

    /// Frees the block whose payload starts at `payload`.
    ///
    /// The pointer is checked exactly and in constant time. Any address at all may be passed: it is decided without
    /// reading memory that is not the heap's own metadata.
    ///
    /// # Errors
    ///
    /// The [`Misuse`], if no live block starts there. Nothing has changed then.
    ///
    /// # Safety
    ///
    /// If `payload` is a live block's, nothing uses that block any more.
    #[inline(always)]
    pub unsafe fn free(&mut self, payload: *mut u8) -> Result<(), Misuse> {
        match self.slot_at(payload.addr()) {
            Some(slot) => {
                self.free_slot(slot);
                Ok(())
            }
            None => self.free_other(payload.addr()),
        }
    }

    /// The live slot that starts at `address`, as nearly every block does.
    #[inline(always)]
    pub(crate) fn slot_at(&self, address: usize) -> Option<Slot> {
        admit_slot(&self.spans.map, address)
    }

    /// The same, if `layout` fills more than half of it.
    #[inline(always)]
    pub(crate) fn common_slot(&self, address: usize, layout: Layout) -> Option<Slot> {
        self.slot_at(address).filter(|slot| slot.fits_closely(address, layout))
    }

    /// Frees the live block at `address`, a slot or a large one, if there is one.
    pub(crate) fn free_live_at(&mut self, address: usize) -> bool {
        let live = admit(&self.spans.map, address);
        live.map(|live| self.free_live(live)).is_some()
    }

    /// Frees what is not a live slot: a large block, or nothing.
    #[inline(never)]
    fn free_other(&mut self, address: usize) -> Result<(), Misuse> {
        if self.free_live_at(address) { Ok(()) } else { Err(self.explain(address)) }
    }

    /// Like [`free`](Self::free) for a caller who knows what was asked for, which is checked, too.
    ///
    /// # Errors
    ///
    /// As for [`free`](Self::free); and [`WrongLayout`](crate::MisuseKind::WrongLayout) if `layout` does not fit the
    /// block, or is so small that the heap would not have given it a block of this size.
    ///
    /// # Safety
    ///
    /// As for [`free`](Self::free).
    #[inline]
    pub unsafe fn free_sized(&mut self, payload: *mut u8, layout: Layout) -> Result<(), Misuse> {
        match self.common_slot(payload.addr(), layout) {
            Some(slot) => {
                self.free_slot(slot);
                Ok(())
            }
            None => self.free_sized_other(payload.addr(), layout),
        }
    }

    /// Frees what is not a live slot more than half filled: any other block, or nothing.
    #[inline(never)]
    fn free_sized_other(&mut self, address: usize, layout: Layout) -> Result<(), Misuse> {
        self.free_fitting(address, layout).map_err(|unfit| self.explain_unfit(address, unfit))
    }

    /// Frees the live block at `address` if it can be one of `layout`; else says which block is live there, if one is.
    pub(crate) fn free_fitting(&mut self, address: usize, layout: Layout) -> Result<(), Option<Live>> {
        let live = self.admit_fitting(address, layout)?;
        self.free_live(live);
        Ok(())
    }

    pub(crate) fn admit_fitting(&self, address: usize, layout: Layout) -> Result<Live, Option<Live>> {
        let live = admit(&self.spans.map, address).ok_or(None)?;
        if live.can_be(address, layout, self.slack_kept) { Ok(live) } else { Err(Some(live)) }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn explain_unfit(&self, address: usize, live: Option<Live>) -> Misuse {
        live.map_or_else(|| self.explain(address), |live| wrong_layout(live, address))
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn explain(&self, address: usize) -> Misuse {
        explain(self.spans.find_around(address), address)
    }

    pub(crate) fn free_live(&mut self, live: Live) {
        match live {
            Live::Slot(slot) => self.free_slot(slot),
            Live::Large(span) => self.free_large(span),
        }
    }

    #[inline(always)]
    fn free_slot(&mut self, slot: Slot) {
        if slot.free() {
            self.review(slot.slab);
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn review(&mut self, slab: Slab) {
        if let Some(free) = self.tier.review(slab, &mut self.spans) {
            self.settle(free);
        }
    }

    fn free_large(&mut self, span: Span) {
        let free = self.spans.release(span);
        self.settle(free);
    }

    /// Gives memory back to the kernel if a span that was just freed makes it worth while.
    pub(crate) fn settle(&mut self, free: Span) {
        if self.spans.is_return_due() {
            self.settle_slow(free.start());
        }
    }

    #[cold]
    #[inline(never)]
    fn settle_slow(&mut self, address: usize) {
        if let Some(plan) = self.spans.plan_return() {
            self.tier.park(&mut self.spans);
            self.spans.return_some(address, plan);
            self.spans.give_back_regions();
        }
        self.spans.lower_end();
    }

    /// How many bytes the caller may use in the block at `payload`: at least what was asked for.
    ///
    /// # Errors
    ///
    /// The [`Misuse`], if no live block starts there.
    pub fn usable_size(&self, payload: *const u8) -> Result<usize, Misuse> {
        let live = admit(&self.spans.map, payload.addr());
        live.map(Live::bytes).ok_or_else(|| self.explain(payload.addr()))
    }

    /// Returns free memory to the kernel: lowers the break until at most `keep` bytes, rounded up to whole pages, are free
    /// below it, unmaps regions in which nothing is live, and discards other free spans and the kernel pages inside slabs
    /// in which no block is live. Returns how many bytes that was: those by which the break fell and of unmapped regions,
    /// and of what was discarded those that held memory. What the kernel refuses to take stays as it is. The cost grows
    /// with the number of spans.
    pub fn trim(&mut self, keep: usize) -> usize {
        // A break below headers is noticed before one of them is read.
        self.spans.is_break_at_end();
        self.tier.retire_idle(&mut self.spans);
        let given = self.spans.lower(keep) + self.spans.give_back_regions() + self.spans.return_aside();
        given + self.tier.return_inside(&mut self.spans) + self.spans.discard_all()
    }

    /// Everything the heap consists of, in address order and without gaps between the ends of the heap or a region.
    /// Allocates nothing.
    pub fn blocks(&self) -> Blocks<'_> {
        Blocks::new(self.spans.first)
    }

    /// The spans of the heap in address order. Allocates nothing.
    pub fn spans(&self) -> SpanInfos<'_> {
        SpanInfos::new(self.spans.first)
    }

    /// Walks the whole heap and checks every invariant. Allocates nothing.
    ///
    /// # Errors
    ///
    /// The first [`Corruption`] found.
    pub fn check(&self) -> Result<(), Corruption> {
        check::check(&self.spans, &self.tier)
    }

    /// Counts what is in the heap, by a walk over its spans. Allocates nothing.
    pub fn stats(&self) -> Stats {
        Stats::of(&self.spans, self.spans())
    }

    /// The kernel underneath.
    pub fn brk(&self) -> &B {
        &self.spans.brk
    }

    /// The kernel underneath. Raising its break, or an emulated one's faults, are what others do to a heap: allowed at any
    /// time. If it is exchanged for another one, what the heap has stays where it is, and the heap grows there from then
    /// on; a lower break is taken for one that someone else has lowered.
    pub fn brk_mut(&mut self) -> &mut B {
        &mut self.spans.brk
    }
}

pub(crate) fn payload_of(span: Span) -> NonNull<u8> {
    debug_assert!(span.is(Kind::Large));
    let payload = core::ptr::with_exposed_provenance_mut(span.start());
    // SAFETY: a span starts at a page of the heap, which is not the null page.
    unsafe { NonNull::new_unchecked(payload) }
}
