//! The signals that a report deals with: SIGPIPE and SIGXFSZ, which must not kill the writer, and SIGABRT, by
//! which the process ends; and holding back all of them for a moment. No libc is asked, so its records of handlers and masks stay as they are.

use crate::kernel::call::{Errno, Sysno, syscall};
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;

const MIPS: bool = cfg!(any(target_arch = "mips", target_arch = "mips64"));
const SIGABRT: usize = 6;
const SIGPIPE: usize = 13;
/// A file would grow beyond the process's limit.
const SIGXFSZ: usize = if MIPS { 31 } else { 25 };
const SIG_BLOCK: usize = if MIPS { 1 } else { 0 };
const SIG_UNBLOCK: usize = SIG_BLOCK + 1;
const SIG_SETMASK: usize = SIG_BLOCK + 2;

/// The kernel has 128 signals on MIPS and 64 elsewhere.
const SET_BYTES: usize = if MIPS { 16 } else { 8 };

/// The kernel's signal set: words in ascending order, whatever the order of the bytes in a word.
struct SignalSet([usize; SET_BYTES / size_of::<usize>()]);

impl SignalSet {
    const EMPTY: Self = Self([0; SET_BYTES / size_of::<usize>()]);

    /// `signal` alone, one of the first 32.
    const fn of(signal: usize) -> Self {
        Self::EMPTY.and(signal)
    }

    /// The set with another signal, one of the first 32.
    const fn and(mut self, signal: usize) -> Self {
        self.0[0] |= 1 << (signal - 1);
        self
    }

    /// Whether a signal, one of the first 32, is in the set.
    const fn has(&self, signal: usize) -> bool {
        self.0[0] & 1 << (signal - 1) != 0
    }
}

/// What a write can raise in the calling thread is blocked from `new` to `release`.
pub(super) struct HeldSignals {
    /// The thread's mask before. `None` if the kernel refused to block anything, as a sandbox may.
    mask: Option<SignalSet>,
    /// What was waiting already; of the two, only what the program blocks itself.
    pending: SignalSet,
}

impl HeldSignals {
    pub(super) fn new() -> Self {
        let held = SignalSet::of(SIGPIPE).and(SIGXFSZ);
        let (mut mask, mut pending) = (SignalSet::EMPTY, SignalSet::EMPTY);
        // SAFETY: the kernel reads the first set and writes the others, which have the size that is passed.
        unsafe {
            let blocked = syscall!(Sysno::rt_sigprocmask, SIG_BLOCK, &raw const held, &raw mut mask, SET_BYTES);
            let _ = syscall!(Sysno::rt_sigpending, &raw mut pending, SET_BYTES);
            Self { mask: blocked.is_ok().then_some(mask), pending }
        }
    }

    /// Takes back the signal that came with `error`, unless one waits for the program itself: the two are one then.
    pub(super) fn release(self, error: Option<Errno>) {
        let Some(mask) = self.mask else { return };
        let caused = match error {
            Some(Errno::EPIPE) => Some(SIGPIPE),
            Some(Errno::EFBIG) => Some(SIGXFSZ),
            _ => None,
        };
        if let Some(signal) = caused.filter(|&signal| !self.pending.has(signal)) {
            let set = SignalSet::of(signal);
            // Zero whether a time has 32 or 64 bits.
            let at_once = [0_u64; 2];
            // SAFETY: the kernel reads the set, of the size that is passed, and the time. It stores no siginfo.
            let _ = unsafe { syscall!(Sysno::rt_sigtimedwait, &raw const set, 0, &raw const at_once, SET_BYTES) };
        }
        set_mask(&mask);
    }
}

/// Signals of the calling thread are blocked while this is there.
pub(crate) struct NoSignals {
    /// The thread's mask before. `None` if the kernel refused to block anything.
    mask: Option<SignalSet>,
}

impl NoSignals {
    pub(crate) fn new() -> Self {
        let (all, mut mask) = (SignalSet([usize::MAX; SET_BYTES / size_of::<usize>()]), SignalSet::EMPTY);
        // SAFETY: the kernel reads the first set and writes the second, which have the size that is passed.
        let blocked = unsafe { syscall!(Sysno::rt_sigprocmask, SIG_BLOCK, &raw const all, &raw mut mask, SET_BYTES) };
        Self { mask: blocked.is_ok().then_some(mask) }
    }
}

impl Drop for NoSignals {
    fn drop(&mut self) {
        if let Some(mask) = &self.mask {
            set_mask(mask);
        }
    }
}

fn set_mask(mask: &SignalSet) {
    // SAFETY: the kernel reads the set, of the size that is passed.
    let _ = unsafe { syscall!(Sysno::rt_sigprocmask, SIG_SETMASK, core::ptr::from_ref(mask), 0, SET_BYTES) };
}

/// Set once the process has begun to end.
static DYING: AtomicBool = AtomicBool::new(false);

/// Ends the process by `SIGABRT`, whether or not the signal is blocked, ignored or handled. A handler runs first, as in
/// C's `abort`; it keeps the process alive only by not returning.
#[cold]
pub fn abort() -> ! {
    // On every architecture an action of zeros is SIG_DFL without flags; this is larger than any of them.
    let default_action = [0usize; 16];
    // A handler that comes here again, because it needs what the process is dying of, is not run once more.
    if !DYING.swap(true, Relaxed) {
        raise_sigabrt();
    }
    // SAFETY: the kernel reads the action. Nothing of the program's survives to miss its handler.
    let _ = unsafe { syscall!(Sysno::rt_sigaction, SIGABRT, &raw const default_action, 0, SET_BYTES) };
    raise_sigabrt();
    loop {
        // SAFETY: ends the process, with the status a shell gives to this signal; nothing after it runs.
        let _ = unsafe { syscall!(Sysno::exit_group, 128 + SIGABRT) };
    }
}

fn raise_sigabrt() {
    let sigabrt = SignalSet::of(SIGABRT);
    // SAFETY: the kernel reads the set, of the size that is passed, and sends a signal to this very thread.
    unsafe {
        let _ = syscall!(Sysno::rt_sigprocmask, SIG_UNBLOCK, &raw const sigabrt, 0, SET_BYTES);
        if let (Ok(process), Ok(thread)) = (syscall!(Sysno::getpid), syscall!(Sysno::gettid)) {
            let _ = syscall!(Sysno::tgkill, process, thread, SIGABRT);
        }
    }
}
