//! A signal handler that interrupts the first use of a heap, before there is a place to note what it takes.

use super::signals::set_handler;
use crate::crowd::scenario;
use hmalloc::{Futex, Hmalloc};
use std::alloc::Layout;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use support::staged::{Act, Staged};

static ACT: Act = Act::new();
static FRESH: Hmalloc<Futex, Staged> = Hmalloc::with_source(Staged::at_mappings(&ACT));
static HANDLED: AtomicUsize = AtomicUsize::new(0);
/// Whether the signal has been sent: inside of the first use.
static SENT: AtomicBool = AtomicBool::new(false);

/// Takes a block and gives it back: small, or large.
fn use_fresh(size: usize) {
    let layout = Layout::from_size_align(size, 16).expect("a layout");
    let block = FRESH.allocate(layout).expect("memory");
    // SAFETY: the block is so long, and not used any more after that.
    unsafe {
        block.write_bytes(1, size);
        FRESH.free(block.as_ptr(), |misuse| panic!("{misuse}"));
    }
}

extern "C" fn handle(_: i32) {
    use_fresh(100);
    use_fresh(100_000);
    HANDLED.fetch_add(1, SeqCst);
}

#[test]
fn a_handler_that_interrupts_a_heaps_first_use() {
    scenario(&a_handler_that_interrupts_a_heaps_first_use, || {
        set_handler(libc::SIGUSR1, handle, false);
        ACT.set(|| {
            SENT.store(true, SeqCst);
            // SAFETY: no preconditions.
            assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
        });
        use_fresh(1000);
        assert!(SENT.load(SeqCst), "the first use makes a mapping");
        assert_eq!(HANDLED.load(SeqCst), 1);
        assert_eq!((FRESH.check(), FRESH.stats().live_blocks), (Ok(()), 0));
    });
}
