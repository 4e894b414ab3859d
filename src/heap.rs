//! The heap: making one, and allocating. Control flow only; the work is done in the tier and the central part. [`free`]
//! and [`resize`](crate::resize) are the other two operations; [`inspect`] walks over the heap, and trims it.

mod free;
mod inspect;

use crate::central::spans::{OutOfMemory, Spans};
use crate::ground::contents::Unfilled;
use crate::ground::policy::Policy;
use crate::kernel::brk::Brk;
use crate::tier::Tier;
use crate::work::Work;
use core::alloc::Layout;
use core::ptr::NonNull;

/// A heap over a break, with one owner and no lock.
///
/// Nothing happens before the first allocation. A block stays valid until it is freed or the memory of `B` is gone;
/// moving the `Heap` value does not move it. Dropping a heap returns nothing to the kernel: [`release`](Self::release) does, and
/// a [`LocalHeap`](crate::LocalHeap) when it is dropped.
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
    /// Whether a block has ever kept much more than its request, because there was no memory to move it to. From then
    /// on a layout much smaller than its block is no evidence of a misuse.
    pub(crate) slack_kept: bool,
}

// SAFETY: the handles in this value lead to headers in memory that `B` owns (I2), and `B` may be sent. Other handles to
// them are in those headers, or in walks (`Blocks`, `SpanInfos`), which borrow the heap and cannot be sent themselves.
unsafe impl<B: Brk + Send> Send for Heap<B> {}

#[cfg(target_pointer_width = "64")]
const _: () =
    assert!(size_of::<Heap<crate::kernel::brk::Bytes>>() >> 10 == 8 && size_of::<Tier>() >> 10 == 3, "src/README.md");

impl<B: Brk + Default> Default for Heap<B> {
    fn default() -> Self {
        Self::new(B::default())
    }
}

impl<B: Brk> Heap<B> {
    /// An empty heap that will take its memory from `brk`. If another user lowers the break below its blocks, the
    /// process dies with a line that says so.
    #[must_use]
    pub const fn new(brk: B) -> Self {
        Self::with_policy(brk, Policy::Abort)
    }

    /// An empty heap that does what `policy` says if another user lowers the break below its blocks. If the process
    /// goes on, their content is lost: the break is raised over them again, and they read as zero.
    #[must_use]
    pub const fn with_policy(brk: B, policy: Policy) -> Self {
        Self { tier: Tier::new(), spans: Spans::new(brk, policy), slack_kept: false }
    }

    /// A block of at least `layout.size()` bytes at a multiple of `layout.align()`, and of 16. Its content is
    /// arbitrary. A request of 0 bytes gets a block of its own, too.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`] if the kernel refused both the break and a mapping. Nothing has changed then.
    #[inline(always)]
    pub fn allocate(&mut self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        match self.allocate_common(layout) {
            Some(payload) => Ok(payload),
            None => self.work().allocate_slow(layout),
        }
    }

    /// A slot that the class of `layout` has at hand: nearly every request is served so.
    #[inline(always)]
    pub(crate) fn allocate_common(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        self.tier.allocate_common(layout)
    }

    /// What works on the heap.
    #[inline(always)]
    pub(crate) fn work(&mut self) -> Work<'_, B> {
        Work {
            tier: &mut self.tier,
            spans: &mut self.spans,
            slack_kept: &mut self.slack_kept,
            world: None,
            common: None,
            wants_rest: false,
            unnamed: None,
        }
    }

    /// Like [`allocate`](Self::allocate), and the first `layout.size()` bytes are zero. Fresh kernel memory, which is
    /// zero already, is not written.
    ///
    /// # Errors
    ///
    /// As for [`allocate`](Self::allocate).
    ///
    /// ```
    /// # use hmalloc::{Heap, brk::Reserved};
    /// let mut heap = Heap::new(Reserved::new());
    /// let block = heap.allocate_zeroed(core::alloc::Layout::new::<u64>())?.cast::<u64>();
    /// // SAFETY: a live block of 8 bytes, which are zero.
    /// assert_eq!(unsafe { block.read() }, 0);
    /// # Ok::<(), hmalloc::OutOfMemory>(())
    /// ```
    pub fn allocate_zeroed(&mut self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        self.work().allocate_unfilled(layout).map(Unfilled::fill)
    }
}
