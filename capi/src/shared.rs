//! The one heap of a process, and who may use it while the process forks.
//!
//! A thread that forks takes the heap's lock first, so that the child gets a heap that nobody was in the middle of
//! changing. Between that and the fork, and after it, other fork handlers of the program may allocate. So the thread
//! that forks is remembered, and steps aside for the time of such a call.

use crate::libc;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;
use hmalloc::brk::Linux;
use hmalloc::{Heap, Hmalloc};

/// Its own policy is not used: see `policy`.
static HEAP: Hmalloc = Hmalloc::new();

/// The thread that forks, [`NOBODY`], or [`UNREGISTERED`]. Changed while the lock is held; a thread that finds itself here
/// has written that itself.
static FORKING: AtomicUsize = AtomicUsize::new(UNREGISTERED);
/// The heap has never been used, and the fork handlers are not registered. 0, so that it takes no room in a file.
const UNREGISTERED: usize = 0;
/// No thread forks. Not the address of anyone's `errno`.
const NOBODY: usize = 1;

/// Lends the heap to `use_heap` while nobody else can use it.
#[inline(always)]
pub(crate) fn with<R>(use_heap: impl FnOnce(&mut Heap<Linux>) -> R) -> R {
    let stepped_aside = FORKING.load(Relaxed) != NOBODY && step_aside();
    let result = HEAP.with(use_heap);
    if stepped_aside {
        step_back();
    }
    result
}

/// Whether the calling thread holds the lock because it forks. It has let go of it then.
#[cold]
fn step_aside() -> bool {
    prepare();
    if FORKING.load(Relaxed) != libc::thread() {
        return false;
    }
    after_fork();
    true
}

#[cold]
fn step_back() {
    before_fork();
}

/// Registers the fork handlers, once. It happens as early as possible, with the first use of the heap: handlers run before
/// a fork in the opposite order, so what others do there is over when the lock is taken.
pub(crate) fn prepare() {
    if FORKING.compare_exchange(UNREGISTERED, NOBODY, Relaxed, Relaxed).is_ok() {
        libc::at_fork(before_fork, after_fork);
    }
}

extern "C" fn before_fork() {
    HEAP.before_fork();
    FORKING.store(libc::thread(), Relaxed);
}

extern "C" fn after_fork() {
    FORKING.store(NOBODY, Relaxed);
    // SAFETY: this thread, or the one it is a copy of, holds the lock since `before_fork`.
    unsafe { HEAP.after_fork() }
}
