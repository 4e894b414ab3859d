//! Signal handlers that fork or allocate, whatever they interrupt.

use crate::HEAP;
use crate::processes::{ENDLESS, PATIENCE, beside, forks, in_child, use_collections, wait};
use crate::staged::{STAGED, grow, when_it_grows};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use support::child::{observe, scenario};

static IN_CHILD: AtomicBool = AtomicBool::new(false);
static FORKED: AtomicUsize = AtomicUsize::new(0);
static FAILED: AtomicUsize = AtomicUsize::new(0);

/// Forks. The child goes on with what was interrupted.
extern "C" fn fork_here(_: i32) {
    // SAFETY: nothing but calls that a handler may make; a status is written to a place of ours.
    unsafe {
        let process = libc::fork();
        if process == 0 {
            IN_CHILD.store(true, SeqCst);
            libc::alarm(PATIENCE);
            return;
        }
        let mut status = -1;
        if process < 0 || libc::waitpid(process, &raw mut status, 0) != process || status != 0 {
            FAILED.fetch_add(1, SeqCst);
        }
    }
    FORKED.fetch_add(1, SeqCst);
    start_timers();
}

/// Microseconds from a handler's end to the next signal of SIGALRM's and of SIGPROF's timer, or 0.
static NEXT: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

/// Starts the timers anew: one that went on by itself would interrupt again and again what it has just interrupted.
fn start_timers() {
    for (timer, next) in [libc::ITIMER_REAL, libc::ITIMER_PROF].into_iter().zip(&NEXT) {
        start_timer(timer, next.load(SeqCst) as i64, false);
    }
}

extern "C" fn allocate_here(_: i32) {
    drop(std::hint::black_box(vec![1_u8; 100]));
    crate::processes::use_heap(&STAGED, 1, 1);
}

fn handle(signal: i32, handler: extern "C" fn(i32)) {
    // SAFETY: a zeroed action is one without flags.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        // A timer that interrupts a handler's fork again and again, each time before it is done, stops all progress.
        libc::sigaddset(&raw mut action.sa_mask, libc::SIGALRM);
        libc::sigaddset(&raw mut action.sa_mask, libc::SIGPROF);
        assert_eq!(libc::sigaction(signal, &raw const action, std::ptr::null_mut()), 0);
    }
}

/// In so many microseconds of its time this process gets a signal, and another each time they have passed `again`. A child
/// gets none.
fn start_timer(timer: i32, microseconds: i64, again: bool) {
    let time = |time: i64| libc::timeval { tv_sec: 0, tv_usec: time as libc::suseconds_t };
    let value =
        libc::itimerval { it_interval: time(if again { microseconds } else { 0 }), it_value: time(microseconds) };
    // SAFETY: the kernel reads the value.
    assert_eq!(unsafe { libc::setitimer(timer as _, &raw const value, std::ptr::null_mut()) }, 0);
}

fn block_signals(how: i32) {
    // SAFETY: a set of signals on the stack.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut set, libc::SIGALRM);
        libc::sigaddset(&raw mut set, libc::SIGPROF);
        libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut());
    }
}

/// Allocates until it was forked `times` times; in each child, some more.
fn allocate_under_forks(times: usize) {
    while FORKED.load(SeqCst) < times {
        use_collections(FORKED.load(SeqCst), 1);
        if IN_CHILD.load(SeqCst) {
            use_collections(7, 20);
            assert_eq!(HEAP.check(), Ok(()));
            // SAFETY: ends the child.
            unsafe { libc::_exit(0) };
        }
    }
    NEXT.iter().for_each(|next| next.store(0, SeqCst));
    start_timers();
    assert_eq!(FAILED.load(SeqCst), 0, "of {} children", FORKED.load(SeqCst));
    assert_eq!(HEAP.check(), Ok(()));
}

#[test]
fn a_timers_handler_forks_in_a_program_with_one_thread() {
    scenario(&a_timers_handler_forks_in_a_program_with_one_thread, || {
        // The harness has threads; a child has one.
        in_child(|| {
            handle(libc::SIGALRM, fork_here);
            handle(libc::SIGPROF, fork_here);
            NEXT[0].store(700, SeqCst);
            NEXT[1].store(1100, SeqCst);
            start_timers();
            allocate_under_forks(forks(300));
        });
    });
}

#[test]
fn a_timers_handler_forks_beside_busy_threads() {
    scenario(&a_timers_handler_forks_beside_busy_threads, || {
        let work = |number| use_collections(number, 20);
        // The signals are for this thread alone: the harness has others, but not in a child.
        in_child(|| {
            block_signals(libc::SIG_BLOCK);
            beside(&[&work, &work], || {
                handle(libc::SIGALRM, fork_here);
                block_signals(libc::SIG_UNBLOCK);
                NEXT[0].store(1500, SeqCst);
                start_timers();
                allocate_under_forks(forks(100));
            });
        });
    });
}

/// Forks in a handler inside the heap, at the same place each time, and in that child again.
fn fork_inside(busy: bool) {
    handle(libc::SIGUSR1, fork_here);
    for depth in 0..3 {
        // SAFETY: sends a signal to this thread.
        when_it_grows(|| assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0));
        grow();
        crate::processes::use_heap(&STAGED, depth, 5);
        use_collections(depth, 5);
        assert_eq!((STAGED.check(), HEAP.check()), (Ok(()), Ok(())));
        if !IN_CHILD.load(SeqCst) {
            assert_eq!((FORKED.load(SeqCst), FAILED.load(SeqCst)), (depth + 1, 0), "busy: {busy}");
        }
    }
}

#[test]
fn a_handler_forks_while_its_thread_is_inside() {
    scenario(&a_handler_forks_while_its_thread_is_inside, || {
        in_child(|| fork_inside(false));
        let work = |number| use_collections(number, 20);
        // A child that is a copy of this thread goes on as this thread does, and ends like it.
        let forker = || {
            let process = crate::processes::fork(|| {
                let also = std::thread::spawn(|| use_collections(1, 200));
                fork_inside(true);
                if !IN_CHILD.load(SeqCst) {
                    also.join().expect("it ends");
                }
            });
            assert_eq!(wait(process), 0);
        };
        beside(&[&work], forker);
    });
}

/// The process dies by SIGABRT with this one line on standard error, and nothing else there.
#[track_caller]
fn assert_dies(ended: &support::child::Ended, line: &str) {
    assert!(!ended.finished && ended.signal == Some(libc::SIGABRT), "{ended:#?}");
    assert!(ended.stderr.starts_with(line) && ended.stderr.lines().count() == 1, "{ended:#?}");
}

#[test]
fn a_handler_that_allocates_where_nobody_is_inside_is_served() {
    scenario(&a_handler_that_allocates_where_nobody_is_inside_is_served, || {
        handle(libc::SIGUSR1, allocate_here);
        // SAFETY: sends a signal to this thread.
        (0..100).for_each(|_| assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0));
        assert_eq!((STAGED.check(), HEAP.check()), (Ok(()), Ok(())));
    });
}

fn allocate_inside() {
    handle(libc::SIGUSR1, allocate_here);
    // SAFETY: sends a signal to this thread.
    when_it_grows(|| assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0));
    grow();
}

/// On a heap whose threads take turns. Where they have tiers, the handler is served: `threads/handlers`.
#[test]
fn a_handler_that_allocates_inside_ends_the_process() {
    let test = &a_handler_that_allocates_inside_ends_the_process;
    let ended = observe(test, "", &[], |_| allocate_inside());
    assert_dies(&ended, &format!("{ENDLESS}a signal handler interrupted a call to it in its own thread\n"));
}

extern "C" fn nothing_here(_: i32) {}

/// A timer that is faster than a waiter's sleep does not keep it from noticing. A hang is caught by the scenario's alarm, after
/// minutes: a busy machine may make the timer as slow as the heap's patience is longest.
#[test]
fn a_fast_timer_does_not_hide_that_a_wait_is_endless() {
    let test = &a_fast_timer_does_not_hide_that_a_wait_is_endless;
    let ended = observe(test, "", &[], |_| {
        handle(libc::SIGUSR2, nothing_here);
        // SAFETY: the thread that is to be disturbed is this one.
        let waiter = unsafe { libc::pthread_self() } as usize;
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(std::time::Duration::from_micros(50));
                // SAFETY: that thread lives as long as the process.
                unsafe { libc::pthread_kill(waiter as libc::pthread_t, libc::SIGUSR2) };
            }
        });
        allocate_inside();
    });
    assert_dies(&ended, &format!("{ENDLESS}a signal handler interrupted a call to it in its own thread\n"));
}

#[test]
fn a_handler_that_allocates_inside_ends_a_process_with_one_thread() {
    let test = &a_handler_that_allocates_inside_ends_a_process_with_one_thread;
    let ended = observe(test, "", &[], |_| {
        let status = wait(crate::processes::fork(allocate_inside));
        assert!(crate::processes::aborted(status), "{status:x}");
    });
    assert!(ended.finished, "{ended:#?}");
    assert!(
        ended.stderr.starts_with(&format!("{ENDLESS}a signal handler interrupted a call to it, or ")),
        "{ended:#?}"
    );
    assert_eq!(ended.stderr.lines().count(), 1);
}
