//! How threads take turns in a heap.
//!
//! A lock is an offset into the table of [`SEATS`]. It begins as the offset of the vacant seat, which can never be
//! taken, so that the lock's first use goes to the slow path, where it gets a seat of its own.

use crate::ground::company::if_threads;
use crate::kernel::fork;
use crate::kernel::seat::{self, Endless, Seat};
use crate::kernel::seats::{self, SEATS};
use crate::look::debugger;
use crate::threads::World;
use core::mem::offset_of;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize};

/// How the caller got its turn in a heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// By taking the lock, which has to be unlocked.
    Taken,
    /// The caller's thread is about to fork and holds every lock already, so there is nothing to unlock. The lock
    /// counts as [lent](Lock::lend) until the turn ends, so that the thread cannot get a second turn inside it.
    Forking,
}

/// A way to make threads take turns in a heap.
///
/// # Safety
///
/// After `try_lock` returned true, or `wait` returned, and until `unlock`, no other caller gets the same value's turn.
pub unsafe trait Lock {
    /// Takes the lock if it is free.
    fn try_lock(&self) -> bool;
    /// Waits for a turn. If the wait would never end, the process dies with a line that says why.
    fn wait(&self) -> Turn;
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

    /// Whether there can be tiers of threads. The caller has the turn.
    #[doc(hidden)]
    fn may_have_world(&self) -> bool {
        false
    }

    /// Sets the tiers of threads, or that there is no room for any. The caller has the turn.
    #[doc(hidden)]
    fn set_world(&self, _: Option<&'static World>) {}
}

/// The futex lock: safe from any number of threads, across `fork`, and from one heap inside another.
#[derive(Debug)]
pub struct Futex {
    /// Bytes from the table's start to this lock's seat.
    seat: AtomicUsize,
    /// Null until a thread has a tier.
    world: AtomicPtr<World>,
    /// The same if threads find theirs by their thread pointers, else null.
    world_of_threads: AtomicPtr<World>,
    /// Whether there can be no world.
    is_without: AtomicBool,
    /// Whether the program has promised that thread pointers tell threads apart.
    tells_threads: bool,
}

impl Futex {
    pub(crate) const fn new() -> Self {
        Self::with_thread_pointers(false)
    }

    /// A lock for a program that promises, if `promised`, that each thread has a thread pointer of its own.
    pub(crate) const fn with_thread_pointers(promised: bool) -> Self {
        Self {
            seat: AtomicUsize::new(0),
            world: AtomicPtr::new(core::ptr::null_mut()),
            world_of_threads: AtomicPtr::new(core::ptr::null_mut()),
            is_without: AtomicBool::new(false),
            tells_threads: promised,
        }
    }

    #[inline(always)]
    fn seat(&self) -> &'static Seat {
        let offset = self.seat.load(Relaxed);
        // SAFETY: an offset is 0 or what `find_seat` has written: a seat of the table.
        unsafe { &*SEATS.as_ptr().byte_add(offset) }
    }

    /// This lock's own seat, which is claimed now if it has none yet.
    #[cold]
    fn find_seat(&self) -> &'static Seat {
        fork::prepare();
        if self.seat.load(Acquire) == 0 {
            fork::while_none_forks(|| self.claim_seat());
        }
        self.seat()
    }

    fn claim_seat(&self) {
        if self.seat.load(Relaxed) == 0 {
            let offset = core::ptr::from_ref(seats::claim()).addr() - SEATS.as_ptr().addr();
            self.seat.store(offset, Release);
        }
    }

    /// Takes the lock before a fork, unless the caller holds it already.
    pub(crate) fn take_for_fork(&self) {
        if !self.try_lock() {
            fork::take_for_fork(self.find_seat());
        }
    }

    /// Unlocks after a fork.
    ///
    /// # Safety
    ///
    /// The caller, or the thread of which it is a copy, has called [`take_for_fork`](Self::take_for_fork), and has not
    /// unlocked since.
    pub(crate) unsafe fn leave_after_fork(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.seat().leave_and_wake() };
    }
}

impl Drop for Futex {
    fn drop(&mut self) {
        if self.seat.load(Relaxed) != 0 {
            if let Some(world) = self.world() {
                fork::while_none_forks(|| world.forget_forks(self.seat()));
            }
            self.number().into_iter().for_each(debugger::leave);
            self.seat().part();
        }
    }
}

// SAFETY: `try_lock` and `wait` return only after they have taken the seat, which has one holder; or, in a thread that
// forks, while that thread holds all seats.
unsafe impl Lock for Futex {
    #[inline(always)]
    fn try_lock(&self) -> bool {
        self.seat().try_take()
    }

    #[cold]
    #[inline(never)]
    fn wait(&self) -> Turn {
        let seat = self.find_seat();
        if fork::forks_with(seat) {
            // This thread holds the lock, so only this thread can have borrowed the heap.
            if seat.is_lent() {
                Endless::Lent.die()
            }
            self.lend(true);
            return Turn::Forking;
        }
        match seat.take() {
            Ok(()) => Turn::Taken,
            Err(endless) => endless.die(),
        }
    }

    #[inline(always)]
    unsafe fn unlock(&self) -> bool {
        // SAFETY: the caller has the lock.
        unsafe { self.seat().leave() }
    }

    #[cold]
    #[inline(never)]
    fn wake(&self) {
        self.seat().wake();
    }

    fn lend(&self, lent: bool) {
        self.seat().set_lender(if lent { crate::kernel::tasks::thread_id() } else { 0 });
    }

    const WORLD: Option<usize> = Some(offset_of!(Self, world));

    fn number(&self) -> Option<usize> {
        seats::number(self.seat())
    }

    #[inline(always)]
    fn world(&self) -> Option<&World> {
        // SAFETY: null, or a world that stays.
        if_threads(unsafe { self.world.load(Acquire).as_ref() })
    }

    #[inline(always)]
    fn world_of_threads(&self) -> Option<&World> {
        // SAFETY: as above.
        if_threads(unsafe { self.world_of_threads.load(Acquire).as_ref() })
    }

    fn thread(&self) -> usize {
        if self.tells_threads || seat::tells_threads() { seat::thread_pointer() } else { 0 }
    }

    fn is_interrupted(&self) -> bool {
        let seat = self.seat();
        seat.is_interrupted() && !fork::forks_with(seat)
    }

    fn may_have_world(&self) -> bool {
        cfg!(feature = "threads") && !self.is_without.load(Relaxed)
    }

    fn set_world(&self, world: Option<&'static World>) {
        match world.filter(|world| world.watch_forks(self.seat())) {
            Some(world) => {
                let world = core::ptr::from_ref(world).cast_mut();
                self.world.store(world, Release);
                if self.thread() != 0 {
                    self.world_of_threads.store(world, Release);
                }
            }
            None => self.is_without.store(true, Relaxed),
        }
    }
}

/// No lock at all, for programs with one thread.
#[derive(Debug)]
pub struct SingleThreaded(());

impl SingleThreaded {
    /// # Safety
    ///
    /// Only one thread ever uses what this protects, and never from a signal handler that interrupts a use.
    pub(crate) const unsafe fn new() -> Self {
        Self(())
    }
}

// SAFETY: the promise of `new` is that there is only one caller.
unsafe impl Lock for SingleThreaded {
    #[inline(always)]
    fn try_lock(&self) -> bool {
        true
    }

    fn wait(&self) -> Turn {
        Turn::Taken
    }

    #[inline(always)]
    unsafe fn unlock(&self) -> bool {
        false
    }

    fn wake(&self) {}

    fn lend(&self, _: bool) {}

    const ALONE: bool = true;
}
