//! The lease: the owner's work and a revoker's never overlap, and either sees what the other has done.

use crate::ground::atomic::{AtomicU32, Relaxed, compiler_fence, membarrier};
use crate::ground::lease;
use crate::ground::lease::Lease;
use crate::interrupt;
use crate::run::{explore, promise};
use core::sync::atomic::Ordering::SeqCst;
use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::sync::atomic::AtomicBool;
use loom::thread;
use std::sync::Arc;

/// The owner's thread pointer.
const OWNER: usize = 0x1000;
/// That of the thread that has the tier afterwards.
const NEXT: usize = 0x2000;

/// What the lease is about: memory without atomics, and the lock of the central part.
struct Leased {
    lease: Lease,
    central: Mutex<()>,
    work: UnsafeCell<u32>,
}

// SAFETY: the cell is the checker's, which finds out if two threads use it at once.
unsafe impl Sync for Leased {}
// SAFETY: as above.
unsafe impl Send for Leased {}

impl Leased {
    fn new(interrupts: bool) -> Arc<Self> {
        interrupt::begin(interrupts);
        Arc::new(Self { lease: lease(OWNER), central: Mutex::new(()), work: UnsafeCell::new(0) })
    }

    fn work(&self) {
        interrupt::between_instructions();
        // SAFETY: the checker finds out if it is not the only use.
        self.work.with_mut(|work| unsafe { *work += 1 });
    }

    /// An operation of the owner's: under the lease, or under the lock if it is revoked.
    fn operate(&self) {
        if self.lease.enter(OWNER) {
            self.work();
            self.lease.leave_as(OWNER);
        } else {
            interrupt::waits();
            let _turn = self.central.lock().unwrap();
            interrupt::goes_on();
            self.lease.enter_center();
            self.work();
            self.lease.leave();
        }
    }

    /// Stops the owner. The caller holds the lock.
    fn stop(&self) {
        self.lease.revoke();
        membarrier();
        while !self.lease.is_at_rest() {
            thread::yield_now();
        }
    }

    /// Stops the owner, works, and lets it go on.
    fn stop_and_work(&self) {
        let _turn = self.central.lock().unwrap();
        self.stop();
        self.work();
        self.lease.restore(OWNER);
    }
}

/// The owner operates `operations` times while another thread stops it `stops` times, whose membarrier interrupts the
/// owner, or is a fence that meets those of the owner.
fn owner_and_revoker(operations: u32, stops: u32, interrupts: bool) {
    explore(move || {
        let leased = Leased::new(interrupts);
        let revoker = Arc::clone(&leased);
        let revoker = thread::spawn(move || (0..stops).for_each(|_| revoker.stop_and_work()));
        interrupt::goes_on();
        (0..operations).for_each(|_| leased.operate());
        interrupt::waits();
        revoker.join().unwrap();
        // SAFETY: as in `work`.
        let work = leased.work.with(|work| unsafe { *work });
        promise!(work == operations + stops, "work was lost: {work}");
    });
}

/// The owner is anywhere in its operations.
#[test]
fn revoked_in_the_middle() {
    owner_and_revoker(2, 1, false);
}

/// The same, and the barrier comes anywhere.
#[test]
fn interrupted_in_the_middle() {
    owner_and_revoker(2, 1, true);
}

/// The lease is revoked again right after it was restored.
#[test]
fn revoked_again() {
    owner_and_revoker(1, 2, false);
}

/// The same, and the barriers come anywhere.
#[test]
fn interrupted_again() {
    owner_and_revoker(2, 2, true);
}

/// Two threads revoke it in turns.
#[test]
fn two_revokers() {
    explore(|| {
        let leased = Leased::new(false);
        let revoke = || {
            let leased = Arc::clone(&leased);
            thread::spawn(move || leased.stop_and_work())
        };
        let both = [revoke(), revoke()];
        leased.operate();
        both.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// A signal handler interrupts an operation, and its thread gets another tier. The one that was left is given to a thread
/// that finds it vacant: when the interrupted operation has ended.
#[test]
fn left_in_the_middle() {
    explore(|| {
        let leased = Leased::new(true);
        let next = Arc::clone(&leased);
        assert!(leased.lease.enter(OWNER));
        // The handler, in a turn that is over when the next thread looks.
        leased.lease.revoke();
        let next = thread::spawn(move || {
            let _turn = next.central.lock().unwrap();
            if !next.lease.is_busy() {
                next.work();
                next.lease.give(NEXT);
                next.lease.restore(NEXT);
            }
        });
        leased.work();
        leased.lease.leave();
        next.join().unwrap();
    });
}

/// What the new owner of a tier knows of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Former {
    /// That it is no more: no thread has its thread pointer, or is going to find this tier by it.
    Gone,
    /// That the task which became the owner is dead. Another thread may have its thread pointer.
    Doubtful,
}

/// A tier is given to another thread while a third one stops its owner, whoever that is. The former owner has operated at its
/// lease; a doubtful one may do so again, by what it found in the table before.
pub(crate) fn given_away(former: Former) {
    explore(move || {
        let leased = Leased::new(false);
        // What the kernel knows, and whoever asks it has seen all that the thread did.
        let gone = Arc::new(AtomicBool::new(false));
        let (first, is_gone) = (Arc::clone(&leased), Arc::clone(&gone));
        let first = thread::spawn(move || {
            if first.lease.enter(OWNER) {
                first.work();
                first.lease.leave();
            }
            is_gone.store(true, SeqCst);
        });
        let next = Arc::clone(&leased);
        let next = thread::spawn(move || {
            let turn = next.central.lock().unwrap();
            next.stop();
            let is_given = former == Former::Doubtful || gone.load(SeqCst);
            if is_given {
                next.lease.give(NEXT);
            }
            next.lease.restore(if is_given { NEXT } else { OWNER });
            drop(turn);
            if is_given && next.lease.enter(NEXT) {
                next.work();
                next.lease.leave();
            }
        });
        let turn = leased.central.lock().unwrap();
        leased.stop();
        leased.work();
        drop(turn);
        first.join().unwrap();
        next.join().unwrap();
    });
}

/// To the next one, when the former is gone.
#[test]
fn given_to_the_next() {
    given_away(Former::Gone);
}

/// A signal handler that sees anything of an operation sees that one is under way. To the compiler a handler is like another
/// thread, whose fences are compiler fences, so it is one here; the operation does not end before it has looked.
fn handler_sees(begin: fn(&Lease)) {
    explore(move || {
        interrupt::begin(false);
        let shared = Arc::new((lease(OWNER), AtomicU32::new(0)));
        shared.1.store(0, Relaxed);
        let handler = Arc::clone(&shared);
        let handler = thread::spawn(move || {
            let begun = handler.1.load(Relaxed) != 0;
            compiler_fence(SeqCst);
            promise!(!begun || handler.0.is_busy(), "a handler sees half an operation, and thinks that there is none");
        });
        begin(&shared.0);
        shared.1.store(1, Relaxed);
        handler.join().unwrap();
    });
}

/// Under the lease.
#[test]
fn handler_in_an_operation() {
    handler_sees(|lease| assert!(lease.enter(OWNER)));
}

/// In the central part.
#[test]
fn handler_in_the_central_part() {
    handler_sees(Lease::enter_center);
}
