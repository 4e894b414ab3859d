//! Sampled blocks: allocating and freeing them. Who calls this is told which block was sampled last, and adds its stack to the
//! profile after the turn: to look at a stack may take other locks.

use super::Work;
use crate::central::spans::OutOfMemory;
use crate::ground::company::SAMPLES;
use crate::ground::header::{Shot, Span};
use crate::ground::profiling::Unnamed;
use crate::ground::sites::{Counted, UNKNOWN};
use crate::ground::size_class::{MIN_ALIGN, SizeClass};
use crate::kernel::brk::Brk;
use crate::tier::others::Others;
use core::alloc::Layout;
use core::ptr::NonNull;

impl<B: Brk> Work<'_, B> {
    /// The tier's count of bytes, if requests are sampled.
    fn sampled_by(&self) -> Option<&'static Others> {
        self.tier.company().filter(|others| others.is_sampled())
    }

    /// The block for a request that is a sample, if it is one, and what serves it has no slot at hand.
    #[inline]
    pub(super) fn sample_due(&mut self, class: SizeClass, layout: Layout) -> Option<NonNull<u8>> {
        self.sampled_by()?;
        let host = self.tier.sampled_class(class)?;
        self.sample_at(host, layout)
    }

    /// The block for a request that is a sample, if the next one that `host` serves is one.
    fn sample_at(&mut self, host: SizeClass, layout: Layout) -> Option<NonNull<u8>> {
        let others = self.sampled_by().filter(|_| self.tier.is_sample_due(host))?;
        others.sampling.clear_due(host.index());
        self.allocate_sampled(layout, host)
    }

    /// A slot for a request for which `host` was [found](Self::find_slot) and has none at hand: because the next sample falls on
    /// the first one, and the request is it.
    #[cold]
    #[inline(never)]
    pub(super) fn sample_found(&mut self, host: SizeClass, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        if let Some(payload) = self.sample_at(host, layout) {
            return Ok(payload);
        }
        // There is no memory for a span of its own: a slot will do.
        let Some(others) = self.sampled_by() else { return Err(OutOfMemory) };
        others.sampling.pause(|| {
            let host = self.find_slot(host)?;
            self.tier.pop(host).ok_or(OutOfMemory)
        })
    }

    /// A sampled block for a small request, which slots of `host` would serve.
    #[cold]
    #[inline(never)]
    fn allocate_sampled(&mut self, layout: Layout, host: SizeClass) -> Option<NonNull<u8>> {
        let counted = Counted { site: UNKNOWN, request: layout.size(), slot: host.slot_size() };
        if let Some(guarded) = self.allocate_guarded_sample(layout, counted) {
            return Some(guarded);
        }
        let bytes = SizeClass::of(layout).map_or(layout.size(), SizeClass::slot_size);
        let span = self.take_large(Layout::from_size_align(bytes, layout.align()).ok()?).ok()?;
        self.begin_sample(span, Shot { offset: 0, bytes, guard: None, counted })
    }

    /// The same between inaccessible pages, if sampled blocks are guarded and the kernel agrees. The block ends where the second
    /// of them begins, but for its alignment.
    fn allocate_guarded_sample(&mut self, layout: Layout, counted: Counted) -> Option<NonNull<u8>> {
        self.spans.profiling?.guards?;
        let (kernel_page, align) = (self.spans.kernel_page(), layout.align().max(MIN_ALIGN));
        let block = layout.size().next_multiple_of(align);
        // An alignment to kernel pages holds from the first one on.
        let inside = block.next_multiple_of(kernel_page.max(align));
        let lead = kernel_page.max(align);
        if lead > kernel_page {
            return None;
        }
        let wanted = Layout::from_size_align(inside + 2 * kernel_page, kernel_page).ok()?;
        let span = self.take_large(wanted).ok()?;
        let offset = lead + inside - block;
        match self.spans.guard(span, inside, span.start() + offset, layout.size()) {
            Ok(number) => self.begin_sample(span, Shot { offset, bytes: layout.size(), guard: Some(number), counted }),
            Err(unguarded) => {
                self.free_large(unguarded?);
                None
            }
        }
    }

    fn begin_sample(&mut self, span: Span, shot: Shot) -> Option<NonNull<u8>> {
        self.spans.make_sampled(span, shot);
        let payload = NonNull::new(core::ptr::with_exposed_provenance_mut(span.sample_payload()));
        self.unnamed = payload.map(|payload| Unnamed::Allocated(payload.addr().get()));
        payload
    }

    /// Counts the bytes of a large block that is handed out for a request of `request` bytes: it may be a sample.
    #[inline]
    pub(super) fn count_large(&mut self, span: Span, request: usize) {
        if SAMPLES && self.spans.profiling.is_some() {
            self.count_large_slow(span, request);
        }
    }

    #[cold]
    #[inline(never)]
    fn count_large_slow(&mut self, span: Span, request: usize) {
        let Some(others) = self.sampled_by() else { return };
        let bytes = span.bytes();
        if others.sampling.counts(bytes) {
            let counted = Counted { site: UNKNOWN, request, slot: bytes };
            self.begin_sample(span, Shot { offset: 0, bytes, guard: None, counted });
        }
    }

    /// A large block, counted.
    #[inline]
    pub(crate) fn allocate_large(&mut self, layout: Layout) -> Result<Span, OutOfMemory> {
        let span = self.take_large(layout)?;
        self.count_large(span, layout.size());
        Ok(span)
    }

    /// Frees a sampled block.
    #[cold]
    #[inline(never)]
    pub(super) fn free_sampled(&mut self, span: Span) {
        let freed = match span.guard() {
            Some(number) => {
                // If a block was allocated in this turn, too, its stack is the more important one.
                self.unnamed = self.unnamed.or(Some(Unnamed::Freed(number, span.start())));
                self.spans.hold(span, number)
            }
            None => {
                self.spans.unmake_sampled(span);
                Some(span)
            }
        };
        if let Some(freed) = freed {
            let free = self.spans.free_span(freed);
            self.return_due(free);
        }
    }

    /// Resizes a sampled block for a small request, which stays one that is not worth a span: where it is if the request fills
    /// more than half of it, else by moving its content within the turn.
    pub(super) fn resize_sampled(&mut self, span: Span, new: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        let (address, bytes) = (span.sample_payload(), span.sample_bytes());
        let from = NonNull::new(core::ptr::with_exposed_provenance_mut::<u8>(address)).ok_or(OutOfMemory)?;
        let fits = new.size() <= bytes && address.is_multiple_of(new.align());
        if fits && (new.size() > bytes / 2 || bytes == MIN_ALIGN) {
            self.count_again(span, new);
            return Ok(from);
        }
        let to = match self.allocate(new) {
            Ok(to) => to,
            Err(_) if fits => {
                *self.slack_kept = true;
                self.count_again(span, new);
                return Ok(from);
            }
            Err(refused) => return Err(refused),
        };
        // SAFETY: the old block is live and the new one is not it; each is at least as long as what is copied.
        unsafe { to.copy_from_nonoverlapping(from, bytes.min(new.size())) };
        self.free_sampled(span);
        Ok(to)
    }

    /// Counts a sampled block that stays where it is as freed, and as allocated anew for `new`: by whoever resizes it. It stands for
    /// as many others as before, so its slot stays the same.
    fn count_again(&mut self, span: Span, new: Layout) {
        if span.counted().request != new.size() {
            self.spans.count_freed(span);
            span.set_request(new.size());
            self.unnamed = Some(Unnamed::Allocated(span.sample_payload()));
        }
    }
}
