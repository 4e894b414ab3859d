//! Lending the heap to the program's own code, and to walks over all of it.

use super::{Hmalloc, end};
use crate::door::block::Block;
use crate::global::lock::{Lock, Turn};
use crate::ground::company::if_checked;
use crate::ground::header::{Kind, MAX_SLOTS};
use crate::heap::Heap;
use crate::kernel::brk::{Brk, Limited};
use crate::look::check::Corruption;
use crate::look::stats::Stats;
use crate::threads::World;
use crate::threads::gather::gather;

/// A turn in which the heap is lent out and no other thread is in the middle of an operation. Ends when it goes out of scope,
/// also if the code to which the heap was lent panics.
struct Lent<'a, L: Lock, B: Brk> {
    owner: &'a Hmalloc<L, B>,
    turn: Turn,
    /// Whether the program's own code has it.
    lent: bool,
}

impl<'a, L: Lock, B: Brk> Lent<'a, L, B> {
    /// Stops all threads. Their tiers keep their slabs.
    fn stopped(owner: &'a Hmalloc<L, B>) -> Self {
        owner.free_put_off();
        Self { turn: owner.stop(), owner, lent: false }
    }

    /// Stops all threads, and gives all slabs to the heap's own tier. `lent` says that the program's own code gets the heap.
    fn new(owner: &'a Hmalloc<L, B>, lent: bool) -> Self {
        let mut result = Self::stopped(owner);
        result.lent = lent;
        result.gathered()
    }

    /// Gives all slabs to the heap's own tier, in a turn in which all threads are stopped.
    fn gathered(self) -> Self {
        let owner = self.owner;
        owner.lock.lend(self.lent);
        if let Some(world) = owner.lock.world() {
            // SAFETY: it is the caller's turn.
            let heap = unsafe { &mut *owner.heap.get() };
            heap.spans.has_readers = false;
            gather(world, &mut heap.tier, &mut heap.spans);
        }
        self
    }

    /// The same, for code that only looks.
    fn inspected(owner: &'a Hmalloc<L, B>) -> Self {
        let mut result = Self::new(owner, true);
        result.lent = false;
        result
    }
}

impl<L: Lock, B: Brk> Lent<'_, L, B> {
    /// Forgets what checked mode knows of all blocks, if the program's own code had the heap: it may have freed and allocated
    /// any, also one that was found damaged.
    fn forget_blocks(&self) {
        if let Some(records) = if_checked(self.owner.mode.state()).filter(|_| self.lent) {
            // SAFETY: it is the caller's turn.
            let heap = unsafe { &*self.owner.heap.get() };
            heap.spans.iter().for_each(|span| match span.as_slab() {
                Some(_) => records.records.forget(span.start(), MAX_SLOTS),
                None if span.is(Kind::Large) => records.records.forget(span.start(), 1),
                None => {}
            });
        }
    }
}

impl<L: Lock, B: Brk> Drop for Lent<'_, L, B> {
    fn drop(&mut self) {
        let lock = &self.owner.lock;
        self.forget_blocks();
        lock.lend(false);
        lock.world().into_iter().for_each(World::restore);
        end(lock, self.turn);
        self.owner.report_twice(None);
    }
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// Lends the heap to `use_heap` while nothing else can use it. `use_heap` must not use this heap in another way: if
    /// it does, for instance by growing a `Vec` or by its first `println!` where this is the global allocator, the
    /// process dies with one line. A panic that unwinds ends the turn.
    ///
    /// All other threads are stopped meanwhile, between two of their calls, and what their tiers hold becomes the heap's.
    pub fn with<R>(&self, use_heap: impl FnOnce(&mut Heap<B>) -> R) -> R {
        let _lent = Lent::new(self, true);
        // SAFETY: it is the caller's turn, and references into the cell never outlive a turn.
        use_heap(unsafe { &mut *self.heap.get() })
    }

    /// The heap, for a caller that is the only one to use it.
    pub(crate) fn heap_mut(&mut self) -> &mut Heap<B> {
        self.heap.get_mut()
    }

    /// Calls `use_heap`, which must be the heap's own code, while no thread is in the middle of an operation.
    pub(super) fn while_stopped<R>(&self, use_heap: impl FnOnce(&mut Heap<B>) -> R) -> R {
        let _lent = Lent::new(self, false);
        // SAFETY: as above.
        use_heap(unsafe { &mut *self.heap.get() })
    }

    /// [`while_stopped`](Self::while_stopped) for a process that is about to die, perhaps in a signal handler: nothing if the lock is
    /// not free, or a thread does not end its operation in some 20 ms.
    #[cold]
    #[allow(dead_code, reason = "only Linux tells of a process's end")]
    pub(super) fn while_stopped_at_once(&self, use_heap: impl FnOnce(&mut Heap<B>)) {
        if let Some(turn) = self.stop_at_once() {
            let _lent = Lent { turn, owner: self, lent: false }.gathered();
            // SAFETY: as above.
            use_heap(unsafe { &mut *self.heap.get() });
        }
    }

    /// Calls `look`, which must be the heap's own code, while no thread is in the middle of an operation, and each tier still has
    /// its slabs.
    pub(super) fn while_apart<R>(&self, look: impl FnOnce(&Heap<B>, Option<&World>) -> R) -> R {
        let _stopped = Lent::stopped(self);
        // SAFETY: as above.
        look(unsafe { &*self.heap.get() }, self.lock.world())
    }

    /// Lends the heap to `look` for reading. As for [`with`](Self::with), `look` must not use the heap in another way;
    /// [`snapshot`](Self::snapshot) copies the heap's blocks, so that they can be used after the turn.
    pub fn inspect<R>(&self, look: impl FnOnce(&Heap<B>) -> R) -> R {
        let _lent = Lent::inspected(self);
        // SAFETY: it is the caller's turn, and references into the cell never outlive a turn.
        look(unsafe { &*self.heap.get() })
    }

    /// Copies the heap's [`blocks`](Heap::blocks) in address order to `into`, as many as there is room for, and returns
    /// how many there are in all. The copies can be printed and collected without holding the heap. Costs some 20 to 40 ns for
    /// each block, and other threads wait as for [`stats`](Self::stats).
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
        self.while_stopped(|heap| {
            let mut count = 0;
            for block in heap.blocks() {
                if let Some(entry) = into.get_mut(count) {
                    *entry = block;
                }
                count += 1;
            }
            count
        })
    }

    /// The heap in numbers.
    ///
    /// Costs a walk over the heap's spans, each of 16 KiB or more: 0.1 to 0.3 ms for 600 MB. Other threads are stopped meanwhile,
    /// between two of their calls: those that allocate or free wait.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.with_handlers(self.while_stopped(|heap| heap.stats()))
    }

    /// Numbers with the blocks that signal handlers got while the heap was interrupted.
    pub(super) fn with_handlers(&self, mut stats: Stats) -> Stats {
        let (blocks, bytes) = self.lock.world().map_or((0, 0), |world| world.handlers.sum());
        stats.live_blocks += blocks + if_checked(self.mode.state()).map_or(0, |checked| checked.nothing.count());
        stats.live_bytes += bytes;
        stats.heap_bytes += bytes;
        stats.peak_heap_bytes = stats.peak_heap_bytes.max(stats.heap_bytes);
        stats
    }

    /// Checks every invariant of the heap.
    ///
    /// Costs a walk over the spans and slots: 0.5 to 2 ms for 600 MB in blocks of some KiB. Other threads wait as for
    /// [`stats`](Self::stats).
    ///
    /// # Errors
    ///
    /// The first [`Corruption`] found.
    pub fn check(&self) -> Result<(), Corruption> {
        self.while_stopped(|heap| heap.check())
    }

    /// Returns free memory to the kernel, except for `keep` bytes below the break, and says how many bytes that was.
    /// See [`Heap::trim`].
    ///
    /// Costs a walk over the spans, 0.5 ms for 600 MB, and the system calls for what is returned: 7 ms for 34 MB between blocks
    /// in use. Other threads wait as for [`stats`](Self::stats).
    pub fn trim(&self, keep: usize) -> usize {
        self.empty_quarantine();
        self.while_stopped(|heap| {
            if let Some(world) = self.lock.world() {
                // SAFETY: no slot is freed and not taken, no page in an inbox, and no thread in the middle of an operation.
                world.directory.chunks.discard(|start, bytes| unsafe { heap.spans.discard_for_threads(start, bytes) });
            }
            heap.trim(keep)
        })
    }
}

impl<L: Lock, B: Brk> Hmalloc<L, Limited<B>> {
    /// Sets another limit on what the heap takes from the kernel: [`Limited`] says what counts. If it has more already, it keeps
    /// that and gets no more.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hmalloc::brk::{Automatic, Limited};
    /// use hmalloc::{Futex, Hmalloc};
    ///
    /// static HEAP: Hmalloc<Futex, Limited<Automatic>> = Hmalloc::with_source(Limited::new(Automatic::new(), 1 << 20));
    /// assert!(HEAP.allocate(Layout::new::<[u8; 2 << 20]>()).is_err());
    /// HEAP.set_limit(4 << 20);
    /// assert!(HEAP.allocate(Layout::new::<[u8; 2 << 20]>()).is_ok());
    /// ```
    pub fn set_limit(&self, bytes: usize) {
        self.while_stopped(|heap| heap.brk().set_limit(bytes));
    }
}
