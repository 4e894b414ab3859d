//! `Hmalloc`: the heap as a program's global allocator. Turns and policy, nothing else.
//!
//! The shape of the common paths matters: every way out of them that does more is the last thing they do, so that they
//! need no stack frame and save no registers. What such a way out is called with, it holds the turn for.

use crate::central::spans::OutOfMemory;
use crate::door::misuse::{Block, Misuse};
use crate::ground::header::Slab;
use crate::ground::lock::{Futex, Lock, SingleThreaded, Turn};
use crate::ground::policy::Policy;
use crate::heap::Heap;
use crate::kernel::brk::{Automatic, Brk};
use crate::look::check::Corruption;
use crate::look::stats::Stats;
use crate::resize::ResizeError;
use crate::tier::slab::Slabs;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::NonNull;

/// The heap of a program.
///
/// ```no_run
/// #[global_allocator]
/// static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
/// # fn main() {}
/// ```
///
/// It may be used from any number of threads and needs no thread-local storage. Running out is an answer (null). A
/// pointer or layout that cannot be a live block's is handled as its [`Policy`] says; nothing in the heap changes.
///
/// # Where the memory comes from
///
/// From the [`Automatic`] source: the program break, or where a libc is linked a break of its own. A program can bring
/// another one by [`with_source`](Self::with_source); [`Stats::source`] says which it is.
///
/// # Fork
///
/// Where a libc is linked, handlers see to it that the child of a `fork` in a program with threads gets a sound heap,
/// also in a signal handler that interrupted a call to the heap. Without a libc, such a program calls
/// [`before_fork`](Self::before_fork) and [`after_fork`](Self::after_fork). A child made by the bare system call while
/// another thread was in the heap cannot use it: the first call dies with a line that says so.
/// A shared library that brings a heap of its own must not be unloaded while another thread forks: glibc does not wait
/// for handlers that it is running.
///
/// # Limits
///
/// A signal handler must not use the heap if it may have interrupted a call to it: that dies with a line, too, after
/// half a second if other threads live; without a libc, or where thread pointers are not read (they are on x86, x86_64,
/// aarch64, riscv64 and loongarch64), it waits while they do. A thread of low priority that is interrupted inside the
/// heap makes others wait, whatever their priority; the call that holds the lock is some tens of nanoseconds long, a
/// few microseconds when it asks the kernel. Heaps that share one of the 31 locks (from the 31st heap on) must not be
/// used inside each other's [`with`](Self::with).
#[derive(Debug)]
pub struct Hmalloc<L = Futex, B: Brk = Automatic> {
    lock: L,
    policy: Policy,
    heap: UnsafeCell<Heap<B>>,
}

// SAFETY: the heap in the cell is touched only by whoever has the lock's turn, from any thread.
unsafe impl<L: Lock + Sync, B: Brk + Send> Sync for Hmalloc<L, B> {}

impl Hmalloc {
    /// A heap that aborts the process on misuse.
    pub const fn new() -> Self {
        Self::with_policy(Policy::Abort)
    }

    /// A heap that does on misuse what `policy` says.
    pub const fn with_policy(policy: Policy) -> Self {
        Self::with_source_and_policy(Automatic::new(), policy)
    }
}

impl<B: Brk> Hmalloc<Futex, B> {
    /// A heap that takes its memory from `source`, and aborts the process on misuse.
    pub const fn with_source(source: B) -> Self {
        Self::with_source_and_policy(source, Policy::Abort)
    }

    /// A heap that takes its memory from `source`, and does on misuse what `policy` says.
    pub const fn with_source_and_policy(source: B, policy: Policy) -> Self {
        Self { lock: Futex::new(), policy, heap: UnsafeCell::new(Heap::with_policy(source, policy)) }
    }

    /// Waits until no other thread is using the heap, and keeps them out. To be called right before `fork` in a program
    /// with threads and without a libc, so that the child gets a heap that nobody was in the middle of changing.
    pub fn before_fork(&self) {
        self.lock.take_for_fork();
    }

    /// Lets the threads of this process use the heap again: after `fork`, in the parent and in the child.
    ///
    /// # Safety
    ///
    /// The calling thread, or the one it is a copy of, has called [`before_fork`](Self::before_fork) once and used
    /// nothing of the heap since; and not in a signal handler that may have interrupted a call to the heap.
    pub unsafe fn after_fork(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.lock.leave_after_fork() };
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
        unsafe { Self::single_threaded_with_source(Automatic::new()) }
    }
}

impl<B: Brk> Hmalloc<SingleThreaded, B> {
    /// A heap that takes no lock and takes its memory from `source`, and aborts on misuse.
    ///
    /// # Safety
    ///
    /// As for [`single_threaded`](Hmalloc::single_threaded).
    pub const unsafe fn single_threaded_with_source(source: B) -> Self {
        // SAFETY: the caller's promise.
        let lock = unsafe { SingleThreaded::new() };
        Self { lock, policy: Policy::Abort, heap: UnsafeCell::new(Heap::new(source)) }
    }
}

/// Ends a turn when it goes out of scope, also by a panic of what the heap was lent to.
struct Lent<'a, L: Lock> {
    lock: &'a L,
    turn: Turn,
}

impl<L: Lock> Drop for Lent<'_, L> {
    fn drop(&mut self) {
        self.lock.lend(false);
        end(self.lock, self.turn);
    }
}

/// Ends the caller's turn.
#[inline(always)]
fn end<L: Lock>(lock: &L, turn: Turn) {
    if turn == Turn::Forking {
        lock.lend(false);
    // SAFETY: the callers have the turn, and the heap is not touched after it.
    } else if unsafe { lock.unlock() } {
        lock.wake();
    }
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    #[inline(always)]
    fn begin(&self) -> Turn {
        if self.lock.try_lock() { Turn::Taken } else { self.lock.wait() }
    }

    /// Does `use_heap`, which is the heap's own code, in a turn.
    #[inline(always)]
    fn in_turn<R>(&self, use_heap: impl FnOnce(&mut Heap<B>) -> R) -> R {
        let turn = self.begin();
        self.end_with(turn, use_heap)
    }

    #[inline(always)]
    fn end_with<R>(&self, turn: Turn, use_heap: impl FnOnce(&mut Heap<B>) -> R) -> R {
        // SAFETY: it is the caller's turn, and no other reference into the cell outlives its own.
        let result = use_heap(unsafe { &mut *self.heap.get() });
        end(&self.lock, turn);
        result
    }

    /// Lends the heap to `use_heap` while nobody else can use it. `use_heap` must not use this heap in another way: if
    /// it does, for instance by growing a `Vec` or by its first `println!` where this is the global allocator, the
    /// process dies with one line. A panic that unwinds ends the turn.
    pub fn with<R>(&self, use_heap: impl FnOnce(&mut Heap<B>) -> R) -> R {
        let lent = Lent { lock: &self.lock, turn: self.begin() };
        lent.lock.lend(true);
        // SAFETY: it is the caller's turn, and no other reference into the cell outlives its own.
        use_heap(unsafe { &mut *self.heap.get() })
    }

    /// Shows the heap to `look`. As for [`with`](Self::with), `look` must not use the heap in another way;
    /// [`snapshot`](Self::snapshot) copies its blocks to where they can be looked at in peace.
    pub fn inspect<R>(&self, look: impl FnOnce(&Heap<B>) -> R) -> R {
        self.with(|heap| look(heap))
    }

    /// Copies the heap's [`blocks`](Heap::blocks) in address order to `into`, as many as there is room for, and returns
    /// how many there are. What was copied can be looked at, printed and collected without holding the heap.
    ///
    /// ```
    /// # use hmalloc::{Block, BlockState, Hmalloc};
    /// # static HEAP: Hmalloc = Hmalloc::new();
    /// let mut blocks = vec![Block { address: 0, size: 0, state: BlockState::Free }; 1000];
    /// let count = HEAP.snapshot(&mut blocks);
    /// for block in blocks.iter().take(count) {
    ///     println!("{block:?}");
    /// }
    /// ```
    pub fn snapshot(&self, into: &mut [Block]) -> usize {
        self.with(|heap| {
            let mut count = 0;
            for block in heap.blocks() {
                if let Some(place) = into.get_mut(count) {
                    *place = block;
                }
                count += 1;
            }
            count
        })
    }

    /// The heap in numbers.
    pub fn stats(&self) -> Stats {
        self.in_turn(|heap| heap.stats())
    }

    /// Checks every invariant of the heap.
    ///
    /// # Errors
    ///
    /// The first [`Corruption`] found.
    pub fn check(&self) -> Result<(), Corruption> {
        self.with(|heap| heap.check())
    }

    /// Returns free memory to the kernel but for `keep` bytes below the break. Returns how many bytes that was. See
    /// [`Heap::trim`].
    pub fn trim(&self, keep: usize) -> usize {
        self.with(|heap| heap.trim(keep))
    }

    /// [`Heap::allocate`] in turn with other threads.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    #[inline(always)]
    pub fn allocate(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        if !self.lock.try_lock() {
            return self.allocate_contended(layout);
        }
        // SAFETY: it is the caller's turn.
        let Some(payload) = unsafe { &mut *self.heap.get() }.allocate_common(layout) else {
            return self.allocate_slow(layout);
        };
        // SAFETY: as above.
        if unsafe { self.lock.unlock() } {
            return self.wake_for(Ok(payload));
        }
        Ok(payload)
    }

    #[cold]
    #[inline(never)]
    fn wake_for<R>(&self, result: R) -> R {
        self.lock.wake();
        result
    }

    #[cold]
    #[inline(never)]
    fn allocate_contended(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        self.end_with(self.lock.wait(), |heap| heap.allocate(layout))
    }

    #[inline(never)]
    fn allocate_slow(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        self.end_with(Turn::Taken, |heap| heap.allocate_other(layout))
    }

    /// [`Heap::allocate_zeroed`] in turn with other threads.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    pub fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        self.in_turn(|heap| heap.allocate_zeroed(layout))
    }

    /// [`Heap::free`] in turn with other threads. A misuse is passed to `misused`; the heap's own policy is not asked.
    ///
    /// # Safety
    ///
    /// As for [`Heap::free`].
    #[inline(always)]
    pub unsafe fn free(&self, payload: *mut u8, misused: impl FnOnce(&Misuse)) {
        // SAFETY: the caller's promise.
        unsafe { self.free_heard(payload, || true, misused) }
    }

    /// [`free`](Self::free), and a misuse is looked into only if `hears` says that somebody wants to know. `hears` must
    /// not use the heap.
    ///
    /// # Safety
    ///
    /// As for [`Heap::free`].
    #[inline(always)]
    pub unsafe fn free_heard(&self, payload: *mut u8, hears: impl FnOnce() -> bool, misused: impl FnOnce(&Misuse)) {
        if !self.lock.try_lock() {
            return self.free_contended(payload.addr(), hears, misused);
        }
        // SAFETY: it is the caller's turn.
        match unsafe { &*self.heap.get() }.slot_at(payload.addr()) {
            Some(slot) if Slabs::push(slot) => self.review(slot.slab),
            Some(_) => end(&self.lock, Turn::Taken),
            None => self.free_slow(payload.addr(), hears, misused),
        }
    }

    #[cold]
    #[inline(never)]
    fn free_contended(&self, address: usize, hears: impl FnOnce() -> bool, misused: impl FnOnce(&Misuse)) {
        self.finish_free(self.lock.wait(), address, hears, misused);
    }

    #[inline(never)]
    fn free_slow(&self, address: usize, hears: impl FnOnce() -> bool, misused: impl FnOnce(&Misuse)) {
        self.finish_free(Turn::Taken, address, hears, misused);
    }

    #[inline(always)]
    fn finish_free(&self, turn: Turn, address: usize, hears: impl FnOnce() -> bool, misused: impl FnOnce(&Misuse)) {
        let explain = |heap: &Heap<B>| hears().then(|| heap.explain(address));
        if let Some(misuse) = self.end_with(turn, |heap| if heap.free_live_at(address) { None } else { explain(heap) })
        {
            misused(&misuse);
        }
    }

    /// Reviews a slab in which a slot was freed, and ends the turn.
    #[cold]
    #[inline(never)]
    fn review(&self, slab: Slab) {
        self.end_with(Turn::Taken, |heap| heap.review(slab));
    }

    /// [`Heap::free_sized`] in turn with other threads. The heap's own policy is not asked.
    ///
    /// # Errors
    ///
    /// The [`Misuse`].
    ///
    /// # Safety
    ///
    /// As for [`Heap::free_sized`].
    pub unsafe fn free_sized(&self, payload: *mut u8, layout: Layout) -> Result<(), Misuse> {
        // SAFETY: the caller's promise.
        self.in_turn(|heap| unsafe { heap.free_sized(payload, layout) })
    }

    /// [`Heap::resize`] in turn with other threads. The heap's own policy is not asked.
    ///
    /// # Errors
    ///
    /// [`ResizeError`].
    ///
    /// # Safety
    ///
    /// As for [`Heap::resize`].
    pub unsafe fn resize(&self, payload: *mut u8, new: Layout) -> Result<NonNull<u8>, ResizeError> {
        // SAFETY: the caller's promise.
        self.in_turn(|heap| unsafe { heap.resize(payload, new) })
    }

    /// [`Heap::usable_size`] in turn with other threads.
    ///
    /// # Errors
    ///
    /// The [`Misuse`].
    pub fn usable_size(&self, payload: *const u8) -> Result<usize, Misuse> {
        self.in_turn(|heap| heap.usable_size(payload))
    }

    #[cold]
    #[inline(never)]
    fn dealloc_contended(&self, address: usize, layout: Layout) {
        self.finish_dealloc(self.lock.wait(), address, layout);
    }

    #[inline(never)]
    fn dealloc_slow(&self, address: usize, layout: Layout) {
        self.finish_dealloc(Turn::Taken, address, layout);
    }

    #[inline(always)]
    fn finish_dealloc(&self, turn: Turn, address: usize, layout: Layout) {
        let hears = self.policy != Policy::Ignore;
        let misuse = self.end_with(turn, |heap| match heap.free_fitting(address, layout) {
            Err(unfit) if hears => Some(heap.explain_unfit(address, unfit)),
            _ => None,
        });
        if let Some(misuse) = misuse {
            self.policy.apply("free", &misuse);
        }
    }

    #[inline(never)]
    fn realloc_slow(&self, payload: *mut u8, old: Layout, new: Layout) -> *mut u8 {
        self.finish_realloc(Turn::Taken, payload, old, new)
    }

    #[cold]
    #[inline(never)]
    fn realloc_contended(&self, payload: *mut u8, old: Layout, new: Layout) -> *mut u8 {
        self.finish_realloc(self.lock.wait(), payload, old, new)
    }

    #[inline(always)]
    fn finish_realloc(&self, turn: Turn, payload: *mut u8, old: Layout, new: Layout) -> *mut u8 {
        let hears = self.policy != Policy::Ignore;
        let result = self.end_with(turn, |heap| match heap.resize_fitting(payload.addr(), old, new) {
            Ok(resized) => resized.map_err(|_| None),
            Err(unfit) => Err(hears.then(|| heap.explain_unfit(payload.addr(), unfit))),
        });
        if let Err(Some(misuse)) = &result {
            self.policy.apply("realloc", misuse);
        }
        or_null(result)
    }
}

fn or_null<E>(result: Result<NonNull<u8>, E>) -> *mut u8 {
    result.map_or(core::ptr::null_mut(), NonNull::as_ptr)
}

// SAFETY: blocks are disjoint and as large and as aligned as their layout says; nothing here unwinds.
unsafe impl<L: Lock, B: Brk> GlobalAlloc for Hmalloc<L, B> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        or_null(self.allocate(layout))
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        or_null(self.allocate_zeroed(layout))
    }

    #[inline]
    unsafe fn dealloc(&self, payload: *mut u8, layout: Layout) {
        if !self.lock.try_lock() {
            return self.dealloc_contended(payload.addr(), layout);
        }
        // SAFETY: it is the caller's turn.
        match unsafe { &*self.heap.get() }.common_slot(payload.addr(), layout) {
            Some(slot) if Slabs::push(slot) => self.review(slot.slab),
            Some(_) => end(&self.lock, Turn::Taken),
            None => self.dealloc_slow(payload.addr(), layout),
        }
    }

    #[inline]
    unsafe fn realloc(&self, payload: *mut u8, old: Layout, new_size: usize) -> *mut u8 {
        let Ok(new) = Layout::from_size_align(new_size, old.align()) else { return core::ptr::null_mut() };
        if !self.lock.try_lock() {
            return self.realloc_contended(payload, old, new);
        }
        // SAFETY: it is the caller's turn.
        if !unsafe { &*self.heap.get() }.resize_common(payload, old, new) {
            return self.realloc_slow(payload, old, new);
        }
        // SAFETY: as above.
        if unsafe { self.lock.unlock() } {
            return self.wake_for(payload);
        }
        payload
    }
}
