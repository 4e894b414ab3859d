//! `Hmalloc`: the heap as a program's global allocator. Which tier is the caller's, turns (exclusive use of one tier, or of the
//! central part), and the policy; nothing else.
//!
//! | file | what it is for |
//! |---|---|
//! | [`construct`] | making one, and taking it through a fork |
//! | [`environment`] | what a program lets its environment decide |
//! | `elsewhere` | what says so where there is no Linux to make one on |
//! | [`turn`], [`center`] | turns: in the caller's own tier without a lock, in the central part under it |
//! | [`request`], [`free`], [`sized`], [`resize`](mod@resize) | for callers who are told what went wrong: the C library |
//! | [`c`] | the same with nothing inlined but the common path: the C library, and zeroed blocks of Rust programs |
//! | [`others`] | frees in slabs in which several threads free |
//! | [`stopped`] | what is done while all threads are stopped |
//! | [`rust`], [`realloc`] | requests of Rust programs: failure is null, and the policy decides about misuse |
//! | `allocator` | the `Allocator` traits of other crates and of nightly Rust, by cargo features |
//! | [`thread`] | handles: a thread's own part, chosen by hand |
//! | [`handler`] | calls of signal handlers that have interrupted one |
//! | [`policy`] | the policy, which may change |
//! | [`checked`](mod@checked) | all calls in checked mode |
//! | [`lend`] | lending the heap out, and looking at it |
//! | [`hook`] | what the program does before a request fails |
//! | [`look`] | pictures of the heap |
//! | [`profile`] | samples: where the heap's memory was asked for |
//! | [`lock`] | the lock of the central part; [`alone`]: none |
//!
//! The shape of the common paths matters: whatever does more is a call in tail position, so that they need no stack frame
//! and save no registers. A function that is called there takes over the caller's turn, and ends it. It takes what the program
//! passed first, in the program's order, and the heap last ([`turn`] says why), and no more than six words in all.

#[cfg(any(feature = "allocator-api2", feature = "allocator-api2-04", hmalloc_nightly))]
mod allocator;
pub(crate) mod alone;
mod c;
mod center;
mod checked;
mod construct;
#[cfg(not(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux"))))]
mod elsewhere;
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
pub(crate) mod environment;
mod free;
pub(crate) mod futex;
mod handler;
mod hook;
mod large;
mod lend;
pub(crate) mod lock;
mod look;
mod others;
mod policy;
mod profile;
mod realloc;
mod request;
mod resize;
mod rust;
mod sized;
mod stopped;
mod thread;
mod turn;

pub use look::HeapMap;
pub use profile::Sampling;
elsewhere! {
    pub use elsewhere::OnLinux;
}
pub use thread::ThreadHeap;

use crate::central::spans::Spans;
use crate::checked::mode::Mode;
use crate::door::misuse::Misuse;
use crate::global::futex::Futex;
use crate::global::hook::{Hook, NoUnwinding};
use crate::global::lock::{Lock, Turn};
use crate::global::policy::Setting;
use crate::ground::page_map::PageMap;
use crate::heap::Heap;
use crate::kernel::brk::{Automatic, Brk};
use crate::kernel::sys::NoSignals;
use crate::kernel::tasks;
use crate::look::debugger::{self, HeapOffsets, Offsets};
use core::cell::UnsafeCell;
use core::mem::offset_of;

/// The heap of a program.
///
/// ```no_run
/// #[global_allocator]
/// static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
/// # fn main() {}
/// ```
///
/// Any number of threads may use it, and it needs no thread-local storage. Running out of memory is an answer (null). A
/// pointer or layout that cannot be a live block's is handled as its [`Policy`](crate::Policy) says; nothing in the heap changes.
///
/// # Threads
///
/// Where a libc is linked, each thread has a tier of its own, found by its thread pointer: it allocates and frees small
/// blocks without a lock and without an atomic read-modify-write. A block may be freed, resized or measured by any thread;
/// another thread's small block takes one or two atomic operations. Large blocks, and each new slab, take the lock. What a
/// dead thread leaves is for the next one that has its thread pointer, or for any when that leads nowhere. Up to 255
/// threads have tiers; more take turns. Without a libc all threads take turns, unless the program promises that
/// [thread pointers tell them apart](Self::with_thread_pointers), or uses [handles](Self::thread). Without the cargo feature
/// `threads` they always do; without `libc` they do what they do where no libc is linked. Thread pointers are read on x86, x86_64, arm, aarch64, riscv64, loongarch64, powerpc, powerpc64
/// and s390x. On arm that takes a kernel with the code that Linux maps for programs at 0xffff0fe0: one that was built
/// without (`CONFIG_KUSER_HELPERS=n`) ends the program at its first call. On mips and mips64 they are not read, so threads
/// take turns there, unless they use handles.
///
/// Every free is checked exactly, also beside others. Of two threads that free the same block, one is told at its call; of
/// the owner and another thread in the same instant, both calls return, and the misuse is reported before any slot near it
/// is handed out again, with `free` as the name of the call. The stopping of all threads, as for [`check`](Self::check),
/// [`stats`](Self::stats), [`trim`](Self::trim) and at a fork, takes some microseconds (`membarrier`), and the first time in
/// a process that has threads 15 milliseconds.
///
/// # Where the memory comes from
///
/// From the [`Automatic`] source: the program break, or where a libc is linked, a break of its own. A program can
/// supply another source to [`with_source`](Self::with_source); [`Stats::source`](crate::Stats::source) says which it
/// is.
///
/// # Fork
///
/// Where a libc is linked, handlers stop all threads between two of their calls, so that the child of a `fork` in a program
/// with threads gets a sound heap, even if a signal handler forks that interrupted a call to the heap; what other threads
/// held is used by the child's next threads. Without a libc, such a program calls
/// [`before_fork`](Self::before_fork) and [`after_fork`](Self::after_fork). A child made by the bare system call while
/// another thread was in the heap's central part cannot use it: its first call there dies with a line that says so. A large
/// block that another thread was moving when the process forked stays allocated in the child, and so may one that another
/// thread's handler was freeing. A fork in a handler that interrupted the central part takes 0.1 s longer. A shared library with a
/// heap of its own must not be unloaded while another thread forks: glibc does not wait for handlers that are running.
///
/// # Signal handlers
///
/// Where threads have tiers, which is from the heap's first use on, a signal handler may allocate and free, also if it has
/// interrupted a call of its own thread (during the first one signals wait, but not in a process whose system calls are filtered:
/// there it dies with a line): it
/// gets a spare tier; or, if it has interrupted the central part, or waited for that in vain for 20 ms, a mapping, and what it
/// frees that is no other thread's slot is freed when a thread next leaves the central part. A block that it resizes then
/// moves, and where it cannot be found without the lock (a large one beyond the break) the answer is that there is no memory. It
/// must not use the heap if it may have interrupted code inside of
/// [`with`](Self::with): the process then dies with a line. Where threads take turns, it must not use the heap if it may have
/// interrupted a call: the process then dies with a line, after half a second if other threads live; without a libc, or
/// where thread pointers are not read, the handler waits as long as other threads live.
///
/// # Limits
///
/// A thread of low priority that is interrupted inside the central part makes others wait there, whatever their priority. A
/// call holds the lock for some tens of nanoseconds, for a few microseconds if it makes a system call, and never while it
/// fills a block, or copies one of more than 56 KiB. Heaps that share one of the 31 locks (from the 31st heap on) must not be
/// used inside each other's [`with`](Self::with), and only the first of them has tiers for threads.
#[derive(Debug)]
pub struct Hmalloc<L = Futex, B: Brk = Automatic> {
    lock: L,
    policy: Setting,
    mode: Mode,
    hook: Hook,
    /// What is told of a misuse that is found when no caller is there to be told, instead of the policy.
    report: Option<fn(&str, &Misuse)>,
    heap: UnsafeCell<Heap<B>>,
}

// SAFETY: only the thread that has the turn touches the heap in the cell, but for what is atomic.
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
    /// Reports a misuse that was found later than its call: two threads have freed a block at the same instant, or a signal
    /// handler has freed one that could not be looked at then.
    #[cold]
    #[inline(never)]
    fn report_late(&self, misuse: &Misuse) {
        match self.report {
            Some(report) => {
                let guard = NoUnwinding;
                report("free", misuse);
                core::mem::forget(guard);
            }
            None => self.policy().apply("free", misuse),
        }
    }

    /// Begins a turn. `None` if the caller is a signal handler that must not wait for it: its own thread has the turn, or may
    /// keep from going on whoever has it.
    #[inline(always)]
    fn begin(&self) -> Option<Turn> {
        if self.lock.try_lock() { Some(Turn::Taken) } else { self.wait() }
    }

    /// Waits for a turn. The first use of a heap comes here, too: it makes the heap known to debuggers.
    #[cold]
    #[inline(never)]
    fn wait(&self) -> Option<Turn> {
        let turn = self.lock.wait_unless_inside()?;
        if !self.lock.comes_and_goes() {
            debugger::enter(self.lock.number(), core::ptr::from_ref(self).addr(), &Self::OFFSETS);
        }
        Some(turn)
    }

    /// [`begin`](Self::begin) where that waits, for a use of the heap. The first one also makes the tiers of threads.
    ///
    /// A handler that interrupts the first use would find no place to note what it takes. So signals wait until there is one:
    /// but not behind a filter of system calls, which may kill for those that this takes.
    #[cold]
    #[inline(never)]
    fn wait_for_use(&self) -> Option<Turn> {
        let quiet = (self.lock.is_new() && !tasks::is_filtered()).then(NoSignals::new);
        let turn = self.wait()?;
        if quiet.is_some() && self.lock.thread() != 0 {
            // SAFETY: it is the caller's turn, and references into the cell never outlive a turn.
            let _ = self.world(unsafe { &mut *self.heap.get() });
        }
        Some(turn)
    }

    /// Where a debugger finds what it reads of a heap of this type.
    const OFFSETS: Offsets = {
        let spans = offset_of!(Self, heap) + offset_of!(Heap<B>, spans);
        let map = spans + offset_of!(Spans<B>, map);
        let world = match L::WORLD {
            Some(world) => offset_of!(Self, lock) + world,
            None => 0,
        };
        Offsets::new(HeapOffsets {
            lookup: map + offset_of!(PageMap, lookup),
            regions: map + offset_of!(PageMap, regions),
            first: spans + offset_of!(Spans<B>, first),
            world,
        })
    };
}

#[cfg(test)]
mod tests;
