//! Forks while other threads are in the middle of one heap or several.

use crate::HEAP;
use crate::processes::{beside, forks, in_child, use_collections, use_heap};
use hmalloc::Hmalloc;
use std::process::Command;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use support::child::scenario;

/// What every child does: the heap works, is sound, serves threads, and survives another fork.
fn live(number: usize) {
    use_collections(number, 3);
    assert_eq!(HEAP.check(), Ok(()));
    if number.is_multiple_of(4) {
        let threads: Vec<_> = (0..2).map(|thread| std::thread::spawn(move || use_collections(thread, 5))).collect();
        if number.is_multiple_of(8) {
            in_child(|| {
                use_collections(number, 3);
                assert_eq!(HEAP.check(), Ok(()));
            });
        }
        threads.into_iter().for_each(|thread| thread.join().expect("a thread of the child ends"));
    }
}

fn trim_and_look(_: usize) {
    HEAP.trim(0);
    assert_eq!(HEAP.check(), Ok(()));
    assert!(HEAP.snapshot(&mut []) > 0 && HEAP.stats().live_blocks > 0);
}

#[test]
fn children_of_a_busy_program_live() {
    scenario(&children_of_a_busy_program_live, || {
        let work = |number| use_collections(number, 20);
        beside(&[&work, &work, &work, &trim_and_look], || (0..forks(500)).for_each(|number| in_child(|| live(number))));
        assert_eq!(HEAP.check(), Ok(()));
    });
}

#[test]
fn several_threads_fork_at_once() {
    scenario(&several_threads_fork_at_once, || {
        let forked = AtomicUsize::new(0);
        let fork = |number: usize| {
            in_child(|| live(number));
            forked.fetch_add(1, Relaxed);
        };
        let work = |number| use_collections(number, 20);
        beside(&[&fork, &fork, &work], || {
            while forked.load(Relaxed) < forks(500) {
                in_child(|| live(3));
            }
        });
    });
}

#[test]
fn programs_are_executed_beside_forks() {
    scenario(&programs_are_executed_beside_forks, || {
        let execute = |_| assert!(Command::new("true").status().expect("a program").success());
        let work = |number| use_collections(number, 20);
        beside(&[&execute, &work, &work], || (0..forks(300)).for_each(|number| in_child(|| live(number))));
    });
}

const HEAPS: usize = 6;
static HEAPS_OF_MANY: [Hmalloc; HEAPS] = [const { Hmalloc::new() }; HEAPS];

/// Uses a heap inside of another's `with`; of two, the first in the table is always the outer one.
fn nest(number: usize) {
    for (outer, heap) in HEAPS_OF_MANY.iter().enumerate().take(HEAPS - 1) {
        let inner = &HEAPS_OF_MANY[outer + 1 + number % (HEAPS - 1 - outer)];
        heap.with(|heap| {
            use_heap(inner, number, 2);
            use_collections(number, 1);
            heap.trim(0);
        });
    }
}

/// A fork waits for all of them; a thread that forks holds one now and then.
#[test]
fn heaps_inside_each_other_and_forks() {
    scenario(&heaps_inside_each_other_and_forks, || {
        let each = |number| HEAPS_OF_MANY.iter().for_each(|heap| use_heap(heap, number, 5));
        beside(&[&nest, &nest, &each, &each], || {
            for number in 0..forks(300) {
                let child = || {
                    each(number);
                    nest(number);
                    HEAPS_OF_MANY.iter().for_each(|heap| assert_eq!(heap.check(), Ok(())));
                    live(number);
                };
                in_child(child);
            }
        });
    });
}

static CROWD: [Hmalloc; 8] = [const { Hmalloc::new() }; 8];

/// Each heap's lock is held nearly all the time, so all of them are never free at once by chance.
#[test]
fn many_heaps_that_are_always_held() {
    scenario(&many_heaps_that_are_always_held, || {
        CROWD.iter().for_each(|heap| use_heap(heap, 1, 20));
        let hold = |number: usize| {
            CROWD[number].with(|heap| assert_eq!(heap.check(), Ok(())));
        };
        let busy = [&hold as &(dyn Fn(usize) + Sync); 8];
        beside(&busy, || {
            for number in 0..forks(10).min(50) {
                in_child(|| CROWD.iter().for_each(|heap| use_heap(heap, number, 2)));
            }
        });
    });
}

/// More heaps than there are locks, each of them made, used and dropped while others fork.
#[test]
fn heaps_come_and_go_beside_forks() {
    scenario(&heaps_come_and_go_beside_forks, || {
        let rounds = AtomicUsize::new(0);
        let come_and_go = |number| {
            // A dropped heap keeps its memory, so there are not too many of them.
            if rounds.fetch_add(1, Relaxed) >= 10 {
                return std::thread::yield_now();
            }
            let heaps: Vec<Hmalloc> = (0..40).map(|_| Hmalloc::new()).collect();
            for _ in 0..50 {
                heaps.iter().for_each(|heap| use_heap(heap, number, 1));
            }
            heaps.iter().for_each(|heap| assert_eq!(heap.check(), Ok(())));
        };
        beside(&[&come_and_go, &come_and_go], || (0..forks(300)).for_each(|number| in_child(|| live(number))));
    });
}
