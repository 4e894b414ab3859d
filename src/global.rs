//! `Hmalloc`: the heap as a program's global allocator. Locking and policy, nothing else.

use crate::brk::Linux;
use crate::check::Corruption;
use crate::heap::Heap;
use crate::lock::{Futex, Lock, SingleThreaded};
use crate::misuse::Policy;
use crate::resize::ResizeError;
use crate::stats::Stats;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::NonNull;

/// The heap of a program, over the process's own program break.
///
/// ```no_run
/// #[global_allocator]
/// static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
/// # fn main() {}
/// ```
///
/// It may be used from any number of threads and needs no thread-local storage. Running out is an answer (null). A pointer
/// or layout that cannot be a live block's is handled as its [`Policy`] says; nothing in the heap changes.
///
/// It is not for signal handlers that interrupt an allocation. A program that forks while it has threads calls
/// [`before_fork`](Self::before_fork) and [`after_fork`](Self::after_fork) around it, or its child must not allocate before
/// it executes another program.
#[derive(Debug)]
pub struct Hmalloc<L = Futex> {
    lock: L,
    policy: Policy,
    heap: UnsafeCell<Heap<Linux>>,
}

// SAFETY: the heap in the cell is touched only between `lock` and `unlock`.
unsafe impl<L: Lock> Sync for Hmalloc<L> {}

impl Hmalloc {
    /// A heap that aborts the process on misuse.
    pub const fn new() -> Self {
        Self::with_policy(Policy::Abort)
    }

    /// A heap that does on misuse what `policy` says.
    pub const fn with_policy(policy: Policy) -> Self {
        Self { lock: Futex::new(), policy, heap: UnsafeCell::new(Heap::new(Linux)) }
    }
}

impl Hmalloc {
    /// Waits until no other thread is using the heap, and keeps them out. To be called right before `fork` in a program
    /// with threads, so that the child gets a heap that nobody was in the middle of changing.
    pub fn before_fork(&self) {
        self.lock.lock();
    }

    /// Lets the threads of this process use the heap again: after `fork`, in the parent and in the child.
    ///
    /// # Safety
    ///
    /// The calling thread, or the one it is a copy of, has called [`before_fork`](Self::before_fork) and used nothing of
    /// the heap since.
    pub unsafe fn after_fork(&self) {
        // SAFETY: this thread, or its original, holds the lock.
        unsafe { self.lock.unlock() }
    }
}

impl Default for Hmalloc {
    fn default() -> Self {
        Self::new()
    }
}

impl Hmalloc<SingleThreaded> {
    /// A heap that takes no lock and aborts on misuse, for programs with one thread.
    ///
    /// ```no_run
    /// use hmalloc::{Hmalloc, SingleThreaded};
    ///
    /// // SAFETY: this program starts no threads and allocates in no signal handler.
    /// #[global_allocator]
    /// static HEAP: Hmalloc<SingleThreaded> = unsafe { Hmalloc::single_threaded() };
    /// # fn main() {}
    /// ```
    ///
    /// # Safety
    ///
    /// Only one thread ever uses the heap, no signal handler does, and nothing that [`with`](Self::with) or
    /// [`inspect`](Self::inspect) calls does so behind their back.
    pub const unsafe fn single_threaded() -> Self {
        // SAFETY: the caller's promise.
        let lock = unsafe { SingleThreaded::new() };
        Self { lock, policy: Policy::Abort, heap: UnsafeCell::new(Heap::new(Linux)) }
    }
}

impl<L: Lock> Hmalloc<L> {
    /// Lends the heap to `use_heap` while nobody else can use it. `use_heap` must not allocate from or free to this
    /// `Hmalloc` in another way, nor panic: it would wait for itself forever.
    #[inline(always)]
    pub fn with<R>(&self, use_heap: impl FnOnce(&mut Heap<Linux>) -> R) -> R {
        self.lock.lock();
        // SAFETY: the lock is held, and no other reference into the cell outlives its turn.
        let result = use_heap(unsafe { &mut *self.heap.get() });
        // SAFETY: taken above.
        unsafe { self.lock.unlock() };
        result
    }

    /// Out of line, so that the common free needs no stack frame.
    #[inline(never)]
    fn dealloc_other(&self, address: usize, layout: Layout) {
        if let Err(misuse) = self.with(|heap| heap.free_sized_other(address, layout)) {
            self.policy.apply("free", &misuse);
        }
    }

    #[inline(never)]
    fn realloc_other(&self, payload: *mut u8, old: Layout, new: Layout) -> *mut u8 {
        // SAFETY: the caller of `realloc` is done with the block as it was.
        let result = self.with(|heap| unsafe { heap.resize_sized(payload, old, new) });
        if let Err(ResizeError::Misuse(misuse)) = &result {
            self.policy.apply("realloc", misuse);
        }
        or_null(result)
    }

    /// The heap in numbers.
    pub fn stats(&self) -> Stats {
        self.with(|heap| heap.stats())
    }

    /// Checks every invariant of the heap.
    ///
    /// # Errors
    ///
    /// The first [`Corruption`] found.
    pub fn check(&self) -> Result<(), Corruption> {
        self.with(|heap| heap.check())
    }

    /// Gives free memory back to the kernel but for `keep` bytes below the break. Returns the bytes given back. See
    /// [`Heap::trim`].
    pub fn trim(&self, keep: usize) -> usize {
        self.with(|heap| heap.trim(keep))
    }

    /// Shows the heap to `look`. As for [`with`](Self::with), `look` must not use the heap in another way, nor panic.
    pub fn inspect<R>(&self, look: impl FnOnce(&Heap<Linux>) -> R) -> R {
        self.with(|heap| look(heap))
    }
}

fn or_null<E>(result: Result<NonNull<u8>, E>) -> *mut u8 {
    result.map_or(core::ptr::null_mut(), NonNull::as_ptr)
}

// SAFETY: blocks are disjoint and as large and as aligned as their layout says; nothing here unwinds.
unsafe impl<L: Lock> GlobalAlloc for Hmalloc<L> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        or_null(self.with(|heap| heap.allocate(layout)))
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        or_null(self.with(|heap| heap.allocate_zeroed(layout)))
    }

    #[inline]
    unsafe fn dealloc(&self, payload: *mut u8, layout: Layout) {
        // SAFETY: the caller is done with the block.
        if !self.with(|heap| unsafe { heap.free_common(payload, layout) }) {
            self.dealloc_other(payload.addr(), layout);
        }
    }

    #[inline]
    unsafe fn realloc(&self, payload: *mut u8, old: Layout, new_size: usize) -> *mut u8 {
        let Ok(new) = Layout::from_size_align(new_size, old.align()) else { return core::ptr::null_mut() };
        if self.with(|heap| heap.resize_common(payload, old, new)) {
            payload
        } else {
            self.realloc_other(payload, old, new)
        }
    }
}
