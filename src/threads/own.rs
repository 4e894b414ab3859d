//! A thread's tier.

use crate::ground::lease::Lease;
use crate::kernel::libc;
use crate::tier::Tier;
use crate::tier::directory::Directory;
use crate::tier::others::Others;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU32, AtomicUsize};

/// A tier that a thread can own. It stays where it is; a thread that dies leaves it to the next.
#[repr(C, align(128))]
pub struct OwnTier {
    /// First, so that an allocation finds a class by one addition.
    tier: UnsafeCell<Tier>,
    pub(crate) lease: Lease,
    number: u16,
    /// The thread pointer of the owner, 0 if there is none, or [`BY_HANDLE`].
    thread: AtomicUsize,
    /// The owner's thread id when it became that: whether it lives is a hint that another may be the owner.
    task: AtomicU32,
    /// 1 if the owner has another tier since.
    left: AtomicU32,
    /// How many handlers of the owner's, one inside of the other, have interrupted an operation in this tier and wait for a
    /// fork: so it does not go on now.
    parked: AtomicU32,
    pub(crate) others: Others,
}

impl core::fmt::Debug for OwnTier {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("OwnTier").field("number", &self.number).finish_non_exhaustive()
    }
}

/// Where a debugger finds the owner's `thread` and `task`.
pub(crate) const TIER_OFFSETS: [usize; 2] = [offset_of!(OwnTier, thread), offset_of!(OwnTier, task)];

/// In place of a thread pointer: a handle owns the tier.
pub(crate) const BY_HANDLE: usize = 2;
/// In place of a thread pointer: the owner is no more, and was in the middle of an operation.
const GONE: usize = 6;

impl OwnTier {
    /// Makes tier number `number` in memory that is zero, and leaves it without an owner.
    ///
    /// # Safety
    ///
    /// The place is that of an `OwnTier`, in no use, and stays, as does the directory.
    pub(crate) unsafe fn make(place: *mut Self, number: u16, directory: &Directory) -> &Self {
        // SAFETY: the caller's promise. Zeros are a tier without slabs and without an owner; nothing is moved, for a stack may
        // have no room for it.
        unsafe {
            (&raw mut (*place).number).write(number);
            (*place).lease.give(0);
            (*place).others.init(&raw const directory.chunks);
            let tier = (*place).tier.get();
            (*tier).number = number;
            let others = &raw const (*place).others;
            (*tier).others = Some(&*others);
            (*tier).directory = Some(&*core::ptr::from_ref(directory));
            directory.enter(number, &(*place).others);
            &*place
        }
    }

    /// Makes the tier one that has no slabs.
    ///
    /// # Safety
    ///
    /// The tier is at rest, and the slabs that it had are another's.
    pub(crate) unsafe fn clear(&self) {
        // SAFETY: the caller's promise.
        unsafe { (*self.tier.get()).forget_slabs() }
    }

    /// The tier. It may be used by the owner while its lease is [entered](Lease::enter), and by whoever has stopped the owner.
    #[inline(always)]
    pub(crate) fn tier(&self) -> *mut Tier {
        self.tier.get()
    }

    /// Its number, from 1 on.
    #[inline(always)]
    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// The owner's thread pointer, 0 if there is no owner.
    pub(crate) fn thread(&self) -> usize {
        self.thread.load(Relaxed)
    }

    /// The owner's thread id when it became that, or 0 for the process's first thread, which was not asked for its own.
    #[inline(always)]
    pub(crate) fn task(&self) -> u32 {
        self.task.load(Relaxed)
    }

    /// Whether the task that became the owner no longer lives, as far as can be known.
    pub(crate) fn is_abandoned(&self) -> bool {
        let task = self.task.load(Relaxed);
        task != 0 && crate::kernel::tasks::is_gone(task)
    }

    /// Whether no thread is the owner, or can become it by having the owner's thread pointer, as far as can be known. For a tier
    /// that no thread finds any more this is the last word, see `world/dead.rs`.
    pub(crate) fn is_owner_gone(&self) -> bool {
        self.is_abandoned() && (self.thread() == BY_HANDLE || libc::is_unused_pointer(self.thread()))
    }

    /// Whether the owner finds the tier by its thread pointer.
    pub(crate) fn is_found_by_pointer(&self) -> bool {
        self.thread() > GONE && self.left.load(Relaxed) == 0
    }

    /// Whether the owner is known to have been killed, if it is in the middle of an operation.
    ///
    /// That the task which became the owner is gone is no proof: libcs give a new thread the pointer of one that has ended,
    /// and then it goes on with that one's tier. But there no thread is killed alone. A handle stays with its task.
    pub(crate) fn was_killed(&self) -> bool {
        self.is_put_aside()
            || (self.thread() == BY_HANDLE || !crate::kernel::seat::tells_threads()) && self.is_abandoned()
    }

    /// Puts the tier aside, which nobody finds any more: its owner is no more, and was in the middle of an operation.
    pub(crate) fn put_aside(&self) {
        self.task.store(0, Relaxed);
        self.thread.store(GONE, Relaxed);
        self.parked.store(0, Relaxed);
    }

    /// Whether it was [put aside](Self::put_aside).
    pub(crate) fn is_put_aside(&self) -> bool {
        self.thread() == GONE
    }

    /// Notes that the interrupted operation of the owner, who is the caller, does not go on before it says so. The caller has
    /// no other way to go on than to take the lock, and says so while it holds that.
    pub(crate) fn park(&self, parked: bool) {
        // Only the owner writes, and its handlers leave what they have found.
        let count = self.parked.load(Relaxed);
        self.parked.store(if parked { count + 1 } else { count.saturating_sub(1) }, Release);
    }

    /// Whether the owner's operation does not go on as long as the caller has the lock.
    pub(crate) fn is_parked(&self) -> bool {
        self.parked.load(Acquire) != 0
    }

    /// Makes the calling task the owner, under a thread pointer; or with 0, leaves the tier without one. `task` is its thread
    /// id, or 0 if that is not known.
    pub(crate) fn set_owner(&self, thread: usize, task: u32) {
        self.task.store(task, Relaxed);
        self.thread.store(thread, Relaxed);
        self.left.store(0, Relaxed);
        self.lease.give(thread);
        self.lease.restore(thread);
    }

    /// Whether a handle owns it.
    pub(crate) fn is_of_handle(&self) -> bool {
        self.thread() == BY_HANDLE
    }

    /// Whether it is that of a thread pointer, or of a handle of a task.
    pub(crate) fn is_of(&self, thread: usize, task: u32) -> bool {
        self.thread() == thread || (task != 0 && self.is_handle_of(task))
    }

    /// Whether a handle of the task owns it.
    pub(crate) fn is_handle_of(&self, task: u32) -> bool {
        self.thread() == BY_HANDLE && self.task.load(Relaxed) == task
    }

    /// Renews the thread id of the owner, which is the calling task, in the child of a fork.
    pub(crate) fn renew_task(&self) {
        self.task.store(crate::kernel::tasks::thread_id(), Relaxed);
    }

    /// Notes that the owner has another tier from now on, because an operation in this one was interrupted, by a signal
    /// handler or by death.
    pub(crate) fn leave(&self) {
        self.left.store(1, Relaxed);
        self.lease.revoke();
    }

    /// Whether no thread uses it now: it has no owner, or was left and the interrupted operation has ended.
    pub(crate) fn is_unused(&self) -> bool {
        self.thread() == 0 || (self.left.load(Relaxed) != 0 && !self.lease.is_busy())
    }

    /// Whether it may be given to a thread: it has no owner, or that thread has left it and the interrupted operation has
    /// ended. Not to another one: what was interrupted may have been about to begin, and does so now.
    pub(crate) fn may_be_given_to(&self, thread: usize) -> bool {
        self.is_unused() && (self.thread() == 0 || (self.thread() == thread && thread != BY_HANDLE))
    }

    /// Lets the owner go on, if there is one and the tier is not left.
    pub(crate) fn restore(&self) {
        if self.left.load(Relaxed) == 0 {
            self.lease.restore(self.thread());
        }
    }
}
