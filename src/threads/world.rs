//! All tiers of a heap that threads own.

use super::handlers::Handlers;
use super::own::{BY_HANDLE, OwnTier};
use super::table::Table;
use crate::ground::shared::{SharedU32, SharedUsize};
use crate::kernel::{seat, tasks};
use crate::tier::directory::{Directory, TIERS_MAX};
use core::mem::offset_of;
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// How many tiers are mapped at a time.
const BATCH: usize = 8;
/// When there was no tier for a thread, so many more turns are taken without one before it is looked for again: a look at 255
/// tiers takes up to 200 microseconds.
const CROWDED: u32 = 4096;
/// How often it is looked whether a stopped thread is at rest, before the wait sleeps,
const SPINS: u32 = 1000;
/// and how often it sleeps for a moment before it gives up for now: some 20 ms in all.
const PATIENCE: usize = 200;

/// Bytes of the mapping that holds the world, the tier that nobody owns and the first ones for threads; and of one that
/// holds more of those.
pub(crate) const WORLD_BYTES: usize = size_of::<World>() + BATCH * size_of::<OwnTier>();
const BATCH_BYTES: usize = BATCH * size_of::<OwnTier>();

/// All tiers of a heap that threads own. All zeros is a world without any.
#[repr(C, align(128))]
pub struct World {
    pub(crate) table: Table,
    // The handlers' arrays are hardly ever touched. Their counters, at the end, lie in one page with the first entries of the directory
    // and of the tiers, and with all that stands between these. So a program with one thread touches five pages here, two of them for
    // its tier.
    pub(crate) handlers: Handlers,
    pub(crate) directory: Directory,
    /// A tier that no thread owns.
    ownerless: AtomicPtr<OwnTier>,
    /// How many tiers there are.
    count: SharedUsize,
    /// Where the next tier is to be made, if there is room for one.
    room: SharedUsize,
    room_end: SharedUsize,
    company: SharedU32,
    /// How many threads still go without a tier before one is looked for again, because there was none.
    crowded: SharedU32,
    /// The process and the task that called `before_fork`.
    pub(crate) forker: [SharedU32; 2],
    /// How many stops are under way: one may be inside of another, as of a fork inside of a check.
    stops: SharedUsize,
    /// When all tiers last rested, in milliseconds, by the source's clock.
    pub(crate) rested: SharedUsize,
    /// When somebody last looked into an owner's inbox in its place, in milliseconds.
    looked: SharedUsize,
    /// The count of span operations when all tiers were last asked for memory.
    pub(crate) asked_all: SharedU32,
    /// How many owned tiers there were after dead owners were last looked for.
    living: SharedUsize,
    /// By number, from 1 on.
    tiers: [AtomicPtr<OwnTier>; TIERS_MAX],
}

/// What the first thread's calls use of the world lies in three pages of 4 KiB: the two of the table, and one behind the handlers' places.
/// Of the tiers behind the world, the first one lies in two more, in one of which is all that is used of the tier that no thread owns.
#[cfg(target_pointer_width = "64")]
const _: () = {
    const fn page(offset: usize) -> usize {
        offset / 4096
    }
    let first = size_of::<World>() + size_of::<OwnTier>();
    assert!(page(size_of::<Table>() - 1) == 1 && offset_of!(World, handlers) == size_of::<Table>());
    let used = page(offset_of!(World, handlers) + Handlers::COUNTER_OFFSET);
    assert!(page(offset_of!(World, directory)) == used && page(offset_of!(World, tiers) + size_of::<usize>()) == used);
    assert!(page(first + size_of::<OwnTier>() - 1) == page(first) + 1);
    assert!(page(size_of::<World>() + offset_of!(OwnTier, lease)) == page(first));
};

/// Where a debugger finds the chunks of freed bits, the table of tiers by number, and how many there are.
pub(crate) const WORLD_OFFSETS: [usize; 3] =
    [offset_of!(World, directory) + offset_of!(Directory, chunks), offset_of!(World, tiers), offset_of!(World, count)];

impl core::fmt::Debug for World {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl World {
    /// Makes a world at the start of a mapping of [`WORLD_BYTES`].
    ///
    /// # Safety
    ///
    /// The mapping is zero, in no other use, and stays.
    pub(crate) unsafe fn make<'a>(mapping: usize) -> &'a Self {
        // SAFETY: the caller's promise; zeros are a world.
        let world = unsafe { &*core::ptr::with_exposed_provenance::<Self>(mapping) };
        let ownerless = mapping + size_of::<Self>();
        world.room.set(ownerless + size_of::<OwnTier>());
        world.room_end.set(mapping + WORLD_BYTES);
        // SAFETY: zeros are a tier.
        let ownerless = unsafe { &*core::ptr::with_exposed_provenance::<OwnTier>(ownerless) };
        ownerless.lease.give(0);
        world.ownerless.store(core::ptr::from_ref(ownerless).cast_mut(), Relaxed);
        world.table.init(ownerless);
        world
    }

    /// All tiers.
    pub(crate) fn tiers(&self) -> impl Iterator<Item = &OwnTier> {
        // SAFETY: tiers stay.
        self.tiers[..self.count.get()].iter().filter_map(|tier| unsafe { tier.load(Acquire).as_ref() })
    }

    /// Tier number `number`.
    pub(crate) fn tier(&self, number: u16) -> Option<&OwnTier> {
        let entry = self.tiers.get(usize::from(number).wrapping_sub(1))?;
        // SAFETY: tiers stay.
        unsafe { entry.load(Acquire).as_ref() }
    }

    /// A tier for the calling thread, which has none, under its thread pointer: one that has no owner, or a new one. `map`
    /// maps zeros. The caller holds the central lock.
    #[cold]
    #[inline(never)]
    pub(crate) fn register<E>(&self, thread: usize, map: impl FnOnce(usize) -> Result<usize, E>) -> Option<&OwnTier> {
        let crowded = self.crowded.get();
        if crowded > 0 && thread != BY_HANDLE {
            self.crowded.set(crowded - 1);
            return None;
        }
        let tier = self.look_for_tier(thread, map);
        self.crowded.set(if tier.is_none() { CROWDED } else { 0 });
        tier
    }

    fn look_for_tier<E>(&self, thread: usize, map: impl FnOnce(usize) -> Result<usize, E>) -> Option<&OwnTier> {
        let vacant = self.tiers().find(|tier| tier.may_be_given_to(thread)).or_else(|| self.abandoned());
        let tier = match vacant {
            Some(tier) => tier,
            None => self.make_tier(map)?,
        };
        let before = if thread == BY_HANDLE { None } else { self.table.find(thread) };
        if thread != BY_HANDLE && !self.table.enter(thread, tier) {
            return None;
        }
        before.into_iter().for_each(OwnTier::leave);
        // Beside a libc the first thread is mostly the process's first one, which is spared the question which it is: it ends
        // last.
        let first = tier.number() == 1 && thread != BY_HANDLE && seat::tells_threads() && !self.has_company();
        tier.set_owner(thread, if first { 0 } else { tasks::thread_id() });
        if tier.number() > 1 {
            self.company.set(1);
        }
        Some(tier)
    }

    /// Whether more than one thread has ever had a tier.
    pub(crate) fn has_company(&self) -> bool {
        self.company.get() != 0
    }

    /// The tier that a thread has, if no second one ever had.
    pub(crate) fn only_tier(&self) -> Option<&OwnTier> {
        if self.has_company() { None } else { self.tier(1) }
    }

    /// Whether somebody may look into an owner's inbox in its place, at this time: stopping the owner costs a barrier.
    pub(crate) fn may_look(&self, now: Option<u64>, every: usize) -> bool {
        let may = now.is_some_and(|now| (now as usize).wrapping_sub(self.looked.get()) >= every);
        if may {
            self.looked.set(now.unwrap_or(0) as usize);
        }
        may
    }

    /// Whether a thread is in the middle of an operation, which a signal handler of it has interrupted.
    pub(crate) fn is_interrupted(&self, thread: usize) -> bool {
        self.interrupted(thread).next().is_some()
    }

    /// The tiers of a thread in which an operation is under way.
    fn interrupted(&self, thread: usize) -> impl Iterator<Item = &OwnTier> {
        let task = self.task_with_handles();
        self.tiers().filter(move |tier| tier.is_of(thread, task) && tier.lease.is_busy())
    }

    /// Takes a tier from its owner, who is stopped, or is the caller, or does not exist in this process.
    pub(crate) fn vacate(&self, tier: &OwnTier) {
        if self.is_in_table(tier) {
            self.remove(tier);
        }
        tier.set_owner(0, 0);
    }

    /// Puts a tier aside whose owner is no more, and was in the middle of an operation.
    pub(crate) fn put_aside(&self, tier: &OwnTier) {
        if self.is_in_table(tier) {
            self.remove(tier);
        }
        tier.put_aside();
    }

    /// Takes a tier out of the table.
    fn remove(&self, tier: &OwnTier) {
        self.table.remove(tier.thread(), self.ownerless.load(Relaxed));
    }

    /// Whether a thread finds the tier by its thread pointer.
    fn is_in_table(&self, tier: &OwnTier) -> bool {
        self.table.find(tier.thread()).is_some_and(|found| core::ptr::eq(found, tier))
    }

    fn make_tier<E>(&self, map: impl FnOnce(usize) -> Result<usize, E>) -> Option<&OwnTier> {
        let count = self.count.get();
        if count == TIERS_MAX {
            return None;
        }
        if self.room.get() == self.room_end.get() {
            let mapping = map(BATCH_BYTES).ok()?;
            self.room.set(mapping);
            self.room_end.set(mapping + BATCH_BYTES);
        }
        let place = core::ptr::with_exposed_provenance_mut::<OwnTier>(self.room.get());
        // SAFETY: the room is zero, and for tiers; they stay, and so does this world.
        let tier = unsafe { OwnTier::make(place, count as u16 + 1, &self.directory) };
        self.room.set(self.room.get() + size_of::<OwnTier>());
        self.tiers[count].store(core::ptr::from_ref(tier).cast_mut(), Release);
        self.count.set(count + 1);
        Some(tier)
    }

    /// Stops all owners, and says whether they have stopped; what belongs to `thread`, the caller, is not waited for. If one
    /// could not be stopped in time, all go on: it may be waiting for the lock that the caller holds, in a signal handler.
    /// Whoever is stopped goes on with [`restore`](Self::restore).
    pub(crate) fn stop(&self, thread: usize, barrier: fn()) -> bool {
        self.stop_until(thread, barrier, |_| false)
    }

    /// The same, and who is `still` counts as stopped, too, but the caller must not use its tier.
    fn stop_until(&self, thread: usize, barrier: fn(), still: fn(&OwnTier) -> bool) -> bool {
        let task = self.task_with_handles();
        let other = |tier: &&OwnTier| !tier.is_unused() && !tier.is_of(thread, task);
        self.stops.set(self.stops.get() + 1);
        self.tiers().for_each(|tier| tier.lease.revoke());
        if self.tiers().filter(other).count() == 0 {
            return true;
        }
        barrier();
        let stopped = self.tiers().filter(other).all(|tier| wait(tier, still));
        if !stopped {
            self.restore();
        }
        stopped
    }

    /// The calling task's thread id, if there are handles, one of which may be its.
    fn task_with_handles(&self) -> u32 {
        if self.tiers().any(|tier| tier.thread() == BY_HANDLE) { tasks::thread_id() } else { 0 }
    }

    /// Stops one owner, as [`stop`](Self::stop) does. It goes on with [`restore`](Self::restore).
    pub(crate) fn stop_one(&self, tier: &OwnTier, barrier: fn()) -> bool {
        self.stops.set(self.stops.get() + 1);
        if tier.is_unused() {
            return true;
        }
        tier.lease.revoke();
        barrier();
        let stopped = wait(tier, |_| false);
        if !stopped {
            self.restore();
        }
        stopped
    }

    /// Ends a stop. Unless there is another one around it, all owners go on.
    #[inline(never)]
    pub(crate) fn restore(&self) {
        let stops = self.stops.get().saturating_sub(1);
        self.stops.set(stops);
        if stops == 0 {
            self.tiers().for_each(OwnTier::restore);
        }
    }
}

/// Waits until the owner of a revoked tier is at rest, or `still`, or dead. False if it is none of that after some time.
fn wait(tier: &OwnTier, still: fn(&OwnTier) -> bool) -> bool {
    if tier.is_put_aside() {
        return true;
    }
    for _ in 0..SPINS {
        if tier.lease.is_at_rest() || still(tier) {
            return true;
        }
        core::hint::spin_loop();
    }
    for _ in 0..PATIENCE {
        tasks::nap();
        if tier.lease.is_at_rest() || still(tier) {
            return true;
        }
    }
    tier.was_killed()
}

mod dead;
mod forks;
#[cfg(test)]
mod tests;
