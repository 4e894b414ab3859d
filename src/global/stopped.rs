//! What is done while other threads are stopped between two of their calls.

use super::Hmalloc;
use crate::global::lock::{Lock, Turn};
use crate::heap::Heap;
use crate::kernel::brk::Brk;
use crate::kernel::{barrier, seat, tasks};
use crate::threads::World;
use crate::work::Work;

/// A heap of fewer bytes makes no system calls of its own accord that a filter might forbid.
const SMALL: usize = 32 << 20;

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
        let turn = self.begin();
        // SAFETY: it is the caller's turn, and references into the cell never outlive a turn.
        let heap = unsafe { &mut *self.heap.get() };
        let thread = self.lock.thread();
        let barrier = barrier_for(heap);
        let world = self.lock.world().filter(|world| !world.is_interrupted(thread) && world.stop(thread, barrier));
        if let Some(world) = world {
            heap.spans.has_readers = false;
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
        let turn = self.begin();
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
    pub(super) fn free_put_off(&self, world: &World) {
        // What is freed here may find its own thread interrupted, or be told of more: one at a time.
        if world.is_interrupted(self.lock.thread()) || !world.handlers.begin() {
            return;
        }
        while let Some(address) = world.handlers.take_put_off() {
            let misuse = self.in_center(None, |work| {
                let freed = work.free_live_at(address);
                if freed { None } else { Some(work.explain(address)) }
            });
            misuse.iter().for_each(|misuse| self.report_late(misuse));
        }
        world.handlers.end();
    }

    /// Begins a turn in the central part in which no thread is in the middle of an operation. The threads go on with
    /// [`restore`](World::restore).
    pub(super) fn stop(&self) -> Turn {
        loop {
            let turn = self.begin();
            let Some(world) = self.lock.world() else { return turn };
            let thread = self.lock.thread();
            if world.is_interrupted(thread) {
                seat::Endless::Interrupted.die();
            }
            if world.stop(thread, barrier::pass_all) {
                return turn;
            }
            super::end(&self.lock, turn);
            tasks::sleep(1);
        }
    }
}
