//! A kernel that seals the page before a sampled block, and refuses the one behind it and to open the first again.

use hmalloc::brk::{Brk, Refused, Reserved};
use hmalloc::{Hmalloc, Policy, Sampling};
use std::alloc::Layout;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use support::child::scenario;

/// Whether every second seal is refused.
static REFUSES: AtomicBool = AtomicBool::new(false);
static SEALS: AtomicUsize = AtomicUsize::new(0);

/// A break that refuses to [reopen](Brk::reopen) anything.
struct Stubborn(Reserved);

// SAFETY: everything is passed on to a source that keeps the trait's promises, or refused.
unsafe impl Brk for Stubborn {
    fn query(&self) -> Result<usize, Refused> {
        self.0.query()
    }

    unsafe fn move_break(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise, here and below.
        unsafe { self.0.move_break(from, to) }
    }

    fn map(&mut self, bytes: usize) -> Result<usize, Refused> {
        self.0.map(bytes)
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: as above.
        unsafe { self.0.unmap(start, bytes) }
    }

    unsafe fn discard(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: as above.
        unsafe { self.0.discard(start, bytes) }
    }

    unsafe fn seal(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        if REFUSES.load(Relaxed) && SEALS.fetch_add(1, Relaxed) % 2 == 1 {
            return Err(Refused);
        }
        // SAFETY: as above.
        unsafe { self.0.seal(start, bytes) }
    }

    fn page_size(&self) -> usize {
        self.0.page_size()
    }
}

static HEAP: Hmalloc<hmalloc::Futex, Stubborn> =
    Hmalloc::with_source_and_policy(Stubborn(Reserved::new()), Policy::Abort);

/// What stays inaccessible is never handed out.
#[test]
fn what_cannot_be_opened_again_is_not_used() {
    scenario(&what_cannot_be_opened_again_is_not_used, || {
        HEAP.start_profile(Sampling::new().every(1).guarded()).expect("memory");
        let layout = Layout::from_size_align(100, 1).expect("a layout");
        let mut blocks = Vec::new();
        REFUSES.store(true, Relaxed);
        for _ in 0..50 {
            let block = HEAP.allocate(layout).expect("memory").as_ptr();
            // SAFETY: the block is so long.
            unsafe { block.write_bytes(1, layout.size()) };
            blocks.push(block);
        }
        assert!(SEALS.load(Relaxed) > 50);
        REFUSES.store(false, Relaxed);
        // Large blocks take what is free.
        let large = Layout::from_size_align(65_536, 1).expect("a layout");
        for _ in 0..50 {
            let block = HEAP.allocate(large).expect("memory").as_ptr();
            // SAFETY: as above.
            unsafe { block.write_bytes(1, large.size()) };
        }
        // SAFETY: not used any more.
        blocks.into_iter().for_each(|block| unsafe { HEAP.free(block, |misuse| panic!("{misuse}")) });
        assert_eq!(HEAP.check(), Ok(()));
    });
}
