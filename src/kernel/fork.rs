//! What happens to locks when the process forks.
//!
//! A thread that forks takes all locks first, so that the child gets heaps that no thread was in the middle of
//! changing. That is done by handlers that libc calls around its `fork`:
//!
//! ```text
//! before   take libc's list of streams, then every lock     (the order in which streams that allocate take them)
//! parent   leave every lock, then the list
//! child    leave every lock, then make the list anew
//! ```
//!
//! Where threads have tiers of their own, they are stopped between two operations while the locks are held.
//!
//! Between the first and the others, handlers of the program's own may allocate: the thread that forks is remembered,
//! and gets its turn without a lock. A lock that it holds already, because it forks in a signal handler that
//! interrupted a call, or inside of `with`, is left to it, in the child as well: that call goes on when the handler
//! returns.

use crate::kernel::seat::{self, Endless, FORK_PATIENCE, Seat};
use crate::kernel::seats::{self, SEATS};
use crate::kernel::{libc, tasks};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize};

/// What a heap whose threads work without its lock does around a fork, while all locks are held.
pub(crate) struct Around {
    /// Stops the threads. False if one cannot be stopped now: then the locks are left for a moment.
    pub(crate) stop: fn(*const ()) -> bool,
    /// Lets them go on, in the parent or in the child, where they are no more.
    pub(crate) go_on: fn(*const (), Side),
}

/// On which side of a fork a handler runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Parent,
    Child,
}

/// For each seat, what its heap does and with what.
static AROUND: [(AtomicPtr<Around>, AtomicPtr<()>); SEATS.len()] =
    [const { (AtomicPtr::new(core::ptr::null_mut()), AtomicPtr::new(core::ptr::null_mut())) }; SEATS.len()];

/// Has `around` called with `subject` around each fork, for the heap that has this seat. False if another heap that shares
/// the seat has that done already.
pub(crate) fn call_around(seat: &Seat, around: &'static Around, subject: *const ()) -> bool {
    let Some((hook, place)) = seats::number(seat).and_then(|at| AROUND.get(at)) else { return false };
    if !hook.load(Relaxed).is_null() {
        return false;
    }
    place.store(subject.cast_mut(), Relaxed);
    hook.store(core::ptr::from_ref(around).cast_mut(), Release);
    true
}

/// Ends what [`call_around`] began, for the heap of this subject.
pub(crate) fn end_around(seat: &Seat, subject: *const ()) {
    let hook = seats::number(seat).and_then(|at| AROUND.get(at));
    if let Some((hook, _)) = hook.filter(|(_, place)| core::ptr::eq(place.load(Relaxed), subject)) {
        hook.store(core::ptr::null_mut(), Relaxed);
    }
}

fn hooks() -> impl Iterator<Item = (&'static Around, *const ())> {
    // SAFETY: null, or a static.
    AROUND.iter().filter_map(|(hook, place)| unsafe {
        hook.load(Acquire).as_ref().map(|hook| (hook, place.load(Relaxed).cast_const()))
    })
}

/// Stops the threads of all heaps. False if one could not be stopped: then all go on.
fn stop_all() -> bool {
    let stopped = hooks().take_while(|(hook, subject)| (hook.stop)(*subject)).count();
    let all = stopped == hooks().count();
    if !all {
        hooks().take(stopped).for_each(|(hook, subject)| (hook.go_on)(subject, Side::Parent));
    }
    all
}

fn go_on(side: Side) {
    hooks().for_each(|(hook, subject)| (hook.go_on)(subject, side));
}

static REGISTERED: AtomicBool = AtomicBool::new(false);
/// Held while a heap gets its seat, and by the thread that forks.
static CLAIM: Seat = Seat::new();

// Which thread forks. Written while `CLAIM` is held, `FORKER` last; another thread reads it only to find another one.
static FORKER: AtomicU32 = AtomicU32::new(0);
static FORKER_PROCESS: AtomicU32 = AtomicU32::new(0);
static FORKER_POINTER: AtomicUsize = AtomicUsize::new(0);
/// One bit for each seat: the forking thread has taken it for the fork. The vacant seat's bit stands for `CLAIM`. It is
/// not zero only while `FORKER` is not, so that a signal handler that interrupts these functions and forks finds either
/// the fork of another thread, or nothing that it could overwrite.
static TAKEN: AtomicU32 = AtomicU32::new(0);
/// How many signal handlers of the forking thread fork, too, between its own handlers here.
static NESTED: AtomicU32 = AtomicU32::new(0);
/// Rounds in which locks are only tried, before they are waited for while others are held.
const ROUNDS: u32 = 2;

const _: () = assert!(SEATS.len() <= 32, "a bit for each seat");

/// Registers the handlers, once. It happens with the first use of a heap, which is as early as possible: handlers run
/// before a fork in the opposite order, so what others do there is over when the locks are taken.
pub(crate) fn prepare() {
    CLAIM.open();
    if !REGISTERED.swap(true, AcqRel) {
        seat::use_thread_pointers();
        libc::at_fork(before, parent, child);
    }
}

/// Does `claim` while no other heap gets a seat and no other thread forks.
pub(crate) fn while_none_forks<R>(claim: impl FnOnce() -> R) -> R {
    if is_forker() {
        return claim();
    }
    if let Err(endless) = CLAIM.take() {
        endless.die();
    }
    let result = claim();
    // SAFETY: taken above.
    unsafe { CLAIM.leave_and_wake() };
    result
}

/// Whether the caller is the thread that forks.
fn is_forker() -> bool {
    let forker = FORKER.load(Acquire);
    // The child has another thread id, and one thread. Threads that share a thread pointer have different ids.
    forker != 0
        && FORKER_POINTER.load(Relaxed) == seat::this_thread()
        && (forker == tasks::thread_id() || FORKER_PROCESS.load(Relaxed) != tasks::process_id())
}

/// The thread id that the forking thread has, or had in the parent.
pub(crate) fn forker() -> u32 {
    FORKER.load(Relaxed)
}

/// Whether the caller is the thread that forks, and has taken this seat for that.
pub(crate) fn forks_with(seat: &Seat) -> bool {
    is_forker() && seats::number(seat).is_some_and(|at| TAKEN.load(Relaxed) & bit(at) != 0)
}

fn bit(index: usize) -> u32 {
    1 << index
}

/// Takes a lock that may be the caller's own already; then it stays that, and the answer is false.
pub(crate) fn take_for_fork(seat: &Seat) -> bool {
    match seat.take_within(FORK_PATIENCE) {
        Ok(()) => true,
        Err(Endless::Alone | Endless::Lent | Endless::Interrupted) => false,
    }
}

/// Takes every lock but those that the caller has already, and returns one bit for each.
///
/// A thread that holds one may wait for another (a heap used inside of another's `with`), so there is no long wait
/// while a lock is held: what was taken is left, and the next round begins with the busy one. Where many are busy
/// nearly all the time, they are never all free at once; then each is waited for, in every round a little longer.
fn take_all() -> u32 {
    let (mut own, mut wanted) = (0, 0);
    for round in 0_u32.. {
        let mut taken = 0;
        if wanted != 0 {
            if take_for_fork(&SEATS[wanted]) { taken = bit(wanted) } else { own |= bit(wanted) }
        }
        let open = |&at: &usize| !SEATS[at].is_vacant() && (own | taken) & bit(at) == 0;
        let mut more = 0;
        match (1..SEATS.len()).filter(open).find(|&at| !try_take(at, round.saturating_sub(ROUNDS), &mut more)) {
            None => return taken | more,
            Some(busy) => wanted = busy,
        }
        // SAFETY: taken in this round.
        unsafe { leave_all(taken | more) };
    }
    0
}

fn try_take(at: usize, sleeps: u32, taken: &mut u32) -> bool {
    let got = SEATS[at].try_take() || sleeps > 0 && SEATS[at].take_briefly(sleeps);
    *taken |= if got { bit(at) } else { 0 };
    got
}

/// # Safety
///
/// The caller has taken the locks of these bits.
unsafe fn leave_all(taken: u32) {
    for (at, seat) in SEATS.iter().enumerate().skip(1) {
        if taken & bit(at) != 0 {
            // SAFETY: the caller's promise.
            unsafe { seat.leave_and_wake() };
        }
    }
}

/// Takes `CLAIM` and every lock.
fn take_claim_and_all() -> u32 {
    // Not taken if a signal handler forks that interrupted the first use of a heap. That goes on when it returns, and
    // keeps other threads from forking meanwhile.
    let claim = if take_for_fork(&CLAIM) { bit(0) } else { 0 };
    take_all() | claim
}

/// # Safety
///
/// The caller has taken the locks of these bits.
unsafe fn leave_claim_and_all(taken: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        leave_all(taken);
        if taken & bit(0) != 0 {
            CLAIM.leave_and_wake();
        }
    }
}

extern "C" fn before() {
    libc::lock_streams();
    if is_forker() {
        // A signal handler forks that interrupted the fork of its own thread, which holds everything.
        NESTED.fetch_add(1, Relaxed);
        return;
    }
    let mut taken = take_claim_and_all();
    while !stop_all() {
        // A thread that does not stop may be waiting for any of these, in a signal handler that forks, too.
        // SAFETY: taken above.
        unsafe { leave_claim_and_all(taken) };
        libc::unlock_streams();
        tasks::sleep(1);
        libc::lock_streams();
        taken = take_claim_and_all();
    }
    FORKER_POINTER.store(seat::this_thread(), Relaxed);
    FORKER_PROCESS.store(tasks::process_id(), Relaxed);
    FORKER.store(tasks::thread_id(), Release);
    TAKEN.store(taken, Release);
}

extern "C" fn parent() {
    after(Side::Parent);
    libc::unlock_streams();
}

extern "C" fn child() {
    // A thread that lent a heap out before the fork still does, under another id.
    SEATS.iter().for_each(Seat::renew_lender);
    after(Side::Child);
    libc::reset_streams();
}

fn after(side: Side) {
    if NESTED.load(Relaxed) > 0 {
        NESTED.fetch_sub(1, Relaxed);
        return;
    }
    go_on(side);
    let taken = TAKEN.swap(0, AcqRel);
    FORKER.store(0, Release);
    // SAFETY: `before` has taken them, in this thread or the one that it is a copy of.
    unsafe { leave_claim_and_all(taken) };
}

// musl calls this around `fork`. It is weak there, as it is here: a program that calls `pthread_atfork` brings another
// one, which is used then. A static program has no other way to hear of a fork, for a weak reference to
// `pthread_atfork` brings nothing in. Elsewhere nothing calls it.
#[allow(unused_macros, reason = "not every target has a line for it below")]
macro_rules! fork_handler {
    ($jump:literal) => {
        core::arch::global_asm!(
            ".ifndef __fork_handler",
            ".pushsection .text.hmalloc_fork_handler,\"ax\",%progbits",
            ".weak __fork_handler",
            ".hidden __fork_handler",
            ".balign 16",
            "__fork_handler:",
            concat!($jump, " {handler}"),
            ".popsection",
            ".endif",
            handler = sym fork_handler,
        );
    };
}

on_linux! {
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    fork_handler!("jmp");
    #[cfg(any(target_arch = "aarch64", target_arch = "arm", target_arch = "loongarch64"))]
    fork_handler!("b");
    #[cfg(any(target_arch = "riscv64", target_arch = "riscv32"))]
    fork_handler!("tail");
}

/// Before a fork with a negative number, after it with 0 in the parent and 1 in the child.
#[allow(dead_code, reason = "not every architecture has musl, and then nothing jumps here")]
extern "C" fn fork_handler(when: core::ffi::c_int) {
    match when {
        ..0 => {
            // A program may fork before any heap is used.
            prepare();
            before();
        }
        0 => parent(),
        _ => child(),
    }
}
