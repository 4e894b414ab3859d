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

/// The thread that forks, [`STRANGER`], [`NOBODY`] or [`UNREGISTERED`]. Changed while the lock is held; a thread that
/// finds itself here has written that itself.
static FORKING: AtomicUsize = AtomicUsize::new(UNREGISTERED);
/// The heap has never been used, and the fork handlers are not registered. 0, so that it takes no room in a file.
const UNREGISTERED: usize = 0;
/// No thread forks.
const NOBODY: usize = 1;
/// A thread forks that cannot be recognized. Like the others, no address that a thread could be known by.
const STRANGER: usize = 2;

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
    // Only who has a libc has fork handlers, and a thread to ask for.
    let forking = FORKING.load(Relaxed);
    let mine = forking > STRANGER && libc::thread() == Some(forking);
    if mine {
        after_fork();
    }
    mine
}

#[cold]
fn step_back() {
    before_fork();
}

// A libc initializes itself before who needs it, so that its environment is in place. Without one nobody calls this.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = at_start;

/// At the latest now, the fork handlers are registered: a first use of the heap inside another fork handler would come
/// too late, for libc holds a lock of its own then.
extern "C" fn at_start() {
    prepare();
    #[cfg(feature = "preload")]
    crate::environment::read();
}

/// Registers the fork handlers, once. It happens as early as possible, with the first use of the heap: handlers run
/// before a fork in the opposite order, so what others do there is over when the lock is taken.
fn prepare() {
    if FORKING.compare_exchange(UNREGISTERED, NOBODY, Relaxed, Relaxed).is_ok() {
        libc::at_fork(before_fork, after_fork);
    }
}

extern "C" fn before_fork() {
    HEAP.before_fork();
    FORKING.store(libc::thread().unwrap_or(STRANGER), Relaxed);
}

extern "C" fn after_fork() {
    FORKING.store(NOBODY, Relaxed);
    // SAFETY: this thread, or the one it is a copy of, holds the lock since `before_fork`.
    unsafe { HEAP.after_fork() }
}
