//! How threads take turns in a heap: what a lock has to do. The one of programs for Linux is [`Futex`](super::futex::Futex).

use crate::threads::{OwnTier, World};

/// How the caller got its turn in a heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Turn {
    /// By taking the lock, which has to be unlocked.
    Taken,
    /// The caller's thread is about to fork and holds every lock already, so there is nothing to unlock. The lock
    /// counts as [lent](Lock::lend) until the turn ends, so that the thread cannot get a second turn inside it.
    Forking,
}

/// A way to make threads take turns in a heap. [`Futex`](crate::Futex) is the one that programs for Linux need; this is for those
/// who have another, such as a kernel's own or one that masks interrupts, for
/// [`Hmalloc::with_lock`](crate::Hmalloc::with_lock):
///
/// ```
/// use core::sync::atomic::{AtomicBool, Ordering};
/// use hmalloc::brk::{Arena, Bytes};
/// use hmalloc::{Hmalloc, Lock, Turn};
///
/// struct Spin(AtomicBool);
///
/// // SAFETY: the flag goes from false to true for one caller at a time, and only the caller that has the turn sets it back.
/// unsafe impl Lock for Spin {
///     fn try_lock(&self) -> bool {
///         self.0.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
///     }
///     fn wait(&self) -> Turn {
///         while !self.try_lock() {
///             core::hint::spin_loop();
///         }
///         Turn::Taken
///     }
///     unsafe fn unlock(&self) -> bool {
///         self.0.store(false, Ordering::Release);
///         false // No thread sleeps.
///     }
///     fn wake(&self) {}
///     fn lend(&self, _: bool) {}
/// }
///
/// static ARENA: Arena<{ 1 << 20 }> = Arena::new();
/// static HEAP: Hmalloc<Spin, Bytes> = Hmalloc::with_lock(Spin(AtomicBool::new(false)), Bytes::new(&ARENA));
/// assert!(HEAP.allocate(core::alloc::Layout::new::<u64>()).is_ok());
/// ```
///
/// Such a heap has no tiers for threads, but by none of its functions does it depend on a kernel. It is not prepared for
/// forks, nor for signal or interrupt handlers that use it while they interrupt a call: the lock decides what happens then.
///
/// # Safety
///
/// After `try_lock` returned true, or `wait` returned [`Turn::Taken`], and until `unlock`, no other caller gets the same value's
/// turn; what a caller wrote in its turn is seen by the next. `wait` returns nothing else. Functions that are not in the
/// documentation are not implemented.
pub unsafe trait Lock {
    /// Takes the lock if it is free.
    fn try_lock(&self) -> bool;
    /// Waits for a turn. If the wait would never end, the process dies with a line that says why.
    fn wait(&self) -> Turn;
    /// The same, for a caller that can do without: `None` after some 20 ms if the caller has interrupted a call to a heap in its
    /// own thread, as a signal handler. Whoever has the turn may be waiting for that call to end.
    fn wait_unless_inside(&self) -> Option<Turn> {
        Some(self.wait())
    }
    /// Ends the turn. True if a thread may be sleeping; then [`wake`](Lock::wake) has to be called.
    ///
    /// # Safety
    ///
    /// The caller has the lock by `try_lock` or [`Turn::Taken`].
    unsafe fn unlock(&self) -> bool;
    /// Wakes one sleeping thread.
    fn wake(&self);
    /// Notes that what the lock protects is lent out to the program's own code, or no longer is.
    fn lend(&self, lent: bool);

    /// Whether there is one thread, so that nothing is locked at all.
    #[doc(hidden)]
    const ALONE: bool = false;

    /// Where in the lock the pointer to the tiers of threads is, for debuggers.
    #[doc(hidden)]
    const WORLD: Option<usize> = None;

    /// Its number among the locks of the program, once it has one.
    #[doc(hidden)]
    fn number(&self) -> Option<usize> {
        None
    }

    /// Whether the heap comes and goes, and moves in between: debuggers are not told of it.
    #[doc(hidden)]
    fn comes_and_goes(&self) -> bool {
        false
    }

    /// The tiers of threads, if there are any.
    #[doc(hidden)]
    #[inline(always)]
    fn world(&self) -> Option<&World> {
        None
    }

    /// The same, if a thread finds its own by its thread pointer.
    #[doc(hidden)]
    #[inline(always)]
    fn world_of_threads(&self) -> Option<&World> {
        None
    }

    /// The same, if calls look for the caller's tier at once: not in checked mode.
    #[doc(hidden)]
    #[inline(always)]
    fn world_at_hand(&self) -> Option<&World> {
        self.world_of_threads()
    }

    /// The only tier that a thread has ever had, if calls look for the caller's tier at once.
    #[doc(hidden)]
    #[inline(always)]
    fn only_at_hand(&self) -> Option<&OwnTier> {
        None
    }

    /// Says whether calls look for the caller's tier at once, or ask first whether the heap is checked. The caller has the turn.
    #[doc(hidden)]
    fn offer(&self, _: bool) {}

    /// Notes that there is one more tier. The caller has the turn.
    #[doc(hidden)]
    fn count_tiers(&self) {}

    /// The calling thread's pointer, or 0 where pointers do not tell threads apart.
    #[doc(hidden)]
    fn thread(&self) -> usize {
        0
    }

    /// Whether the caller is a signal handler that has interrupted its own thread while that has the turn.
    #[doc(hidden)]
    fn is_interrupted(&self) -> bool {
        false
    }

    /// Whether the caller is a signal handler that has interrupted a call of its own thread to any heap.
    #[doc(hidden)]
    fn is_inside(&self) -> bool {
        false
    }

    /// Whether there can be tiers of threads. The caller has the turn.
    #[doc(hidden)]
    fn may_have_world(&self) -> bool {
        false
    }

    /// Whether it has never been taken, where signal handlers and threads are prepared for at its first use.
    #[doc(hidden)]
    fn is_new(&self) -> bool {
        false
    }

    /// Sets the tiers of threads, or that there is no room for any. The caller has the turn.
    #[doc(hidden)]
    fn set_world(&self, _: Option<&'static World>) {}
}
