//! Signals of which the process would die: what is to be written before is written in a handler of ours.
//!
//! It is installed only for signals whose action is the default one, which follows: the process dies of the signal, by the same
//! instruction if that was the cause. A program that sets an action of its own later has that. Only where faults are to be
//! explained it stands before a handler of the program's for SIGSEGV and SIGBUS, as `std` has one, and calls that.

use crate::kernel::call::{Errno, Sysno, syscall};
use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{Acquire, Release};

/// Signals whose default action ends a process, of those that Linux numbers alike where this is used: SIGHUP, SIGINT, SIGQUIT,
/// SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGUSR1, SIGSEGV, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF,
/// SIGSYS.
const FATAL: [usize; 18] = [1, 2, 3, 4, 6, 7, 8, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 31];
const SET_BYTES: usize = 8;

const SA_SIGINFO: usize = 4;
const SA_RESTORER: usize = 0x400_0000;
const SA_ONSTACK: usize = 0x800_0000;
const SIG_DFL: usize = 0;
const SIG_IGN: usize = 1;

/// The kernel's `struct sigaction` on x86_64 and aarch64; riscv64's has no `restorer`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Action {
    handler: usize,
    flags: usize,
    #[cfg(not(target_arch = "riscv64"))]
    restorer: usize,
    mask: [u8; SET_BYTES],
}

impl Action {
    fn new(handler: usize, flags: usize) -> Self {
        Self {
            handler,
            flags: flags | if cfg!(target_arch = "x86_64") { SA_RESTORER } else { 0 },
            #[cfg(not(target_arch = "riscv64"))]
            restorer: restorer(),
            mask: [0; SET_BYTES],
        }
    }
}

// To where a handler returns: the kernel has no such code of its own on x86_64.
#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".ifndef hmalloc_after_handler",
    ".pushsection .text.hmalloc_after_handler, \"ax\"",
    ".weak hmalloc_after_handler",
    ".hidden hmalloc_after_handler",
    ".type hmalloc_after_handler, @function",
    "hmalloc_after_handler:",
    "mov eax, 15",
    "syscall",
    ".popsection",
    ".endif",
);

#[cfg(target_arch = "x86_64")]
fn restorer() -> usize {
    unsafe extern "C" {
        fn hmalloc_after_handler();
    }
    hmalloc_after_handler as *const () as usize
}

#[cfg(target_arch = "aarch64")]
fn restorer() -> usize {
    0
}

/// What is done before the process dies: a function, or 0.
static LAST: AtomicUsize = AtomicUsize::new(0);

/// Sets or asks for the action of a signal. `None` where a filter refuses.
fn exchange(signal: usize, new: Option<&Action>) -> Option<Action> {
    let mut old = Action::new(SIG_DFL, 0);
    let new = new.map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: the kernel reads the one and writes the other, which have its layout; the handler is a function of this type.
    let answer: Result<usize, Errno> = unsafe { syscall!(Sysno::rt_sigaction, signal, new, &raw mut old, SET_BYTES) };
    answer.is_ok().then_some(old)
}

/// Has `last` called before the process dies of a signal. It must not take locks.
pub(crate) fn before_death(last: fn()) {
    LAST.store(last as *const () as usize, Release);
    let ours = Action::new(on_signal as *const () as usize, SA_SIGINFO | SA_ONSTACK);
    for signal in FATAL {
        if exchange(signal, None).is_some_and(|old| old.handler == SIG_DFL) {
            let _ = exchange(signal, Some(&ours));
        }
    }
}

/// Explains a refused access, if it can: a function, or 0.
static EXPLAIN: AtomicUsize = AtomicUsize::new(0);

/// The actions of SIGSEGV and SIGBUS before ours, if those were the program's.
static BEFORE: [Before; 2] = [const { Before(UnsafeCell::new(None)) }; 2];

struct Before(UnsafeCell<Option<Action>>);

// SAFETY: written once, before the handler that reads it is installed.
unsafe impl Sync for Before {}

const SIGBUS: usize = 7;
const SIGSEGV: usize = 11;

/// Has `explain` called when the memory access at an address is refused; it says whether it could explain that, and takes no locks.
/// Handlers of the program's that are there already run after it.
pub(crate) fn explain_faults(explain: fn(usize) -> bool) {
    if EXPLAIN.swap(explain as *const () as usize, Release) != 0 {
        return;
    }
    let handler = on_signal as *const () as usize;
    for (signal, before) in [SIGSEGV, SIGBUS].into_iter().zip(&BEFORE) {
        let Some(old) = exchange(signal, None).filter(|old| old.handler != handler) else { continue };
        if old.handler > SIG_IGN {
            // SAFETY: the handler is not installed yet, and nobody else comes here.
            unsafe { before.0.get().write(Some(old)) };
        }
        let _ = exchange(signal, Some(&Action { mask: old.mask, ..Action::new(handler, SA_SIGINFO | SA_ONSTACK) }));
    }
}

/// The program's action for a signal.
fn action_before(signal: usize) -> Option<Action> {
    let at = [SIGSEGV, SIGBUS].iter().position(|&known| known == signal)?;
    // SAFETY: not written any more.
    unsafe { *BEFORE[at].0.get() }
}

/// The part of the kernel's `siginfo_t` that is read.
#[repr(C)]
struct Info {
    signal: c_int,
    error: c_int,
    code: c_int,
    address: usize,
}

extern "C" fn on_signal(signal: c_int, info: *const Info, context: *mut c_void) {
    const FAULTS: [c_int; 4] = [4, 7, 8, 11];
    // SAFETY: the kernel passes it.
    let (code, address) = unsafe { ((*info).code, (*info).address) };
    // Above 0 the kernel itself says that an instruction failed.
    let is_fault = FAULTS.contains(&signal) && code > 0;
    let explain = EXPLAIN.load(Acquire);
    // SAFETY: stored by `explain_faults`.
    let explained =
        is_fault && explain != 0 && unsafe { core::mem::transmute::<usize, fn(usize) -> bool>(explain)(address) };
    let before = action_before(signal as usize);
    if let Some(before) = before.filter(|_| !explained) {
        // SAFETY: the program's handler, with what the kernel has passed.
        return unsafe { call(before, signal, info, context) };
    }
    let last = LAST.load(Acquire);
    if last != 0 {
        // SAFETY: stored by `before_death`.
        unsafe { core::mem::transmute::<usize, fn()>(last)() };
    }
    let _ = exchange(signal as usize, Some(&before.unwrap_or(Action::new(SIG_DFL, 0))));
    if is_fault {
        // The instruction fails again.
        return;
    }
    // SAFETY: asks who this is, and sends the signal once more, which is blocked until the handler returns.
    unsafe {
        if let (Ok(process), Ok(thread)) = (syscall!(Sysno::getpid), syscall!(Sysno::gettid)) {
            let _ = syscall!(Sysno::tgkill, process, thread, signal);
        }
    }
}

/// Calls a handler of the program's.
///
/// # Safety
///
/// It is the one that the action names, and the rest is what the kernel has passed.
unsafe fn call(action: Action, signal: c_int, info: *const Info, context: *mut c_void) {
    type Short = extern "C" fn(c_int);
    type Long = extern "C" fn(c_int, *const Info, *mut c_void);
    // SAFETY: the flag says which of the two types the handler has.
    unsafe {
        if action.flags & SA_SIGINFO != 0 {
            core::mem::transmute::<usize, Long>(action.handler)(signal, info, context);
        } else {
            core::mem::transmute::<usize, Short>(action.handler)(signal);
        }
    }
}
