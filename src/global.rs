//! `Hmalloc`: the heap as a program's global allocator. Turns (exclusive use, one thread at a time) and the policy,
//! nothing else.
//!
//! | file | what it is for |
//! |---|---|
//! | [`construct`] | making one, and taking it through a fork |
//! | [`request`] | allocate, free, resize, for callers who are told what went wrong: the C library |
//! | [`rust`] | the same for Rust programs: failure is null, and the policy decides about misuse |
//! | [`lend`] | lending the heap out, and looking at it |
//!
//! The shape of the common paths matters: whatever does more is a call in tail position, so that they need no stack frame
//! and save no registers. A function that is called there takes over the caller's turn, and ends it.

mod construct;
mod lend;
mod request;
mod rust;

use crate::ground::header::Slab;
use crate::ground::lock::{Futex, Lock, Turn};
use crate::ground::policy::Policy;
use crate::heap::Heap;
use crate::kernel::brk::{Automatic, Brk};
use core::cell::UnsafeCell;

/// The heap of a program.
///
/// ```no_run
/// #[global_allocator]
/// static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
/// # fn main() {}
/// ```
///
/// Any number of threads may use it, and it needs no thread-local storage. Running out of memory is an answer (null). A
/// pointer or layout that cannot be a live block's is handled as its [`Policy`] says; nothing in the heap changes.
///
/// # Where the memory comes from
///
/// From the [`Automatic`] source: the program break, or where a libc is linked, a break of its own. A program can
/// supply another source to [`with_source`](Self::with_source); [`Stats::source`](crate::Stats::source) says which it
/// is.
///
/// # Fork
///
/// Where a libc is linked, handlers make sure that the child of a `fork` in a program with threads gets a sound heap,
/// even if a signal handler forks that interrupted a call to the heap. Without a libc, such a program calls
/// [`before_fork`](Self::before_fork) and [`after_fork`](Self::after_fork). A child made by the bare system call while
/// another thread was in the heap cannot use it: its first call dies with a line that says so. A large block that
/// another thread was moving when the process forked stays allocated in the child. A shared library with a
/// heap of its own must not be unloaded while another thread forks: glibc does not wait for handlers that are running.
///
/// # Limits
///
/// A signal handler must not use the heap if it may have interrupted a call to it: the process then dies with a line,
/// too, after half a second if other threads live; without a libc, or where thread pointers are not read (they are on
/// x86, x86_64, aarch64, riscv64 and loongarch64), the handler waits as long as other threads live. A thread of low
/// priority that is interrupted inside the heap makes others wait, whatever their priority. A call holds the lock for
/// some tens of nanoseconds, for a few microseconds if it makes a system call, and never while it fills a block, or
/// copies one of more than 56 KiB. Heaps that share one of the 31 locks (from the 31st heap on) must not be used inside each other's
/// [`with`](Self::with).
#[derive(Debug)]
pub struct Hmalloc<L = Futex, B: Brk = Automatic> {
    lock: L,
    policy: Policy,
    heap: UnsafeCell<Heap<B>>,
}

// SAFETY: only the thread that has the turn touches the heap in the cell.
unsafe impl<L: Lock + Sync, B: Brk + Send> Sync for Hmalloc<L, B> {}

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
    /// Begins a turn.
    #[inline(always)]
    fn begin(&self) -> Turn {
        if self.lock.try_lock() { Turn::Taken } else { self.lock.wait() }
    }

    /// Calls `use_heap`, which must be the heap's own code, in a turn.
    #[inline(always)]
    fn in_turn<R>(&self, use_heap: impl FnOnce(&mut Heap<B>) -> R) -> R {
        let turn = self.begin();
        self.end_with(turn, use_heap)
    }

    /// Calls `use_heap` in a turn that the caller has, and ends it.
    #[inline(always)]
    fn end_with<R>(&self, turn: Turn, use_heap: impl FnOnce(&mut Heap<B>) -> R) -> R {
        // SAFETY: it is the caller's turn, and references into the cell never outlive a turn.
        let result = use_heap(unsafe { &mut *self.heap.get() });
        end(&self.lock, turn);
        result
    }

    /// Reviews a slab in which a slot was freed, and ends the turn.
    #[cold]
    #[inline(never)]
    fn review(&self, slab: Slab) {
        self.end_with(Turn::Taken, |heap| heap.review(slab));
    }

    #[cold]
    #[inline(never)]
    fn wake_for<R>(&self, result: R) -> R {
        self.lock.wake();
        result
    }
}

#[cfg(test)]
mod tests;
