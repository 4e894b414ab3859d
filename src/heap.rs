//! The heap: making one, and allocating. Control flow only; the work is done a layer below. [`free`] and
//! [`resize`](crate::resize) are the other two stories; [`inspect`] looks at a heap, and trims it.

mod free;
mod inspect;

use crate::central::spans::{OutOfMemory, Spans};
use crate::ground::contents::Unfilled;
use crate::ground::header::{Kind, PAGE, Span, pages_of};
use crate::ground::policy::Policy;
use crate::ground::size_class::{MIN_ALIGN, SizeClass};
use crate::kernel::brk::Brk;
use crate::tier::Tier;
use core::alloc::Layout;
use core::ptr::NonNull;

/// A heap over a break, with one owner and no lock.
///
/// Nothing happens before the first allocation. What it hands out stays valid until it is freed or the memory under
/// `B` is gone; moving the `Heap` value moves none of it. Dropping a heap returns nothing to the kernel.
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
    /// [`OutOfMemory`] if the kernel refused both a higher break and a mapping. Nothing has changed then.
    #[inline(always)]
    pub fn allocate(&mut self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        match self.allocate_common(layout) {
            Some(payload) => Ok(payload),
            None => self.allocate_slow(layout),
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
    pub(crate) fn allocate_slow(&mut self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        let Some(class) = SizeClass::of(layout) else { return self.take_large(layout).map(payload_of) };
        let class = self.find_slot(class)?;
        self.tier.pop(class).ok_or(OutOfMemory)
    }

    /// Makes sure that some class has a slot at hand for requests of `class`, and returns that class.
    fn find_slot(&mut self, class: SizeClass) -> Result<SizeClass, OutOfMemory> {
        if self.tier.has_slot(class) {
            return Ok(class);
        }
        self.spans.begin_request();
        let host = self.tier.host(class);
        if self.tier.has_slot(host) || self.tier.refill(host, &mut self.spans).is_ok() {
            return Ok(host);
        }
        // The last resort is a slot that a guest has freed, or what is free.
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
}

pub(crate) fn payload_of(span: Span) -> NonNull<u8> {
    debug_assert!(span.is(Kind::Large));
    let payload = core::ptr::with_exposed_provenance_mut(span.start());
    // SAFETY: a span starts at a page of the heap, which is not the null page.
    unsafe { NonNull::new_unchecked(payload) }
}
