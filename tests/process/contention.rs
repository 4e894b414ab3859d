//! Many threads at one lock, more than there are processors: most of them sleep.

use crate::processes::forks;
use hmalloc::Hmalloc;
use std::alloc::Layout;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use support::child::scenario;

static HEAP: Hmalloc = Hmalloc::new();
const THREADS: usize = 8;

/// Every thread comes to its end, and no free is called a misuse.
#[test]
fn nobody_sleeps_for_ever() {
    scenario(&nobody_sleeps_for_ever, || {
        let rounds = forks(1000) * 300;
        let layout = Layout::new::<[u64; 4]>();
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..rounds {
                        let block = HEAP.allocate(layout).expect("memory");
                        // SAFETY: nothing uses the block.
                        unsafe { HEAP.free(block.as_ptr(), |misuse| panic!("{misuse}")) };
                    }
                });
            }
        });
        assert_eq!((HEAP.check(), HEAP.stats().live_blocks), (Ok(()), 0));
    });
}

/// Threads that hold the lock nearly all the time let one in that wants it now and then.
#[test]
fn who_wants_it_seldom_gets_it() {
    scenario(&who_wants_it_seldom_gets_it, || {
        let served = AtomicUsize::new(0);
        let hold = |_| {
            HEAP.with(|heap| {
                (0..20).for_each(|_| assert_eq!(heap.check(), Ok(())));
            });
        };
        let seldom = forks(200);
        crate::processes::beside(&[&hold, &hold, &hold, &hold], || {
            for _ in 0..seldom {
                assert!(HEAP.stats().live_blocks == 0);
                served.fetch_add(1, Relaxed);
            }
        });
        assert_eq!(served.into_inner(), seldom);
    });
}
