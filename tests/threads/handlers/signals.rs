//! Signals: their handlers, and the timers that send them.

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

/// A timer of the calling thread's own: it gets `signal` each time so many microseconds have passed.
pub(super) fn start_own_timer(signal: i32, microseconds: i64) -> libc::timer_t {
    let time = libc::timespec { tv_sec: 0, tv_nsec: microseconds * 1000 };
    let value = libc::itimerspec { it_interval: time, it_value: time };
    let mut timer = null_mut();
    // SAFETY: a zeroed event is filled in; the kernel reads it and the time, and writes the timer.
    unsafe {
        let mut event: libc::sigevent = std::mem::zeroed();
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal;
        event.sigev_notify_thread_id = libc::gettid();
        assert_eq!(libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer), 0);
        assert_eq!(libc::timer_settime(timer, 0, &raw const value, null_mut()), 0);
    }
    timer
}
