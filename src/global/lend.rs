//! Lending the heap out: to the program's own code, and to what looks at all of it.

use super::{Hmalloc, end};
use crate::door::block::Block;
use crate::ground::lock::{Lock, Turn};
use crate::heap::Heap;
use crate::kernel::brk::Brk;
use crate::look::check::Corruption;
use crate::look::stats::Stats;

/// Ends a turn when it goes out of scope, also when the code that borrowed the heap panics.
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

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// Lends the heap to `use_heap` while nothing else can use it. `use_heap` must not use this heap in another way: if
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
                if let Some(entry) = into.get_mut(count) {
                    *entry = block;
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
}
