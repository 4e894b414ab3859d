//! What is done while other threads are stopped between two of their calls.

use super::Hmalloc;
use crate::door::misuse::Misuse;
use crate::global::lock::{Lock, Turn};
use crate::heap::Heap;
use crate::kernel::brk::Brk;
use crate::kernel::{barrier, seat, tasks};
use crate::threads::gather::gather;
use crate::threads::handlers::PutOff;
use crate::work::Work;

/// A heap of fewer bytes makes no system calls of its own accord that a filter might forbid.
const SMALL: usize = 32 << 20;

/// How often a process that is about to die tries to get the lock.
#[allow(dead_code, reason = "only Linux tells of a process's end")]
const TRIES: usize = 1000;

/// The barrier for what a heap does of its own accord: a sandbox may have forbidden small programs what others need.
fn barrier_for<B: Brk>(heap: &Heap<B>) -> fn() {
    if heap.spans.heap_bytes() < SMALL { barrier::pass_all_quietly } else { barrier::pass_all }
}

/// How many milliseconds pass between two looks into other owners' inboxes: in small heaps each takes two.
fn look_every<B: Brk>(heap: &Heap<B>) -> usize {
    if heap.spans.heap_bytes() < SMALL { 1000 } else { 1 }
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// Has all threads' tiers give back what they do not use, and returns to the kernel what was kept for readers' sake,
    /// while they are stopped.
    #[cold]
    #[inline(never)]
    pub(super) fn rest(&self) {
        let Some(turn) = self.begin() else { return };
        // SAFETY: it is the caller's turn, and references into the cell never outlive a turn.
        let heap = unsafe { &mut *self.heap.get() };
        let thread = self.lock.thread();
        let barrier = barrier_for(heap);
        let world = self.lock.world().filter(|world| !world.is_interrupted(thread) && world.stop(thread, barrier));
        if let Some(world) = world {
            heap.spans.has_readers = false;
            if world.tiers().any(|own| own.lease.is_busy() && own.was_killed()) {
                // What it held, and what it had not told others, is found now.
                gather(world, &mut heap.tier, &mut heap.spans);
            }
            for own in world.tiers().filter(|own| !own.lease.is_busy()) {
                // SAFETY: its owner is stopped.
                let tier = unsafe { &mut *own.tier() };
                tier.give_up_unused(&mut heap.spans);
            }
            heap.work().return_rest();
            world.restore();
        }
        super::end(&self.lock, turn);
    }

    /// Takes what others have freed of a tier whose owner does not look for it, in its place.
    #[cold]
    #[inline(never)]
    pub(super) fn look_for(&self, number: u16) {
        if self.lock.is_interrupted() {
            return;
        }
        let Some(turn) = self.begin() else { return };
        // SAFETY: it is the caller's turn, and references into the cell never outlive a turn.
        let heap = unsafe { &mut *self.heap.get() };
        let world = self.lock.world().filter(|world| world.may_look(heap.spans.brk.now(), look_every(heap)));
        let owner = world.and_then(|world| world.tier(number)).filter(|owner| owner.thread() != self.lock.thread());
        if let Some((world, owner)) = world.zip(owner) {
            let stopped = world.stop_one(owner, barrier_for(heap));
            if stopped && owner.lease.is_at_rest() {
                heap.spans.has_readers = true;
                // SAFETY: its owner is stopped.
                let tier = unsafe { &mut *owner.tier() };
                let mut work = Work {
                    tier,
                    common: Some(&mut heap.tier),
                    spans: &mut heap.spans,
                    slack_kept: &mut heap.slack_kept,
                    world: Some(world),
                    wants_rest: false,
                    unnamed: None,
                };
                work.tier.drain(&work.spans.map.lookup);
                work.retire_queued();
            }
            if stopped {
                world.restore();
            }
        }
        super::end(&self.lock, turn);
    }

    /// Frees the blocks whose free was put off by signal handlers.
    #[cold]
    #[inline(never)]
    pub(super) fn free_put_off(&self) {
        let Some(world) = self.lock.world().filter(|world| world.handlers.has_put_off()) else { return };
        // What is freed here may find its own thread interrupted, or be told of more: one at a time.
        if world.is_interrupted(self.lock.thread()) || !world.handlers.begin() {
            return;
        }
        for task in world.handlers.take_put_off() {
            match self.in_center(None, |work| do_put_off(work, task)) {
                Some(misuse) => misuse.iter().for_each(|misuse| self.report_late(misuse)),
                // The caller is a handler that has interrupted another heap.
                None => {
                    self.put_off(task);
                    break;
                }
            }
        }
        world.handlers.end();
    }

    /// Begins a turn in the central part in which no thread is in the middle of an operation. The threads go on with
    /// [`restore`](World::restore).
    pub(super) fn stop(&self) -> Turn {
        loop {
            let thread = self.lock.thread();
            if self.lock.world().is_some_and(|world| world.is_interrupted(thread)) {
                // Before the lock is waited for: its holder may wait for what is interrupted.
                seat::Endless::Interrupted.die();
            }
            let turn = self.begin().unwrap_or_else(|| seat::Endless::Inside.die());
            let Some(world) = self.lock.world() else { return turn };
            if world.stop(thread, barrier::pass_all) {
                return turn;
            }
            if turn == Turn::Forking && world.has_parked() {
                // It goes on after this fork.
                seat::Endless::Inside.die();
            }
            super::end(&self.lock, turn);
            tasks::sleep(1);
        }
    }
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// The same, if that needs no wait but for the end of other threads' operations: not in a handler that has interrupted one of
    /// its own thread, and not while another thread has the lock.
    #[cold]
    #[allow(dead_code, reason = "only Linux tells of a process's end")]
    pub(super) fn stop_at_once(&self) -> Option<Turn> {
        let thread = self.lock.thread();
        if self.lock.world().is_some_and(|world| world.is_interrupted(thread)) {
            return None;
        }
        // Others mostly have it for less than a microsecond.
        let try_lock = |_| {
            core::hint::spin_loop();
            self.lock.try_lock()
        };
        if !(0..TRIES).any(try_lock) {
            return None;
        }
        if self.lock.world().is_none_or(|world| world.stop(thread, barrier::pass_all)) {
            return Some(Turn::Taken);
        }
        super::end(&self.lock, Turn::Taken);
        None
    }
}

/// Does what a handler has put off. Returns the misuse, if it was one.
fn do_put_off<B: Brk>(work: &mut Work<'_, B>, task: PutOff) -> Option<Misuse> {
    match task {
        PutOff::Free(address) if work.free_live_at(address) => None,
        PutOff::Free(address) => Some(work.explain(address)),
        PutOff::EndMove(address) => {
            let moved = work.spans.map.find(address);
            moved.into_iter().for_each(|span| work.finish_resize(span));
            None
        }
    }
}
