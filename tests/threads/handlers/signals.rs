//! Signals: their handlers, and the timers that send them.

use std::cell::Cell;
use std::ptr::null_mut;

/// Handles a signal. Others of [`USED`] wait for the handler's end, unless they are to interrupt it.
pub(super) fn set_handler(signal: i32, handler: extern "C" fn(i32), nested: bool) {
    // SAFETY: a zeroed action has an empty mask; the handlers make no calls but the heap's.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        for other in USED.iter().filter(|_| !nested) {
            libc::sigaddset(&raw mut action.sa_mask, *other);
        }
        assert_eq!(libc::sigaction(signal, &raw const action, std::ptr::null_mut()), 0);
    }
}

pub(super) const USED: [i32; 3] = [libc::SIGALRM, libc::SIGUSR1, libc::SIGUSR2];

/// Has the process end if its parent does: the timer's signal is that of the alarm that would end it.
pub(super) fn end_with_parent() {
    // SAFETY: asks for a signal.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }, 0);
}

/// From now on the process gets SIGALRM each time so many microseconds have passed; 0 ends that.
pub(super) fn set_timer(microseconds: libc::suseconds_t) {
    let time = libc::timeval { tv_sec: 0, tv_usec: microseconds };
    let value = libc::itimerval { it_interval: time, it_value: time };
    // SAFETY: the kernel reads the value.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL as _, &raw const value, null_mut()) }, 0);
}

thread_local! {
    /// The signals of this thread's timers, the timers, and the microseconds from the end of one handler to the next signal.
    static TIMERS: Cell<[(i32, libc::timer_t, i64); 2]> = const { Cell::new([(0, null_mut(), 0); 2]) };
}

/// A timer of the calling thread's own: it gets `signal` when so many microseconds have passed, and again so long after each call
/// of [`restart`], which is to be a handler's last. One that went on by itself would leave no time between two handlers, on a
/// machine on which they take longer than that: they would all interrupt the same instruction.
pub(super) fn start_own_timer(signal: i32, microseconds: i64) -> libc::timer_t {
    let mut timer = null_mut();
    // SAFETY: a zeroed event is filled in; the kernel reads it, and writes the timer.
    unsafe {
        let mut event: libc::sigevent = std::mem::zeroed();
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal;
        event.sigev_notify_thread_id = libc::gettid();
        assert_eq!(libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer), 0);
    }
    let [first, second] = TIMERS.get();
    let new = (signal, timer, microseconds);
    TIMERS.set(if first.0 == 0 { [new, second] } else { [first, new] });
    restart(signal);
    timer
}

/// Starts the calling thread's timer for a signal anew, if it has one.
pub(super) fn restart(signal: i32) {
    // Where there is none the entry has number 0, and a null timer, which is the process's first one.
    for (_, timer, microseconds) in TIMERS.get().into_iter().filter(|(its, ..)| *its == signal && signal != 0) {
        let [none, next] = [0, microseconds * 1000].map(|tv_nsec| libc::timespec { tv_sec: 0, tv_nsec });
        let value = libc::itimerspec { it_interval: none, it_value: next };
        // SAFETY: the kernel reads the time. A timer that is deleted, or was the parent's, is refused.
        unsafe { libc::timer_settime(timer, 0, &raw const value, null_mut()) };
    }
}
