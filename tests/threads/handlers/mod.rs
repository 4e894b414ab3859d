//! Signal handlers that use the heap while the thread that they have interrupted is in the middle of a call to it: they
//! allocate, resize, and free their own blocks, that thread's and other threads'. A handler whose request is refused, large
//! or small, is a failure here.
//!
//! That the scenarios can be passed was seen on a heap of one mapping per block; that they can fail, on one whose list of
//! free blocks is not safe from handlers. Nearly all handlers interrupt a call.
//!
//! `HMALLOC_TEST_SIGNALS` is how many signals each scenario takes.

mod first_use;
mod forks;
mod signals;
mod work;

use crate::crowd::{dawdle, scenario};
use crate::forks::fork;
use signals::{end_with_parent, set_handler, set_timer, start_own_timer};
use std::hint::black_box;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use work::{
    HANDLED, IN_CALL, INSIDE, WRONG, assert_well, begin_handler, handle, set_largest, wanted, work, wrong_unless,
};

/// The process's timer, in a process with one thread.
fn interrupted_by_a_timer(signals: usize) {
    end_with_parent();
    set_handler(libc::SIGALRM, handle, false);
    set_timer(150);
    work(0, || HANDLED.load(Relaxed) >= signals);
    set_timer(0);
    assert_well(signals);
}

#[test]
fn a_timers_handler_in_a_process_with_one_thread() {
    scenario(&a_timers_handler_in_a_process_with_one_thread, || {
        let signals = wanted(5000);
        set_largest(1000, 3000);
        // The harness has threads, of which one would get the signals; a child has none.
        fork(|| interrupted_by_a_timer(signals));
    });
}

/// Two threads, each with a timer of its own.
#[test]
fn timers_of_threads() {
    scenario(&timers_of_threads, || threads_with_timers(1000, 3000, false));
}

/// The threads take large blocks as well, and are interrupted while the memory of all is rearranged.
#[test]
fn timers_of_threads_that_take_pages() {
    scenario(&timers_of_threads_that_take_pages, || threads_with_timers(1000, 200_000, false));
}

/// Handlers take large blocks as well.
#[test]
fn handlers_that_take_pages() {
    scenario(&handlers_that_take_pages, || threads_with_timers(100_000, 3000, false));
}

/// A handler may be interrupted by the next one.
#[test]
fn handlers_inside_of_handlers() {
    scenario(&handlers_inside_of_handlers, || threads_with_timers(1000, 3000, true));
}

fn threads_with_timers(handlers: usize, threads: usize, nested: bool) {
    let signals = wanted(5000);
    // A handler that fills large blocks takes long, and a thread is to get on between two.
    let every = if handlers > 1000 { 1000 } else { 150 };
    set_largest(handlers, threads);
    set_handler(libc::SIGUSR1, handle, nested);
    set_handler(libc::SIGUSR2, handle, nested);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|number| {
                scope.spawn(move || {
                    // Not the same, so that the second signal comes at any point of the first one's handler.
                    let timers = [start_own_timer(libc::SIGUSR1, every), start_own_timer(libc::SIGUSR2, every + 20)];
                    work(number, || HANDLED.load(Relaxed) >= signals);
                    // SAFETY: made above, and not used any more.
                    timers.into_iter().for_each(|timer| assert_eq!(unsafe { libc::timer_delete(timer) }, 0));
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    });
    assert_well(signals);
}

extern "C" fn handle_and_fork_now_and_then(signal: i32) {
    work::handle_and_fork::<30>(signal);
}

/// Four threads with timers, whose handlers now and then fork.
#[test]
fn handlers_that_fork() {
    scenario(&handlers_that_fork, || {
        let signals = wanted(3000);
        set_largest(70_000, 100_000);
        set_handler(libc::SIGUSR1, handle_and_fork_now_and_then, false);
        std::thread::scope(|scope| {
            let threads = [0, 1, 2, 3].map(|number| {
                scope.spawn(move || {
                    let timer = start_own_timer(libc::SIGUSR1, 1000 + 100 * number as i64);
                    work(number, || HANDLED.load(Relaxed) >= signals);
                    // SAFETY: made above, and not used any more. A child of the last handler's has no timer, and ends.
                    unsafe {
                        let deleted = libc::timer_delete(timer);
                        if forks::is_child() {
                            libc::_exit(0);
                        }
                        assert_eq!(deleted, 0);
                    }
                })
            });
            threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        });
        let (children, failed) = forks::children();
        assert!(children > signals / 60 && failed == 0, "{failed} of {children} children");
        assert_well(signals);
    });
}

/// One thread sends signals to two others, one after the other has been handled, at any instant.
#[test]
fn signals_sent_by_another_thread() {
    scenario(&signals_sent_by_another_thread, || {
        let signals = wanted(2000);
        set_largest(1000, 3000);
        set_handler(libc::SIGUSR1, handle, false);
        let (over, targets) = (AtomicBool::new(false), [const { AtomicUsize::new(0) }; 2]);
        std::thread::scope(|scope| {
            let threads = [0, 1].map(|number| {
                let (over, target) = (&over, &targets[number]);
                scope.spawn(move || {
                    // SAFETY: no preconditions.
                    target.store(unsafe { libc::pthread_self() } as usize, SeqCst);
                    work(number, || over.load(Relaxed));
                })
            });
            (0..signals).for_each(|number| send(&targets[number % 2], number));
            over.store(true, Relaxed);
            threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        });
        assert_well(signals);
    });
}

/// Sends the `number`th signal as soon as there is a thread, and waits until its handler has begun.
fn send(target: &AtomicUsize, number: usize) {
    while target.load(SeqCst) == 0 {
        std::thread::yield_now();
    }
    dawdle(number, number % 3);
    let thread = target.load(SeqCst) as libc::pthread_t;
    // SAFETY: the thread lives until it is joined.
    assert_eq!(unsafe { libc::pthread_kill(thread, libc::SIGUSR1) }, 0);
    while HANDLED.load(Relaxed) <= number {
        std::thread::yield_now();
    }
}

extern "C" fn handle_with_vectors(_: i32) {
    begin_handler().into_iter().for_each(|count| use_vectors(count + 1));
}

/// As programs do it: vectors and strings of the standard library, on the program's heap.
#[test]
fn handlers_with_vectors_and_strings() {
    scenario(&handlers_with_vectors_and_strings, || {
        let signals = wanted(5000);
        fork(|| {
            end_with_parent();
            set_handler(libc::SIGALRM, handle_with_vectors, false);
            set_timer(150);
            while HANDLED.load(Relaxed) < signals {
                IN_CALL.set(true);
                use_vectors(HANDLED.load(Relaxed));
                IN_CALL.set(false);
            }
            set_timer(0);
            assert_eq!((WRONG.load(Relaxed), crate::HEAP.check()), (0, Ok(())));
            assert!(INSIDE.load(Relaxed) > 0);
        });
    });
}

fn use_vectors(seed: usize) {
    let mut numbers: Vec<usize> = (0..seed % 50).collect();
    numbers.extend(seed..seed + seed % 200);
    let text = format!("{} numbers and {seed}", numbers.len());
    let boxes: Vec<Box<usize>> = numbers.iter().map(|number| Box::new(number ^ seed)).collect();
    wrong_unless(boxes.iter().zip(&numbers).all(|(boxed, number)| **boxed == number ^ seed));
    wrong_unless(text.ends_with(&seed.to_string()));
    black_box((numbers, boxes, text));
}
