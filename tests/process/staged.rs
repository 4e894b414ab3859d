//! A source of memory that lets a scenario act at one exact moment: while a thread is inside the heap, growing it.

use hmalloc::brk::{Brk, OwnBreak, Refused};
use hmalloc::{Futex, Hmalloc};
use std::alloc::Layout;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

pub(crate) static STAGED: Hmalloc<Futex, Staged> = Hmalloc::with_source(Staged(OwnBreak::new()));

/// What happens once, the next time the break moves: 0 or the address of a `fn()`.
static ACT: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug)]
pub(crate) struct Staged(OwnBreak);

/// Has `act` called inside the heap, when it grows the next time.
pub(crate) fn when_it_grows(act: fn()) {
    ACT.store(act as usize, SeqCst);
}

/// Takes a block that is larger than whatever is free, so that the heap grows.
pub(crate) fn grow() {
    let layout = Layout::from_size_align(64 << 20, 16).expect("a layout");
    STAGED.allocate(layout).expect("memory");
    assert_eq!(ACT.load(SeqCst), 0, "it grew");
}

// SAFETY: an `OwnBreak` does the work.
unsafe impl Brk for Staged {
    fn query(&self) -> Result<usize, Refused> {
        self.0.query()
    }

    unsafe fn move_break(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        let act = ACT.swap(0, SeqCst);
        if act != 0 {
            // SAFETY: stored by `when_it_grows`.
            let act: fn() = unsafe { std::mem::transmute::<usize, fn()>(act) };
            act();
        }
        // SAFETY: the caller's promise.
        unsafe { self.0.move_break(from, to) }
    }

    /// Refused, so that there is no memory for threads' tiers, and all threads take turns.
    fn map(&mut self, _: usize) -> Result<usize, Refused> {
        Err(Refused)
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { self.0.unmap(start, bytes) }
    }

    unsafe fn discard(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { self.0.discard(start, bytes) }
    }

    fn page_size(&self) -> usize {
        self.0.page_size()
    }
}
