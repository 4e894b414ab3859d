//! A membarrier as the kernel does it: it interrupts the owner anywhere between two of its instructions, and has it pass a
//! full fence there. The owner's own compiler fence is then nothing at all.
//!
//! The threads of a model run on one thread of the system, in turns, so what is here is that model's alone. It is no part
//! of what the checker explores; only the fences are.

use crate::run::full_fence as fence;
use loom::thread::{self, ThreadId};
use std::cell::Cell;

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static OWNER: Cell<Option<ThreadId>> = const { Cell::new(None) };
    static ASKED: Cell<bool> = const { Cell::new(false) };
}

/// Begins an interleaving of a model in which a membarrier interrupts the owner, or in which it does not.
pub(crate) fn begin(on: bool) {
    ON.set(on);
    OWNER.set(None);
    ASKED.set(false);
}

/// Whether a membarrier interrupts the owner.
pub(crate) fn is_on() -> bool {
    ON.get()
}

/// The owner's thread is about to wait, or to end: it passes a fence, and need not be interrupted until it
/// [goes on](goes_on).
pub(crate) fn waits() {
    if ON.get() {
        fence();
        ASKED.set(false);
        OWNER.set(None);
    }
}

/// The owner's thread, which is the caller's, goes on or begins.
pub(crate) fn goes_on() {
    if ON.get() {
        OWNER.set(Some(thread::current().id()));
        fence();
    }
}

/// Between two instructions of any thread: the owner passes a fence if it was asked to.
pub(crate) fn between_instructions() {
    if ASKED.get() && OWNER.get() == Some(thread::current().id()) {
        fence();
        ASKED.set(false);
    }
}

/// Returns when the owner has passed a fence since the call began.
pub(crate) fn membarrier() {
    fence();
    ASKED.set(OWNER.get().is_some());
    while ASKED.get() {
        thread::yield_now();
    }
    fence();
}
