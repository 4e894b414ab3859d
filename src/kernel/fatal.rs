//! Signals of which the process would die: what is to be written before is written in a handler of ours.
//!
//! It is installed only for signals whose action is the default one, which follows: the process dies of the signal, by the same
//! instruction if that was the cause. A program that sets an action of its own later has that. Only where faults are to be
//! explained it stands before a handler of the program's for SIGSEGV and SIGBUS, as `std` has one, and calls that.

mod stack;

use crate::kernel::call::{Errno, Sysno, syscall};
use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicUsize};

/// Signals whose default action ends a process, of those that Linux numbers alike where this is used: SIGHUP, SIGINT, SIGQUIT,
/// SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGUSR1, SIGSEGV, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGSTKFLT, SIGXCPU, SIGXFSZ,
/// SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSYS.
const FATAL: [usize; 22] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 24, 25, 26, 27, 29, 30, 31];
const SET_BYTES: usize = 8;

const SA_SIGINFO: usize = 4;
const SA_RESTORER: usize = 0x400_0000;
const SA_ONSTACK: usize = 0x800_0000;
const SA_RESTART: usize = 0x1000_0000;
/// The signal may come again while its handler runs.
const SA_NODEFER: usize = 0x4000_0000;
/// The action is the default one from when the handler begins.
const SA_RESETHAND: usize = 0x8000_0000;
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
    // Unwinders know the frame of a handler by these very instructions, and look up the address before the one to return to.
    "nop",
    "hmalloc_after_handler:",
    ".byte 0x48, 0xc7, 0xc0, 15, 0, 0, 0", // mov rax, 15, in the form that they know
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

/// What is done before the process dies, and what explains a refused access: functions, or 0. One for profiles and guards, one
/// for checked mode.
type Hooks = [AtomicUsize; 2];

static LAST: Hooks = [const { AtomicUsize::new(0) }; 2];
static EXPLAIN: Hooks = [const { AtomicUsize::new(0) }; 2];

/// Adds a function, unless it is there already.
fn add(hooks: &Hooks, function: usize) {
    let put = |hook: &AtomicUsize| {
        hook.compare_exchange(0, function, Release, Acquire).map_or_else(|old| old == function, |_| true)
    };
    hooks.iter().any(put);
}

fn functions(hooks: &Hooks) -> impl Iterator<Item = usize> {
    hooks.iter().map(|hook| hook.load(Acquire)).filter(|&function| function != 0)
}

/// Sets or asks for the action of a signal. `None` where a filter refuses.
fn exchange(signal: usize, new: Option<&Action>) -> Option<Action> {
    let mut old = Action::new(SIG_DFL, 0);
    let new = new.map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: the kernel reads the one and writes the other, which have its layout; the handler is a function of this type.
    let answer: Result<usize, Errno> = unsafe { syscall!(Sysno::rt_sigaction, signal, new, &raw mut old, SET_BYTES) };
    answer.is_ok().then_some(old)
}

/// The flags of our actions. Only faults come on the alternate stack, which may be as small as a program's own handler needs:
/// of those the usual stack, at its end, may be the cause. What is done there has [a stack of its own](stack).
fn flags_for(signal: usize) -> usize {
    SA_SIGINFO | if signal == SIGSEGV || signal == SIGBUS { SA_ONSTACK } else { 0 }
}

/// Has `last` called before the process dies of a signal. It must not wait for locks. SIGSEGV and SIGBUS are left to
/// [`take_faults`].
pub(crate) fn before_death(last: fn()) {
    add(&LAST, last as *const () as usize);
    for signal in FATAL.into_iter().filter(|signal| ![SIGSEGV, SIGBUS].contains(signal)) {
        if exchange(signal, None).is_some_and(|old| old.handler == SIG_DFL) {
            let _ = exchange(signal, Some(&Action::new(on_signal as *const () as usize, flags_for(signal))));
        }
    }
}

/// The actions of SIGSEGV and SIGBUS before ours, if those were the program's.
static BEFORE: [Before; 2] = [const { Before(UnsafeCell::new(None)) }; 2];

struct Before(UnsafeCell<Option<Action>>);

// SAFETY: written once, before the handler that reads it is installed.
unsafe impl Sync for Before {}

const SIGBUS: usize = 7;
const SIGSEGV: usize = 11;

/// Has `explain` called when the memory access at an address is refused, from [`take_faults`] on; it says whether it could explain
/// that, and takes no locks.
pub(crate) fn explain_faults(explain: fn(usize) -> bool) {
    add(&EXPLAIN, explain as *const () as usize);
}

/// Whether the handler for SIGSEGV and SIGBUS is there.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes SIGSEGV and SIGBUS, once, if anything is to be done about them. Not at start, but when there is something to explain or to
/// write: `std` has its handler by then, which it installs only where there is none. Handlers that are there run after ours.
pub(crate) fn take_faults() {
    let wanted = functions(&EXPLAIN).chain(functions(&LAST)).next().is_some();
    if TAKEN.load(Relaxed) || !wanted || TAKEN.swap(true, Relaxed) {
        return;
    }
    for (signal, before) in [SIGSEGV, SIGBUS].into_iter().zip(&BEFORE) {
        let Some(old) = exchange(signal, None) else { continue };
        if old.handler != SIG_DFL {
            // SAFETY: the handler is not installed yet, and nobody else comes here.
            unsafe { before.0.get().write(Some(old)) };
        }
        let flags = flags_for(signal) | old.flags & (SA_RESTART | SA_NODEFER);
        let _ =
            exchange(signal, Some(&Action { mask: old.mask, ..Action::new(on_signal as *const () as usize, flags) }));
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
    // SAFETY: stored by `explain_faults`.
    let explains = |explain| unsafe { core::mem::transmute::<usize, fn(usize) -> bool>(explain)(address) };
    let explained = is_fault && with_room(signal, || functions(&EXPLAIN).any(explains)) == Some(true);
    let before = action_before(signal as usize);
    match before.filter(|_| !explained) {
        // Only a signal that is sent can be ignored.
        Some(before) if before.handler == SIG_IGN && !is_fault => return,
        Some(before) if before.handler != SIG_IGN => {
            // SAFETY: the program's handler, with what the kernel has passed.
            unsafe { call(before, signal, info, context) };
            // As `std` gives up: the instruction fails again, and that is the end.
            let gives_up = is_fault && before.flags & SA_RESETHAND == 0;
            if gives_up && exchange(signal as usize, None).is_some_and(|now| now.handler == SIG_DFL) {
                call_last(signal);
            }
            return;
        }
        _ => {}
    }
    // A handler of the program's, which comes next, may let it live on.
    if before.is_none_or(|before| before.handler == SIG_IGN) {
        call_last(signal);
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

fn call_last(signal: c_int) {
    // SAFETY: stored by `before_death`.
    let last = || functions(&LAST).for_each(|last| unsafe { core::mem::transmute::<usize, fn()>(last)() });
    with_room(signal, last);
}

/// Calls `work` in the handler of a signal, on a stack of its own where the handler may be on the alternate one.
fn with_room<R>(signal: c_int, mut work: impl FnMut() -> R) -> Option<R> {
    if flags_for(signal as usize) & SA_ONSTACK == 0 { Some(work()) } else { stack::with_room(work) }
}

/// Calls a handler of the program's, as the kernel would.
///
/// # Safety
///
/// It is the one that the action names, and the rest is what the kernel has passed.
unsafe fn call(action: Action, signal: c_int, info: *const Info, context: *mut c_void) {
    type Short = extern "C" fn(c_int);
    type Long = extern "C" fn(c_int, *const Info, *mut c_void);
    if action.flags & SA_RESETHAND != 0 {
        let _ = exchange(signal as usize, Some(&Action::new(SIG_DFL, 0)));
    }
    // SAFETY: the flag says which of the two types the handler has.
    unsafe {
        if action.flags & SA_SIGINFO != 0 {
            core::mem::transmute::<usize, Long>(action.handler)(signal, info, context);
        } else {
            core::mem::transmute::<usize, Short>(action.handler)(signal);
        }
    }
}
