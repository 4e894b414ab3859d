//! A heap that is used inside of its own `with`.

use crate::HEAP;
use crate::processes::{fork, in_child, use_collections, use_heap, wait};
use hmalloc::{Block, BlockState, Hmalloc};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use support::child::{Ended, observe, scenario};

static OTHER: Hmalloc = Hmalloc::new();
const LINE: &str = "hmalloc: the heap is used in another way inside of `with` or `inspect`, or in a signal handler ";

#[track_caller]
fn assert_dies(ended: &Ended) {
    assert!(!ended.finished && ended.signal == Some(libc::SIGABRT), "{ended:#?}");
    assert!(ended.stderr.starts_with(LINE) && ended.stderr.lines().count() == 1, "{ended:#?}");
}

/// One way to do it, in a process with threads and in one without.
fn dies<T>(test: &T, reenter: fn()) {
    let ended = observe(test, "threads", &[], move |argument| match argument {
        "threads" => reenter(),
        _ => assert!(crate::processes::aborted(wait(fork(reenter)))),
    });
    assert_dies(&ended);
    let ended = observe(test, "one thread", &[], |_| {});
    assert!(ended.finished && ended.stderr.starts_with(LINE) && ended.stderr.lines().count() == 1, "{ended:#?}");
}

#[test]
fn blocks_are_collected() {
    dies(&blocks_are_collected, || HEAP.inspect(|heap| drop(heap.blocks().collect::<Vec<_>>())));
}

#[test]
fn blocks_are_formatted() {
    dies(&blocks_are_formatted, || HEAP.inspect(|heap| drop(heap.blocks().map(|block| format!("{block:?}")).last())));
}

#[test]
fn a_vector_grows() {
    dies(&a_vector_grows, || {
        let mut grown = vec![1_u8];
        HEAP.with(|_| grown.reserve(100));
    });
}

#[test]
fn memory_is_freed() {
    dies(&memory_is_freed, || {
        let boxed = core::hint::black_box(Box::new(1));
        HEAP.with(|_| drop(boxed));
    });
}

#[test]
fn a_panic_where_the_heap_is_the_global_one() {
    dies(&a_panic_where_the_heap_is_the_global_one, || HEAP.with(|_| panic!("it is formatted on the heap")));
}

#[test]
fn with_inside_of_with() {
    dies(&with_inside_of_with, || OTHER.with(|_| OTHER.with(|_| ())));
}

static NEST: AtomicBool = AtomicBool::new(false);

extern "C" fn before_fork() {
    if NEST.swap(false, SeqCst) {
        OTHER.with(|_| OTHER.with(|_| ()));
    }
}

extern "C" fn register_first() {
    // SAFETY: the handler is a function of this program.
    assert_eq!(unsafe { libc::pthread_atfork(Some(before_fork), None, None) }, 0);
}

/// Registered before the heap's own handlers, so that `before_fork` runs while the thread that forks has all locks.
#[used]
#[unsafe(link_section = ".preinit_array")]
static FIRST: extern "C" fn() = register_first;

#[test]
fn with_inside_of_with_in_a_thread_that_forks() {
    dies(&with_inside_of_with_in_a_thread_that_forks, || {
        OTHER.with(|_| ());
        NEST.store(true, SeqCst);
        wait(fork(|| ()));
    });
}

#[test]
fn numbers_inside_of_inspect() {
    dies(&numbers_inside_of_inspect, || OTHER.inspect(|_| assert!(OTHER.stats().live_blocks > 0)));
}

/// What is not the heap itself can be used.
#[test]
fn other_heaps_inside_of_with() {
    scenario(&other_heaps_inside_of_with, || {
        use_heap(&OTHER, 1, 1);
        let count = OTHER.inspect(|heap| heap.blocks().collect::<Vec<_>>().len());
        assert!(count > 0);
        let inside = HEAP.with(|heap| OTHER.with(|other| (heap.check(), other.check())));
        assert_eq!(inside, (Ok(()), Ok(())));
        use_collections(1, 10);
    });
}

/// What is done inside of `with` is no signal handler's: it waits for another heap for as long as that is in use.
#[test]
fn another_heap_that_is_long_in_use_is_waited_for() {
    static THIRD: Hmalloc = Hmalloc::new();
    scenario(&another_heap_that_is_long_in_use_is_waited_for, || {
        use_heap(&OTHER, 1, 1);
        use_heap(&THIRD, 1, 1);
        let begun = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                OTHER.with(|_| {
                    begun.wait();
                    std::thread::sleep(std::time::Duration::from_millis(300));
                });
            });
            begun.wait();
            let stats = THIRD.with(|_| OTHER.stats());
            assert_eq!((OTHER.check(), stats), (Ok(()), OTHER.stats()));
        });
    });
}

#[test]
fn a_panic_that_unwinds_gives_the_heap_back() {
    scenario(&a_panic_that_unwinds_gives_the_heap_back, || {
        for _ in 0..3 {
            let panicked = catch_unwind(AssertUnwindSafe(|| OTHER.with(|_| panic!("as planned"))));
            assert!(panicked.is_err());
            std::thread::scope(|scope| scope.spawn(|| use_heap(&OTHER, 1, 10)).join().expect("another thread"));
            use_heap(&OTHER, 1, 10);
            assert_eq!(OTHER.check(), Ok(()));
        }
    });
}

/// The child is inside of `with` as its parent is.
#[test]
fn a_fork_inside_of_with() {
    scenario(&a_fork_inside_of_with, || {
        let inside = |threads: bool| {
            let process = OTHER.with(|heap| {
                let layout = std::alloc::Layout::new::<[u8; 3000]>();
                let block = heap.allocate(layout).expect("memory");
                // SAFETY: what a child may do after a fork is what is being tested.
                let process = unsafe { libc::fork() };
                // SAFETY: the block is live in both processes.
                assert_eq!(unsafe { heap.free(block.as_ptr()) }, Ok(()));
                assert_eq!(heap.check(), Ok(()));
                use_collections(1, 3);
                process
            });
            use_heap(&OTHER, 1, 5);
            assert_eq!((OTHER.check(), HEAP.check()), (Ok(()), Ok(())));
            if process == 0 {
                // SAFETY: ends the child.
                unsafe { libc::_exit(0) };
            }
            assert_eq!(wait(process), 0, "threads: {threads}");
        };
        let work = |number| {
            use_collections(number, 5);
            use_heap(&OTHER, number, 5);
        };
        crate::processes::beside(&[&work, &work], || (0..20).for_each(|_| inside(true)));
        in_child(|| (0..20).for_each(|_| inside(false)));
    });
}

#[test]
fn re_entry_in_the_child_of_a_fork_inside_of_with() {
    let test = &re_entry_in_the_child_of_a_fork_inside_of_with;
    let ended = observe(test, "", &[], |_| {
        let status = OTHER.with(|_| wait(fork(|| use_heap(&OTHER, 1, 1))));
        assert!(crate::processes::aborted(status), "{status:x}");
    });
    assert!(ended.finished && ended.stderr.starts_with(LINE), "{ended:#?}");
}

const NOTHING: Block = Block { address: 0, size: 0, state: BlockState::Free };

#[test]
fn a_snapshot_is_what_blocks_are() {
    scenario(&a_snapshot_is_what_blocks_are, || {
        assert_eq!(OTHER.snapshot(&mut [NOTHING; 4]), 0, "an unused heap has no blocks");
        for size in [1, 100, 5000, 100_000, 3_000_000] {
            let layout = std::alloc::Layout::from_size_align(size, 8).expect("a layout");
            (0..20).for_each(|_| _ = OTHER.allocate(layout).expect("memory"));
        }
        let all: Vec<Block> = OTHER.inspect(|heap| heap.blocks().collect());
        assert!(all.iter().filter(|block| block.state == BlockState::Used).count() == 100);
        for length in [0, 1, all.len() - 1, all.len(), all.len() + 1, all.len() + 100] {
            let mut copied = vec![NOTHING; length];
            assert_eq!(OTHER.snapshot(&mut copied), all.len());
            let common = length.min(all.len());
            assert_eq!(copied[..common], all[..common]);
            assert!(copied[common..].iter().all(|block| *block == NOTHING), "what is beyond stays");
        }
        // Of the global heap, too, and without a block more: it allocates nothing.
        let mut copied = vec![NOTHING; 100_000];
        let (before, count) = (HEAP.stats().live_blocks, HEAP.snapshot(&mut copied));
        let used = copied[..count].iter().filter(|block| block.state == BlockState::Used);
        assert!(count <= copied.len() && used.count() == before);
        assert_eq!(HEAP.stats().live_blocks, before);
    });
}
