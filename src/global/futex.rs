//! The lock of programs for Linux: any number of threads, forks, and heaps inside of each other's turns.
//!
//! A lock is an offset into the table of [`SEATS`]. It begins as the offset of the vacant seat, which can never be
//! taken, so that the lock's first use goes to the slow path, where it gets a seat of its own.

use super::lock::{Lock, Turn};
use crate::ground::company::if_threads;
use crate::kernel::seat::{self, Endless, Seat};
use crate::kernel::seats::{self, SEATS};
use crate::kernel::{around, fork, libc};
use crate::look::debugger;
use crate::threads::{OwnTier, World};
use core::mem::offset_of;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize};

/// The futex lock: safe from any number of threads, across `fork`, and from one heap inside another.
#[derive(Debug)]
pub struct Futex {
    /// Bytes from the table's start to this lock's seat.
    seat: AtomicUsize,
    /// Null until a thread has a tier.
    world: AtomicPtr<World>,
    /// The same if threads find theirs by their thread pointers, else null.
    world_of_threads: AtomicPtr<World>,
    /// The same, unless the heap is checked.
    world_at_hand: AtomicPtr<World>,
    /// The only tier there, until there is a second one. From then on it is null: what other threads look at must not lie in a
    /// cache line that the tier's owner writes at each call.
    only_at_hand: AtomicPtr<OwnTier>,
    /// Whether there can be no world.
    is_without: AtomicBool,
    /// Whether the program has promised that thread pointers tell threads apart.
    tells_threads: bool,
    /// Whether it is the lock of a heap that may move, and never has tiers.
    comes_and_goes: bool,
}

// What its words lead to is never seen half changed: who panics inside holds no turn.
impl core::panic::UnwindSafe for Futex {}

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
            world_at_hand: AtomicPtr::new(core::ptr::null_mut()),
            only_at_hand: AtomicPtr::new(core::ptr::null_mut()),
            is_without: AtomicBool::new(false),
            tells_threads: promised,
            comes_and_goes: false,
        }
    }

    /// A lock of a heap that never has tiers for threads: nothing of it stays when it is dropped.
    pub(crate) const fn without_tiers() -> Self {
        let mut lock = Self::new();
        lock.is_without = AtomicBool::new(true);
        lock.comes_and_goes = true;
        lock
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

    /// Waits for a turn, or says why that would never end, or should not be done because of what `inside` says.
    fn wait_or_doubt(&self, inside: &dyn Fn() -> bool) -> Result<Turn, Endless> {
        let seat = self.find_seat();
        if fork::forks_with(seat) {
            // This thread holds the lock, so only this thread can have borrowed the heap.
            if seat.is_lent() {
                return Err(Endless::Lent);
            }
            self.lend(true);
            return Ok(Turn::Forking);
        }
        seat.take_unless(inside).map(|()| Turn::Taken)
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
            // Not while another heap gets a seat: it could get this one, and lose its lock to a release that comes late.
            fork::while_none_forks(|| {
                if let Some(world) = self.world() {
                    world.forget_forks(self.seat());
                }
                if !self.comes_and_goes {
                    self.number().into_iter().for_each(debugger::leave);
                }
                self.seat().part();
            });
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
        self.wait_or_doubt(&|| false).unwrap_or_else(|endless| endless.die())
    }

    #[cold]
    #[inline(never)]
    fn wait_unless_inside(&self) -> Option<Turn> {
        // Without tiers there is nowhere to note what the caller does instead. The last is for a holder that forks in a handler,
        // and waits for a lock that the caller has lent itself.
        let is_vain = || {
            let seat = self.seat();
            seat.is_lost() || around::is_inside() || seat.is_stuck() && SEATS.iter().any(Seat::is_held_by_caller)
        };
        match self.wait_or_doubt(&|| self.world().is_some() && is_vain()) {
            Ok(turn) => Some(turn),
            Err(Endless::Inside) => None,
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

    fn comes_and_goes(&self) -> bool {
        self.comes_and_goes
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

    #[inline(always)]
    fn world_at_hand(&self) -> Option<&World> {
        // SAFETY: as above.
        if_threads(unsafe { self.world_at_hand.load(Acquire).as_ref() })
    }

    #[inline(always)]
    fn only_at_hand(&self) -> Option<&OwnTier> {
        // SAFETY: null, or a tier, and those stay.
        if_threads(unsafe { self.only_at_hand.load(Acquire).as_ref() })
    }

    fn offer(&self, offered: bool) {
        let world = if offered { self.world_of_threads.load(Acquire) } else { core::ptr::null_mut() };
        self.world_at_hand.store(world, Release);
        self.count_tiers();
    }

    fn count_tiers(&self) {
        let only = self.world_at_hand().and_then(World::only_tier);
        self.only_at_hand
            .store(only.map_or(core::ptr::null_mut(), |only| core::ptr::from_ref(only).cast_mut()), Release);
    }

    fn thread(&self) -> usize {
        if self.tells_threads || seat::tells_threads() { seat::thread_pointer() } else { 0 }
    }

    fn is_interrupted(&self) -> bool {
        let seat = self.seat();
        seat.is_interrupted() && !fork::forks_with(seat)
    }

    fn is_inside(&self) -> bool {
        let interrupted = self.world().is_some_and(|world| world.is_interrupted(self.thread()));
        interrupted || (around::is_inside() && !fork::is_forker())
    }

    fn is_new(&self) -> bool {
        // Without thread pointers there are no places for handlers, either.
        let tells_threads = self.tells_threads || libc::is_linked();
        self.seat.load(Relaxed) == 0 && tells_threads && self.may_have_world()
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
