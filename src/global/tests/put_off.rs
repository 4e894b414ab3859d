//! Frees that signal handlers have put off: played without a signal.

use super::threads::{Shared, shared};
use super::{KIB, layout};
use crate::global::futex::Futex;
use crate::global::lock::{Lock, Turn};
use crate::kernel::brk::Emulated;
use crate::kernel::seat::Endless;
use crate::threads::World;
use crate::threads::handlers::PutOff;
use crate::{Hmalloc, MisuseKind, ResizeError, ThreadHeap};
use core::alloc::Layout;
use std::boxed::Box;
use std::vec::Vec;

type Handle<'a> = ThreadHeap<'a, Futex, Emulated<'static>>;

/// A way to use a block again whose free was put off. Returns what was said of it.
type Again = fn(&Shared, &Handle<'_>, *mut u8, Layout) -> Option<MisuseKind>;

const AGAIN: [Again; 4] = [
    // SAFETY: here and below, nothing uses the block as one any more.
    |_, other, block, _| unsafe { other.free(block) }.err().map(|misuse| misuse.kind),
    // SAFETY: as above.
    |_, other, block, layout| unsafe { other.free_sized(block, layout) }.err().map(|misuse| misuse.kind),
    // SAFETY: as above.
    |_, other, block, layout| match unsafe { other.resize(block, layout) } {
        Err(ResizeError::Misuse(misuse)) => Some(misuse.kind),
        _ => None,
    },
    |heap, _, block, layout| {
        let mut told = Vec::new();
        // SAFETY: as above.
        unsafe { heap.free_reporting(block, || layout.size() > 0, |misuse| told.push(misuse.kind)) };
        told.pop()
    },
];

/// Without that the second free would be the one that counts, and the first one that of whoever gets the block next.
#[test]
fn what_is_used_again_while_its_free_is_put_off_is_free_already() {
    for again in AGAIN {
        for size in [100, 100 * KIB] {
            let heap = shared();
            let (owner, other) = (heap.thread(), heap.thread());
            let block = owner.allocate(layout(size)).expect("memory");
            heap.put_off(PutOff::Free(block.addr().get()));
            assert_eq!(again(heap, &other, block.as_ptr(), layout(size)), Some(MisuseKind::AlreadyFree), "{size}");
            assert!(!heap.lock.world().expect("a world").handlers.has_put_off(), "it was done after that");
            assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 0));
        }
    }
}

/// A lock in a program whose thread pointers say nothing: only handles have tiers.
#[derive(Debug)]
struct Unaware(Futex);

// SAFETY: a `Futex` does the work.
unsafe impl Lock for Unaware {
    fn try_lock(&self) -> bool {
        self.0.try_lock()
    }

    fn wait(&self) -> Turn {
        self.0.wait_unless_inside().unwrap_or_else(|| Endless::Inside.die())
    }

    unsafe fn unlock(&self) -> bool {
        // SAFETY: the caller has the lock.
        unsafe { self.0.unlock() }
    }

    fn wake(&self) {
        self.0.wake();
    }

    fn lend(&self, lent: bool) {
        self.0.lend(lent);
    }

    fn world(&self) -> Option<&World> {
        self.0.world()
    }

    fn may_have_world(&self) -> bool {
        self.0.may_have_world()
    }

    fn set_world(&self, world: Option<&'static World>) {
        self.0.set_world(world);
    }
}

#[test]
fn a_turn_without_a_tier_does_what_was_put_off_too() {
    let mut brk = Emulated::new(Box::leak(Box::new_uninit_slice(4096 * KIB)));
    brk.allow_mappings(2048 * KIB);
    let heap = Hmalloc::with_lock(Unaware(Futex::new()), brk);
    let block = heap.thread().allocate(layout(100 * KIB)).expect("memory");
    heap.put_off(PutOff::Free(block.addr().get()));
    let other = heap.allocate(layout(100)).expect("memory");
    assert!(!heap.lock.world().expect("a world").handlers.has_put_off());
    assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 1));
    // SAFETY: it is not used any more.
    unsafe { heap.free(other.as_ptr(), |misuse| panic!("{misuse}")) };
}
